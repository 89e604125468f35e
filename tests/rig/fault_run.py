"""A signer under faults, one after the other, while a real nodeos produces with it and waits 5 ms for each signature.

A failed signature is what makes nodeos complain or leave a slot empty. nodeos loses some to the machine itself, with
keosd too, so a fault is judged against intervals of the same run that had none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rig.nodeos import Genesis, Nodeos
from rig.production import judge, slot

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rig.site import Site
    from rig.tools import Tools

#: Blocks of an interval at the least: ten take 4.5 s.
BLOCKS: Final = 10
#: A fault that costs a signature costs one each time; the machine does not.
ATTEMPTS: Final = 3


@dataclass
class FaultRun:
    """One nodeos and one signer with a key of curve R1, through many faults.

    Attributes:
        allowed: the most that an interval without a fault has lost.
        report: a line for each interval.
    """

    site: Site
    node: Nodeos
    allowed: int = 0
    report: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, tools: Tools, folder: Path, site: Site) -> FaultRun:
        """Let a new chain's only producer sign with the key `r1-1` of the node `primary`. The site serves already."""
        key = site.key("r1-1")
        provider = f"{key}=KEOSD:http://127.0.0.1:{site.ports['primary']}/v1/wallet/sign_digest"
        node = Nodeos(tools, folder, Genesis.now(key), producers=["eosio"], providers=[provider])
        node.wait_for_blocks(4)  # the first ones come before it is regular
        return cls(site, node)

    def calm(self, times: int = 1) -> None:
        """Produce without a fault."""
        for _ in range(times):
            self.allowed = max(self.allowed, len(self._interval("no fault", lambda: None)))

    def endure(
        self, name: str, fault: Callable[[Site], AbstractContextManager[None]], times: int = 1
    ) -> None:
        """Produce while `fault` is entered, lasts for ten blocks, and is left, `times` times.

        Raises:
            AssertionError: it cost more than an interval without it, in each of three attempts.
        """

        def happen() -> None:
            with fault(self.site):
                self.node.wait_for_blocks(len(self.node.produced()) + BLOCKS)

        for _ in range(times):
            found: list[str] = []
            for _attempt in range(ATTEMPTS):
                found = self._interval(name, happen)
                if len(found) <= self.allowed:
                    break
            else:
                raise AssertionError("\n".join([*self.report, *found, self.site.log[-4000:]]))

    def _interval(self, name: str, happen: Callable[[], None]) -> list[str]:
        """Return what failed while `happen` ran, and until ten blocks have come."""
        first, said = len(self.node.produced()), len(judge(self.node, "eosio", None).complaints)
        happen()
        self.node.wait_for_blocks(max(first + BLOCKS, len(self.node.produced()) + 1))
        blocks = self.node.produced()[first - 1 :]
        gaps = [
            f"no block in slot {number}"
            for before, after in pairwise(blocks)
            for number in range(slot(before.timestamp) + 1, slot(after.timestamp))
        ]
        complaints = judge(self.node, "eosio", None).complaints[said:]
        failures = [f"{entry.at:%H:%M:%S.%f} {entry.place} {entry.text[:300]}" for entry in complaints] + gaps
        self.report.append(f"{name}: {len(blocks) - 1} blocks, {len(failures)} failures")
        print(self.report[-1], *failures, sep="\n  ")  # noqa: T201 - what failed is shown, also where it may
        return failures
