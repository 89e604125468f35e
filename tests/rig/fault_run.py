"""A signer under faults, one after the other, while a real nodeos produces with it and waits 5 ms for each signature.

A failed signature is what makes nodeos complain or leave a slot empty. nodeos loses some to the machine itself, with
keosd too, so a fault is judged against intervals of the same run that had none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rig.condition import until
from rig.nodeos import Genesis, Nodeos
from rig.nodeos_log import produced
from rig.production import complaints, slot

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rig.site import Site
    from rig.tools import Tools

    Fault = Callable[[Site], AbstractContextManager[None]]

#: Blocks of an interval at the least: ten take 4.5 s.
BLOCKS: Final = 10
#: Of the short form. A fault that costs a signature costs one each time; the machine does not.
ATTEMPTS: Final = 3
#: Of the long form: intervals with the fault, and as many without it.
TURNS: Final = 5
#: Slots that an interval goes on for when its fault is over.
_AFTER: Final = 1
#: s between two looks at nodeos' log, and bytes of its end that are looked at: it is looked at a thousand times and
#: grows, and that is to take nothing from who signs.
_LOOK_S: Final = 0.1
_TAIL: Final = 32_768
#: s. Against a hang; a calm interval is as long as ten upgrades.
_HANG_S: Final = 180.0


@dataclass
class Interval:
    """What a part of the run showed, or several parts in sum.

    Attributes:
        slots: how long it was.
        blocks: how many of them have one.
        failures: what failed, in words.
    """

    slots: int = 0
    blocks: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Interval) -> None:
        """Count another part too."""
        self.slots += other.slots
        self.blocks += other.blocks
        self.failures += other.failures

    def __str__(self) -> str:
        return f"{self.blocks} blocks in {self.slots} slots, {len(self.failures)} failed signatures"


@dataclass
class FaultRun:
    """One nodeos and one signer with a key of curve R1, through many faults.

    Attributes:
        long: whether each fault happens five times and is judged by sums, once.
        allowed: of the short form: the most that an interval without a fault has lost, None before there was one.
        report: a line for each interval.
        table: of the long form: a line for each fault.
    """

    site: Site
    node: Nodeos
    long: bool
    allowed: int | None = None
    report: list[str] = field(default_factory=list)
    table: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, tools: Tools, folder: Path, site: Site, *, long: bool) -> FaultRun:
        """Let a new chain's only producer sign with the key `r1-1` of the node `primary`. The site serves already."""
        key = site.key("r1-1")
        provider = f"{key}=KEOSD:http://127.0.0.1:{site.ports['primary']}/v1/wallet/sign_digest"
        node = Nodeos(tools, folder, Genesis.now(key), producers=["eosio"], providers=[provider])
        node.wait_for_blocks(4)  # the first ones come before it is regular
        return cls(site, node, long)

    def endure(self, name: str, fault: Fault) -> None:
        """Produce while `fault` is entered, lasts for ten blocks, and is left.

        Raises:
            AssertionError: it cost more than as much time without it.
        """
        if self.long:
            self._compare(name, fault)
        else:
            self._attempt(name, fault)

    def calm(self) -> None:
        """Produce without a fault, for the short form."""
        lost = len(self._interval("no fault", BLOCKS).failures)
        self.allowed = max(self.allowed or 0, lost)

    def _compare(self, name: str, fault: Fault) -> None:
        """Have as many intervals with the fault as without it, in turns, each pair equally long; judge their sums."""
        during, without = Interval(), Interval()
        for _ in range(TURNS):
            one = self._interval(name, BLOCKS, fault)
            during.add(one)
            without.add(self._interval(f"without {name}", one.slots))
        self.table.append(
            f"| {name} | {during.blocks} | {len(during.failures)} | {without.blocks} | {len(without.failures)} |"
        )
        if len(during.failures) > len(without.failures):
            raise AssertionError(
                "\n".join(
                    [
                        f"with {name}: {during}; without: {without}",
                        *during.failures,
                        *self.report,
                        self.site.log[-4000:],
                    ]
                )
            )

    def _attempt(self, name: str, fault: Fault) -> None:
        """Have one interval that lost no more than any without a fault, of three."""
        while self.allowed is None:
            self.calm()
            self.calm()
        found: list[str] = []
        for _ in range(ATTEMPTS):
            found = self._interval(name, BLOCKS, fault).failures
            if len(found) <= self.allowed:
                return
        raise AssertionError("\n".join([*self.report, *found, self.site.log[-4000:]]))

    def _interval(self, name: str, slots: int, fault: Fault | None = None) -> Interval:
        """Return what became of so many slots, from the last block on, or of more: as many as the fault takes."""
        first, said = len(self.node.produced()), len(complaints(self.node))
        begin = slot(self.node.produced()[-1].timestamp)
        if fault is not None:
            with fault(self.site):
                self._wait_for_slot(self._last_slot() + BLOCKS)
            slots = max(slots, self._last_slot() + _AFTER - begin)
        self._wait_for_slot(begin + slots)
        blocks = self.node.produced()[first - 1 :]
        gaps = [
            f"no block in slot {number}"
            for before, after in pairwise(blocks)
            for number in range(slot(before.timestamp) + 1, slot(after.timestamp))
        ]
        failures = [
            f"{entry.at:%H:%M:%S.%f} {entry.place} {entry.text[:300]}"
            for entry in complaints(self.node)[said:]
        ]
        found = Interval(slot(blocks[-1].timestamp) - begin, len(blocks) - 1, failures + gaps)
        self.report.append(f"{name}: {found}")
        print(self.report[-1], *found.failures, sep="\n  ")  # noqa: T201 - what failed is shown, also where it may
        return found

    def _last_slot(self) -> int:
        return slot(self.node.produced()[-1].timestamp)

    def _wait_for_slot(self, number: int) -> None:
        """Wait until nodeos has produced the block of slot `number`, or a later one."""

        def look() -> bool:
            assert self.node.exit_code is None, self.node.tail()
            with self.node.log_file.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
                newest = produced(file.read().decode(errors="replace"))[-1:]
            return any(slot(block.timestamp) >= number for block in newest)

        until(
            look,
            f"a block in slot {number}",
            timeout_s=_HANG_S,
            interval_s=_LOOK_S,
            explain=self.node.tail,
        )
