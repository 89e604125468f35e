"""The judgement on a production run: a failed signature is any request that did not become a block.

This nodeos (Leap) tries again within the slot and would hide a failure from a count of blocks alone
(producer_plugin.cpp, schedule_production_loop). So three things are judged together: nodeos' complaints, the
slots, and the signatures that were given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from localchain.slot import ROUND, SLOT, slot

__all__ = ["ROUND", "SLOT", "Verdict", "judge", "judge_rounds", "slot", "whole_rounds"]

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from rig.nodeos import Nodeos
    from rig.nodeos_log import Entry

#: (source file, start of the text): what nodeos may say at `warn` or `error`, and why. All else fails.
_ALLOWED = (
    # A new chain says twice that it is new.
    ("controller.cpp", "No existing chain state or fork database. Initializing fresh"),
    ("controller.cpp", "Initializing new blockchain with genesis state"),
    # Measured once at start, on a machine with few cores. It is about the CPU deadline of transactions.
    ("platform_timer_accurac", "Checktime timer accuracy on this platform and hardware combination is poor"),
    # The test machine's disk.
    ("file_space_handler.hpp", "Space usage "),
)
#: In addition, when the test itself paused production. Printed once per pause.
_PAUSED = ("producer_plugin.cpp", "Not producing block because production is explicitly paused")


@dataclass(frozen=True)
class Verdict:
    """What a run showed.

    Attributes:
        blocks: blocks that the node under test produced for the producer.
        signatures: signatures its signer gave; None where the signer cannot tell (keosd).
        complaints: entries of nodeos' log at `warn` or `error` that are not allowed.
        missed: slots that should hold one of our blocks and do not.
        orphans: numbers of blocks that were produced and are not on the chain.
    """

    blocks: int
    signatures: int | None
    complaints: list[Entry] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    orphans: list[int] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """What speaks against the signer, in words. Empty: every request became a block."""
        found = [
            f"nodeos complains at {entry.at:%H:%M:%S.%f}: {entry.place} {entry.text[:600]}"
            for entry in self.complaints
        ]
        if self.signatures is not None and self.signatures != self.blocks:
            found.append(f"{self.signatures} signatures given, {self.blocks} blocks produced")
        if self.missed:
            found.append(f"{len(self.missed)} slots without our block: {self.missed[:10]}")
        if self.orphans:
            found.append(f"blocks that did not stay on the chain: {self.orphans[:10]}")
        return found


def judge(
    node: Nodeos, producer: str, signatures: int | None, *, paused_after: Collection[int] = ()
) -> Verdict:
    """Judge a run in which `producer` was alone on its chain: every slot is ours.

    The first block is left out of the slots' account: nodeos makes it during its start, measures its timers
    for half a second, and only then runs regularly. Its signature is counted like any other.

    Args:
        node: the producing node, paused or stopped, so that nothing is under way.
        producer: its producer name.
        signatures: what the signer gave in this run.
        paused_after: numbers of the blocks after which the test paused production.
    """
    blocks = [block for block in node.produced() if block.producer == producer]
    missed: list[int] = []
    for previous, block in pairwise(blocks[1:]):
        if previous.number not in paused_after:
            missed += range(slot(previous.timestamp) + 1, slot(block.timestamp))
    return Verdict(len(blocks), signatures, complaints(node, paused=bool(paused_after)), missed)


def whole_rounds(producer: str, order: Sequence[str], since: datetime, count: int) -> list[range]:
    """Return the slots of the first `count` whole rounds of `producer` that begin at `since` or later.

    Args:
        producer: its name.
        order: the active schedule's producers, in its order: slot s belongs to order[s // 12 % len(order)]
            (block_header_state_legacy.cpp, get_scheduled_producer).
        since: a block's timestamp.
        count: how many rounds.
    """
    turn = -(-slot(since) // ROUND)
    rounds: list[range] = []
    while len(rounds) < count:
        if order[turn % len(order)] == producer:
            rounds.append(range(turn * ROUND, (turn + 1) * ROUND))
        turn += 1
    return rounds


def judge_rounds(
    node: Nodeos, witness: Nodeos, producer: str, signatures: int | None, rounds: Sequence[range]
) -> Verdict:
    """Judge a run in which `producer` is one of several: its slots are those of its rounds.

    Every block of ours must be on the witness' chain, also those of a round that was cut short; only `rounds`
    must be without a gap.

    Args:
        node: our node; stopped or silent, so that nothing is under way.
        witness: another producer's node, past the last of `rounds`; its chain says which blocks count.
        producer: our producer name.
        signatures: what the signer gave in this run.
        rounds: the slots of whole rounds, from `whole_rounds`.
    """
    produced = [block for block in node.produced() if block.producer == producer]
    orphans = [block.number for block in produced if witness.block(block.number).id[8:24] != block.id_part]
    filled = {slot(block.timestamp) for block in produced if block.number not in orphans}
    missed = [number for slots in rounds for number in slots if number not in filled]
    return Verdict(len(produced), signatures, complaints(node, paused=False), missed, orphans)


def complaints(node: Nodeos, *, paused: bool = False) -> list[Entry]:
    """Return what nodeos said at `warn` or `error` and may not; `paused`: the test paused production."""
    allowed = (*_ALLOWED, _PAUSED) if paused else _ALLOWED
    return [
        entry
        for entry in node.complaints()
        if not any(entry.file == file and entry.text.startswith(text) for file, text in allowed)
    ]
