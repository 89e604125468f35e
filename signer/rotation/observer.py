"""Looks at the chain and at the nodes for one rotation, and says what was seen. It decides nothing.

Follows the chain block by block from the head on which the transaction was built: whose slots they are, who signed
them, and which of ours have no block. A fork is followed too: blocks that are on the chain no longer are forgotten.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from signer.chain import slots
from signer.chain.values import Consensus
from signer.errors import ChainAnswerError, ChainError
from signer.rotation.machine import SILENT_NODE_S, SILENT_SLOTS, Facts
from signer.rotation.rotation import State, VerifiedBlock

if TYPE_CHECKING:
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.chain.values import Block, Head, Info, ProducerAnswer, ProducerRow, Schedule, Schedules
    from signer.rotation.rotation import Rotation
    from signer.rotation.site import Site

#: Blocks that a look fetches at once, and at most in all: half an hour of them.
_AT_ONCE: Final = 16
_MAX_BLOCKS: Final = 3600
#: A fork is never deeper than what is reversible: 360 blocks with 21 producers in legacy consensus.
_MAX_MISFITS: Final = 400
#: A node whose head is older than this does not follow the chain, in s (two rounds).
_IN_SYNC_S: Final = 12.0
#: A signature is in the supervisor's memory this long after its block is on chain, in s. Later it is not ours.
_ISSUED_S: Final = 3.0

if TYPE_CHECKING:
    _RowKeys = frozenset[PublicKey | str] | None


class Observer:
    """One pair of eyes for one rotation."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._producer = site.producer
        self._chain = site.client
        self._nodes = site.nodes
        self._desk = site.desk
        self._clock = site.clock
        self._monotonic = site.monotonic
        self._blocks: list[Block] = []
        self._orders: dict[int, tuple[str, ...]] = {}
        self._keys: dict[str, tuple[PublicKey, str] | None] = {}
        self._first_seen: dict[str, float] = {}
        self._answered: dict[str, float] = {}
        self._active_since: datetime | None = None
        self._row: tuple[_RowKeys, int] | None = None
        self._head: tuple[Head, float] | None = None

    async def look(self, rotation: Rotation) -> Facts:
        """Take one look.

        Raises:
            ChainError: no API node tells.
        """
        info = await self._chain.info()
        # After it: a row that is older than the irreversible block would hide what that block holds.
        rows, schedules = await asyncio.gather(
            self._chain.producer_everywhere(self._producer), self._chain.schedules()
        )
        self._learn(info, schedules)
        if rotation.transaction is not None:
            await self._follow(rotation.transactions[0].head_number, info.head)
        row_keys, agreed = self._agree(rows, info)
        silent = self._silent(rotation, schedules.active)
        target_silent_s = await self._silent_s(rotation.request.node)
        unfit = ""
        returning = rotation.state is State.RETURNING
        if returning or silent >= SILENT_SLOTS or (target_silent_s or 0.0) >= SILENT_NODE_S:
            unfit = await self._unfit(rotation, info.head)
        proof, foreign = await self._proof(rotation)
        return Facts(
            now=self._clock(),
            head_number=info.head.number,
            irreversible_number=info.irreversible.number,
            irreversible_time=info.irreversible.time,
            row_keys=row_keys,
            row_agreed=agreed,
            active=self._ours(schedules.active),
            pending=self._ours(schedules.pending),
            proposed=self._ours(schedules.proposed),
            hidden=info.consensus is Consensus.SAVANNA,
            proof=proof,
            foreign=foreign,
            silent_slots=silent,
            target_silent_s=target_silent_s,
            unfit=unfit,
            verified_dropped=self._dropped(rotation),
            finalizer=await self._finalizer(rotation, info),
            missed_slots=self._missed(rotation),
        )

    # -- blocks --------------------------------------------------------------------------------------------

    def _learn(self, info: Info, schedules: Schedules) -> None:
        """Remember what later blocks are judged by.

        Raises:
            ChainError: the schedules are older than what was in force before: from an API node that is behind.
        """
        if schedules.active.version < max(self._orders, default=0):
            raise ChainAnswerError("an API node shows a schedule that is not in force any more")
        self._orders[schedules.active.version] = tuple(each.name for each in schedules.active.producers)
        if self._head is None or self._head[0].id != info.head.id:
            self._head = (info.head, self._monotonic())

    def _missed(self, rotation: Rotation) -> int | None:
        """Count our slots without a block since the first transaction was built; None if not all blocks are here."""
        if not self._blocks or self._blocks[0].number > rotation.transactions[0].head_number:
            return None
        return slots.missed(self._blocks, self._orders, self._producer)

    async def _follow(self, first: int, head: Head) -> None:
        """Have the blocks from `first` to `head` of the chain as it is now, or the last of them.

        Raises:
            ChainError: an API node does not tell, or shows blocks of which none follows the other.
        """
        first = max(first, head.number - _MAX_BLOCKS)
        if self._blocks and self._blocks[0].number < first:
            del self._blocks[: first - self._blocks[0].number]
        place = head.number - self._blocks[0].number if self._blocks else -1
        if 0 <= place < len(self._blocks) and self._blocks[place].id != head.id:
            # A fork that is not longer yet than what it replaces.
            del self._blocks[place:]
        misfits = 0
        while misfits <= _MAX_MISFITS:
            start = self._blocks[-1].number + 1 if self._blocks else first
            if start > head.number:
                return
            numbers = range(start, min(head.number + 1, start + _AT_ONCE))
            for block in await asyncio.gather(*(self._chain.block(number) for number in numbers)):
                if self._blocks and block.previous != self._blocks[-1].id:
                    # A fork: go back until the chain fits again.
                    self._blocks.pop()
                    misfits += 1
                    break
                self._blocks.append(block)
        raise ChainAnswerError("an API node shows blocks of which none follows the other")

    def _dropped(self, rotation: Rotation) -> bool | None:
        verified = rotation.verified
        if verified is None:
            return None
        return next((each.id != verified.id for each in self._blocks if each.number == verified.number), None)

    async def _proof(self, rotation: Rotation) -> tuple[VerifiedBlock | None, int | None]:
        """Return the first block of ours with a signature of the expected key and node, and a foreign one."""
        if not rotation.registered_head:
            return None, None
        returning = rotation.state is State.RETURNING
        key = rotation.from_key if returning else rotation.to_key
        node = rotation.from_node if returning else rotation.request.node
        foreign = None
        for block in self._blocks:
            if block.number <= rotation.registered_head or block.producer != self._producer:
                continue
            issued = await self._issued(block.producer_signature)
            if issued == (key, node):
                return VerifiedBlock(block.number, block.id, block.time, block.producer_signature), foreign
            # Before the new key was active another signer may have signed, with the old one.
            since = self._active_since
            if (
                since is not None
                and block.time > since
                and issued is None
                and self._old_news(block.producer_signature)
            ):
                foreign = block.number
        return None, foreign

    async def _issued(self, signature: str) -> tuple[PublicKey, str] | None:
        """Return with which key and for which node we issued `signature`; None if we did not, or not yet."""
        if self._keys.get(signature) is None and not self._old_news(signature):
            self._keys[signature] = await self._desk.issued(signature)
            self._first_seen.setdefault(signature, self._monotonic())
        return self._keys[signature]

    def _old_news(self, signature: str) -> bool:
        """Whether the supervisor had the time to know of it."""
        seen = self._first_seen.get(signature)
        return seen is not None and self._monotonic() - seen > _ISSUED_S

    # -- the row -------------------------------------------------------------------------------------------

    def _agree(self, rows: list[ProducerAnswer], info: Info) -> tuple[_RowKeys, bool]:
        """Return the keys of the row, and whether enough API nodes say so.

        All that answer have to say the same, two at least where two are configured. One alone counts when what it
        says is irreversible: a rotation does not wait for ever for an API node that is gone.
        """
        said = [_keys(row) for _, row, error in rows if error is None]
        if not said or any(each != said[0] for each in said):
            return None, False
        if self._row is None or self._row[0] != said[0]:
            self._row = (said[0], info.head.number)
        alone = info.irreversible.number >= self._row[1]
        return said[0], len(said) >= min(2, len(rows)) or alone

    # -- schedules -----------------------------------------------------------------------------------------

    def _ours(self, schedule: Schedule | None) -> frozenset[PublicKey]:
        producers = schedule.producers if schedule is not None else ()
        return frozenset(key for each in producers if each.name == self._producer for key in each.keys)

    def _silent(self, rotation: Rotation, active: Schedule) -> int:
        """Count our slots without a block, in a row, since the new key is in the active schedule."""
        if rotation.state is not State.ACTIVE or self._head is None:
            self._active_since = None
            return 0
        head, seen = self._head
        if self._active_since is None:
            self._active_since = head.time
        ours = [block.time for block in self._blocks if block.producer == self._producer]
        since = max([self._active_since, *ours[-1:]])
        order = [each.name for each in active.producers]
        until = head.time
        if set(order) == {self._producer}:
            # A chain that waits for us alone has no new head: its time goes on all the same. With other producers,
            # an old head says that the API node is behind.
            until += timedelta(seconds=self._monotonic() - seen)
        return slots.silent(since, until, order, self._producer)

    # -- nodes ---------------------------------------------------------------------------------------------

    async def _silent_s(self, node: str) -> float | None:
        """Return how long the API of `node` has been silent, in s; None if it has none."""
        client = self._nodes.get(node)
        if client is None:
            return None
        now = self._monotonic()
        since = self._answered.setdefault(node, now)
        try:
            await client.info()
        except ChainError:
            return now - since
        self._answered[node] = now
        return 0.0

    async def _unfit(self, rotation: Rotation, head: Head) -> str:
        """Return why production cannot go back to the node that had it, empty if it can."""
        node, key = rotation.from_node, rotation.from_key
        if node is None or key is None:
            return "no node of this signer holds the old key"
        client = self._nodes.get(node)
        if client is None:
            return f"nodes.{node} has no api in the configuration, so nobody knows whether it runs"
        try:
            info = await client.info()
        except ChainError as error:
            return f"the API of {node} does not answer: {error}"
        # By the chain's own time: the local clock may be wrong.
        behind_s = (head.time - info.head.time).total_seconds()
        if behind_s > _IN_SYNC_S:
            return f"{node} is {behind_s:.0f} s behind"
        return await self._desk.probe(key)

    async def _finalizer(self, rotation: Rotation, info: Info) -> bool | None:
        """Tell whether the finalizer half is done; None where there is none."""
        wanted = self._site.config.nodes[rotation.request.node].finalizer_key
        if wanted is None or info.consensus is not Consensus.SAVANNA:
            return None
        finalizers = await self._chain.finalizers()
        return wanted in finalizers.active_keys(self._producer)


def _keys(row: ProducerRow | None) -> _RowKeys:
    return None if row is None else frozenset({*(each.key for each in row.keys), *row.other_keys})
