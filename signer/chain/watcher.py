"""What happened in the slots of our producer: observations, never decisions. Pure.

Somebody else asks the chain, and hands in what it said; this keeps the last blocks as one chain, follows forks, and
says for each of our slots whether there is a block, and whether this signer gave its signature.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from signer.chain import slots
from signer.chain.sighting import Sighting
from signer.chain.values import Consensus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.antelope.name import Name
    from signer.chain.values import Block, Head, Info, ProducerRow, Schedule, Schedules

#: Rounds of ours that are kept: half an hour with 21 producers.
ROUNDS: Final = 13
#: Blocks that are kept in any case: what is reversible in legacy consensus with 21 producers (about 330), and a bit.
_MIN_BLOCKS: Final = 400
#: And at most, whatever the size of a schedule: half an hour of them. A few MB.
MAX_BLOCKS: Final = 3600
#: Slots without a block that are looked at one by one, the first of them: a chain that stood still for days, or an API
#: node that invents times, must not cost more.
MAX_SILENCE: Final = MAX_BLOCKS
#: An older schedule that is shown for so long, in s, is no late answer: the newer one was of a node that was wrong, or
#: of a chain that began anew.
_BEHIND_S: Final = 60.0
#: Schedules that are remembered, the newest first.
_MAX_SCHEDULES: Final = 8
#: The first block after the genesis block, which has no producer.
_FIRST: Final = 2
#: Blocks that are asked for at once.
BATCH: Final = 16
#: A chain that waits for our producer alone makes no block. Its time goes on, less what a block needs to get here.
_GRACE_SLOTS: Final = 3


class SlotState(enum.StrEnum):
    """What became of a slot of ours."""

    #: A block with a signature that this signer gave.
    SIGNED = "signed"
    #: A block of our producer with a signature that this signer did not give: by another signer, or by a copy.
    OTHER = "other"
    #: A block of our producer; whether we signed it is not known yet.
    UNKNOWN = "unknown"
    #: No block.
    MISSED = "missed"


class Origin(NamedTuple):
    """With which key, and for which node (empty: none), this signer gave a signature."""

    key: PublicKey
    node: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of our producer.

    Attributes:
        number: of the slot.
        time: its beginning (UTC).
        state: what became of it.
        block: the block in it.
        origin: who signed it, for `signed`.
        irreversible: whether that cannot change any more.
    """

    number: int
    time: datetime
    state: SlotState
    block: Block | None
    origin: Origin | None
    irreversible: bool

    @property
    def round(self) -> int:
        """The round of one producer that it is in; those of ours are `producers` apart."""
        return self.number // slots.ROUND


@dataclass(frozen=True, slots=True)
class Totals:
    """Our slots since the watcher began, each counted once it is irreversible.

    Attributes:
        signed: with a block that this signer signed.
        other: with a block that it did not sign.
        missed: without a block.
        lost: blocks that this signer signed and that were on a fork that lost. Their slots are in the others too.
    """

    signed: int = 0
    other: int = 0
    missed: int = 0
    lost: int = 0


class Watcher:
    """Watches one producer on one chain.

    Args:
        chain: the chain's name in the configuration.
        producer: the account.
    """

    def __init__(self, chain: str, producer: Name) -> None:
        self.chain = chain
        self.producer = producer
        self.totals = Totals()
        self._blocks: deque[Block] = deque()
        self._origins: dict[str, Origin | None] = {}
        self._dropped: dict[str, Block] = {}
        self._schedules: dict[int, Schedule] = {}
        self._shown: Schedules | None = None
        self._shown_s = 0.0
        self._row: ProducerRow | None = None
        self._info: Info | None = None
        self._now_s = 0.0
        self._head_since_s = 0.0
        self._begin = 0
        self._counted: int | None = None

    # -- what the chain said -------------------------------------------------------------------------------

    def learn_schedules(self, shown: Schedules) -> None:
        """Take the schedules. Ones that are older than what is known come from a node that is behind."""
        if self._shown is not None and shown.active.version < self._shown.active.version:
            if self._now_s - self._shown_s < _BEHIND_S:
                return
            self._schedules.clear()
        self._shown, self._shown_s = shown, self._now_s
        for each in (shown.pending, shown.active):
            if each is not None and each.producers:
                self._schedules[each.version] = each
        while len(self._schedules) > _MAX_SCHEDULES:
            del self._schedules[min(self._schedules)]

    def learn_row(self, row: ProducerRow | None) -> None:
        """Take the producer's row."""
        self._row = row

    def learn_info(self, info: Info, now_s: float) -> None:
        """Take how far the chain is. `now_s` is a monotonic time, s."""
        self._now_s = now_s
        if self._info is None or self._info.head.id != info.head.id:
            self._head_since_s = now_s
        self._info = info
        if self._counted is None:
            self._counted = slots.slot(info.head.time)

    def wanted(self, head: Head) -> range:
        """Return the numbers of the blocks that are to be asked for next; none when all are here."""
        if self._begin > head.number:
            self._begin = 0  # as below: an API node named a head that there is not
        first = max(_FIRST, head.number - self._window + 1, self._begin)
        if self._blocks and (self._blocks[-1].number < first - 1 or head.number < self._blocks[0].number):
            # Too far behind ever to catch up: what lies between stays unseen. Or the head that they led to never was.
            self._blocks.clear()
        place = head.number - self._blocks[0].number if self._blocks else -1
        if 0 <= place < len(self._blocks) and self._blocks[place].id != head.id:
            # A fork that is not longer yet than what it replaces.
            while len(self._blocks) > place:
                self._drop()
        start = self._blocks[-1].number + 1 if self._blocks else first
        return range(start, min(head.number + 1, start + BATCH))

    def take(self, blocks: Iterable[Block]) -> None:
        """Take the next blocks, in their order. Where one does not fit there was a fork: the last one is dropped."""
        for block in blocks:
            if self._blocks and block.previous != self._blocks[-1].id:
                self._drop()
                return
            self._blocks.append(block)
            self._dropped.pop(block.producer_signature, None)
        while len(self._blocks) > self._window:
            self._blocks.popleft()
        if len(self._origins) > MAX_BLOCKS:
            kept = {block.producer_signature for block in self._blocks}
            self._origins = {name: origin for name, origin in self._origins.items() if name in kept}

    def _drop(self) -> None:
        """Forget the newest block: it is not on the chain any more."""
        gone = self._blocks.pop()
        if gone.producer == self.producer:
            self._dropped[gone.producer_signature] = gone

    def skip(self, head: Head) -> None:
        """The API nodes do not have the next blocks any more: begin nearer to the head."""
        start = self.wanted(head).start
        self._blocks.clear()
        self._begin = min(head.number, start + max(1, (head.number - start) // 2))

    def unjudged(self) -> list[Block]:
        """Return the blocks of ours of which nobody has said who signed them, oldest first."""
        return [
            block
            for block in self._blocks
            if block.producer == self.producer and block.producer_signature not in self._origins
        ]

    def judge(self, signature: str, origin: Origin | None) -> None:
        """Take who gave `signature`; None: not this signer."""
        self._origins[signature] = origin

    # -- what can be said of it ----------------------------------------------------------------------------

    def slots(self, rounds: int) -> list[Slot]:
        """Return our slots of the last `rounds` rounds of ours, the newest first."""
        found: list[Slot] = []
        seen: set[int] = set()
        for each in self._back():
            seen.add(each.round)
            if len(seen) > rounds:
                break
            found.append(each)
        return found

    def sighting(self, at: float, targets: tuple[str, ...] = ()) -> Sighting | None:
        """Return what was seen last; None before anything was.

        Args:
            at: the time of day, in s since 1970.
            targets: keys (PUB_ form) that live rotations are registering.
        """
        info, shown = self._info, self._shown
        if info is None or shown is None:
            return None
        missed, since = 0, None
        last: Slot | None = None
        for each in self._back():
            if each.state is not SlotState.MISSED:
                last = each
                break
            missed, since = missed + 1, each.time.timestamp()
        return Sighting(
            chain=self.chain,
            producer=self.producer,
            at=at,
            head_number=info.head.number,
            head_at=info.head.time.timestamp(),
            irreversible_number=info.irreversible.number,
            savanna=info.consensus is Consensus.SAVANNA,
            producers=len(shown.active.producers),
            active=self._keys(shown.active) or (),
            pending=self._keys(shown.pending),
            proposed=self._keys(shown.proposed),
            row=None
            if self._row is None
            else (*(str(each.key) for each in self._row.keys), *self._row.other_keys),
            targets=targets,
            missed_in_row=missed,
            missed_since=since,
            last_block_at=None if last is None else last.time.timestamp(),
        )

    def authority(self, block: Block) -> tuple[str, ...] | None:
        """Return the keys that may have signed a block of ours; None where its schedule was never seen.

        On Savanna a block names no schedule; there the signature itself tells the key.
        """
        schedule = self._schedules.get(block.schedule_version)
        return None if schedule is None else self._keys(schedule)

    def count(self) -> None:
        """Add to `totals` what has become irreversible since the last time."""
        if self._counted is None:
            return
        news: list[Slot] = []
        for each in self._back():
            if each.number <= self._counted:
                break
            news.append(each)
        tally = {SlotState.SIGNED: 0, SlotState.OTHER: 0, SlotState.MISSED: 0}
        for each in reversed(news):
            if not each.irreversible or each.state is SlotState.UNKNOWN:
                break
            tally[each.state] += 1
            self._counted = each.number
        final = [name for name, block in self._dropped.items() if self._is_final(block)]
        lost = sum(self._origins.get(name) is not None for name in final)
        for name in final:
            del self._dropped[name]
        self.totals = Totals(
            self.totals.signed + tally[SlotState.SIGNED],
            self.totals.other + tally[SlotState.OTHER],
            self.totals.missed + tally[SlotState.MISSED],
            self.totals.lost + lost,
        )

    # -- inside --------------------------------------------------------------------------------------------

    @property
    def _window(self) -> int:
        """How many blocks are kept."""
        producers = len(self._shown.active.producers) if self._shown is not None else 1
        return min(MAX_BLOCKS, max(_MIN_BLOCKS, ROUNDS * slots.ROUND * producers))

    def _keys(self, schedule: Schedule | None) -> tuple[str, ...] | None:
        """Return our producer's keys in a schedule; None: there is no schedule."""
        if schedule is None:
            return None
        return tuple(
            key
            for each in schedule.producers
            if each.name == self.producer
            for key in (*map(str, each.keys), *each.other_keys)
        )

    def _back(self) -> Iterator[Slot]:
        """Yield our slots, the newest first."""
        if not self._blocks:
            return
        yield from self._silent()
        newest_first = reversed(self._blocks)
        after = next(newest_first)
        while True:
            if after.producer == self.producer:
                yield self._with_block(after)
            before = next(newest_first, None)
            if before is None:
                return
            first = slots.slot(before.time) + 1
            gap = range(first, min(slots.slot(after.time), first + MAX_SILENCE))
            order = self._order(before, after) if gap else ()
            for number in reversed(gap):
                if order and slots.owner(number, order) == self.producer:
                    yield self._missed(number, irreversible=self._is_final(after))
            after = before

    def _silent(self) -> Iterator[Slot]:
        """Yield the slots since the head of a chain that waits for our producer alone.

        With other producers an old head says that the API node is behind: the next block shows what was missed.
        """
        if self._shown is None or [each.name for each in self._shown.active.producers] != [self.producer]:
            return
        head = slots.slot(self._blocks[-1].time)
        passed = int((self._now_s - self._head_since_s) / slots.INTERVAL.total_seconds()) - _GRACE_SLOTS
        for number in range(head + min(passed, MAX_SILENCE), head, -1):
            yield self._missed(number, irreversible=False)

    def _with_block(self, block: Block) -> Slot:
        if block.producer_signature not in self._origins:
            state, origin = SlotState.UNKNOWN, None
        else:
            origin = self._origins[block.producer_signature]
            state = SlotState.OTHER if origin is None else SlotState.SIGNED
        return Slot(slots.slot(block.time), block.time, state, block, origin, self._is_final(block))

    @staticmethod
    def _missed(number: int, *, irreversible: bool) -> Slot:
        return Slot(number, slots.moment(number), SlotState.MISSED, None, None, irreversible)

    def _is_final(self, block: Block) -> bool:
        return self._info is not None and block.number <= self._info.irreversible.number

    def _order(self, before: Block, after: Block) -> Sequence[str]:
        """Return the order of the schedule in the gap between two blocks; empty where none that is known fits."""
        named = self._schedules.get(after.schedule_version)
        newest_first = (self._schedules[version] for version in sorted(self._schedules, reverse=True))
        for schedule in [named] if named is not None else newest_first:
            order = [each.name for each in schedule.producers]
            if all(slots.owner(slots.slot(block.time), order) == block.producer for block in (before, after)):
                return order
        # The schedule may change in the gap: the block after it was made under the new one.
        return [each.name for each in named.producers] if named is not None else ()
