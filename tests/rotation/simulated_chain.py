"""A chain in memory, as far as a rotation sees one: slots, forks, irreversibility, a producer's row and its schedules.

It is the truth that the machine is held against, so it shares no code with it. Blocks are never changed: a fork is
another block with the same predecessor. One producer is ours; of the others it only matters that they have slots.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signer.antelope.keys import PublicKey

SLOT: Final = timedelta(milliseconds=500)
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
#: config::producer_repetitions, and between two proposals of the system contract (FACTS: producer_pay.cpp:52-54).
ROUND: Final = 12
PROPOSE_EVERY: Final = 120
SOMEBODY: Final = "somebody"


def moment(slot: int) -> datetime:
    """Return the timestamp of a slot."""
    return START + slot * SLOT


@dataclass(frozen=True, slots=True)
class Transaction:
    """What registers a key, and until which slot a block takes it."""

    id: str
    key: PublicKey
    expires: int


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody else does to the row. No keys: they unregister the producer."""

    keys: frozenset[PublicKey]


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The place of our producer in a schedule on its way, and the block that put it there. No key: not in it."""

    key: PublicKey | None
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A block and the state of the chain after it."""

    number: int
    id: int
    slot: int
    previous: Block | None
    signed_with: PublicKey | None
    irreversible_number: int
    row: frozenset[PublicKey]
    row_by: str
    active: PublicKey | None
    pending: Scheduled | None
    proposed: Scheduled | None
    asked_at: int
    included: frozenset[str]
    foreign: tuple[Change, ...] = ()

    @property
    def signature(self) -> str:
        """What a node shows as the block's signature."""
        return f"SIG_R1_{self.id}"

    def back_to(self, number: int) -> Iterator[Block]:
        """Yield this block and those before it, down to the one with `number`."""
        block: Block | None = self
        while block is not None and block.number >= number:
            yield block
            block = block.previous

    def ancestor(self, number: int) -> Block:
        """Return the block of this chain with `number`."""
        block = self
        while block.number > number:
            assert block.previous is not None
            block = block.previous
        return block

    @property
    def irreversible(self) -> Block:
        """The last irreversible block, as this block's node knows it."""
        return self.ancestor(self.irreversible_number)

    def holds(self, block: Block) -> bool:
        """Whether `block` is on the chain that ends here."""
        return block.number <= self.number and self.ancestor(block.number) is block


@dataclass
class Chain:
    """The chain as the producers have it, and what is on its way to them.

    Attributes:
        savanna: the consensus.
        lag: irreversibility is this many blocks behind the head.
        producers: their number.
        lands: whether a block takes transactions of ours that reached the producers.
        elected: whether our producer has the votes.
        working: the keys whose node produces.
        taken: our transactions that reached the producers.
        queue: what somebody else does in the next block.
        slot: the time.
        final: the last irreversible block. A fork keeps it, though its first blocks do not know of it yet.
    """

    savanna: bool
    lag: int
    producers: int
    head: Block
    working: set[PublicKey]
    lands: bool = True
    elected: bool = True
    taken: dict[str, Transaction] = field(default_factory=dict)
    queue: list[Change] = field(default_factory=list)
    slot: int = 0
    final: int = 0
    made: int = 0
    forks: int = 0
    acts: int = 0

    def our_slot(self, slot: int) -> bool:
        """Whether the slot is our producer's, if it is in the schedule."""
        return slot // ROUND % self.producers == 0

    def advance(self, slots: int) -> None:
        """Let time pass."""
        for _ in range(slots):
            self.slot += 1
            active = self._activated()[0]
            ours = active is not None and self.our_slot(self.slot)
            if not ours or active in self.working:
                self._produce(active if ours else None)

    def fork(self, depth: int) -> bool:
        """Drop blocks that are reversible, at most `depth`. What others did in them is done again."""
        kept = max(self.final, self.head.number - depth)
        dropped = list(self.head.back_to(kept + 1))
        for block in dropped:
            self.queue[:0] = block.foreign
        self.head = self.head.ancestor(kept)
        self.forks += bool(dropped)
        return bool(dropped)

    def act(self, keys: frozenset[PublicKey]) -> None:
        """Let somebody else change the row in the next block."""
        self.acts += 1
        self.queue.append(Change(keys))

    def live(self, transaction: Transaction) -> bool:
        """Whether some block may still hold the transaction for the first time."""
        final = self.head.ancestor(self.final)
        return transaction.id not in final.included and final.slot < transaction.expires

    def _activated(self) -> tuple[PublicKey | None, Scheduled | None, Scheduled | None]:
        """Return the active, pending and proposed schedule of the next block, before it proposes anything."""
        head = self.head
        active, pending, proposed = head.active, head.pending, head.proposed
        final = head.irreversible_number
        if self.savanna:
            if self.slot // ROUND != head.slot // ROUND:
                if pending is not None:
                    active, pending = pending.key, None
                if proposed is not None and proposed.number <= final:
                    pending, proposed = Scheduled(proposed.key, head.number + 1), None
            return active, pending, proposed
        if pending is not None and pending.number <= final:
            active, pending = pending.key, None
        if proposed is not None and pending is None and proposed.number <= final:
            pending, proposed = Scheduled(proposed.key, head.number + 1), None
        return active, pending, proposed

    def _produce(self, signed_with: PublicKey | None) -> None:
        head, number = self.head, self.head.number + 1
        active, pending, proposed = self._activated()
        row, row_by, included = head.row, head.row_by, head.included
        asked_at = head.asked_at
        if self.slot - asked_at > PROPOSE_EVERY:  # before the transactions of the block
            asked_at = self.slot
            wanted = min(row) if row and self.elected else None
            newest = next((each.key for each in (proposed, pending) if each is not None), active)
            if proposed is None and wanted != newest:
                proposed = Scheduled(wanted, number)
        for change in self.queue:
            row, row_by = change.keys, SOMEBODY
        foreign, self.queue = tuple(self.queue), []
        for each in self.taken.values():
            if self.lands and each.id not in included and self.slot <= each.expires:
                row, row_by, included = frozenset({each.key}), each.id, included | {each.id}
        self.made += 1
        self.final = max(self.final, number - self.lag)
        self.head = Block(
            number,
            self.made,
            self.slot,
            head,
            signed_with,
            self.final,
            row,
            row_by,
            active,
            pending,
            proposed,
            asked_at,
            included,
            foreign,
        )
