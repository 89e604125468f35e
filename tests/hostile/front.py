"""A real nodeos that produces with an R1 key while somebody attacks, and what it lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from rig.condition import until
from rig.nodeos import Genesis, Nodeos
from rig.production import complaints, slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostile.attack import Plan
    from rig.tools import Tools

_TESTS: Final = Path(__file__).parents[1]
#: The attacker's program needs about this long to start, in s.
_START_S: Final = 1.0


@dataclass(frozen=True)
class Loss:
    """What nodeos lost in a time.

    Attributes:
        blocks: it produced.
        failed: its complaints, and slots without a block.
        slots: those with a complaint or without a block: nodeos asks again and again within one.
        reasons: the complaints in words.
        attacker: what the attacker counted.
    """

    blocks: int
    failed: int
    slots: int
    reasons: tuple[str, ...]
    attacker: dict[str, int]


class Front:
    """A nodeos that produces as the only producer of a new chain.

    Args:
        key: that it signs with, as its provider has it.
        url: of sign_digest.
    """

    def __init__(self, tools: Tools, folder: Path, key: str, url: str) -> None:
        self._node = Nodeos(
            tools, folder, Genesis.now(key), producers=["eosio"], providers=[f"{key}=KEOSD:{url}"]
        )
        self._node.wait_for_blocks(4)  # its start is not what is looked at

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._node.stop()

    def lose(self, seconds: float, plan: Plan | None = None) -> Loss:
        """Return what is lost in so many s: under an attack, or in peace."""
        with _attacked(plan) as counts:
            began = datetime.now(UTC).replace(tzinfo=None)
            end = time.monotonic() + seconds
            # The time is the condition itself.
            until(lambda: time.monotonic() > end, "the time", timeout_s=seconds + 30, interval_s=0.2)
            ended = datetime.now(UTC).replace(tzinfo=None)
        self._node.wait_for_blocks(len(self._node.produced()) + 2)  # what was asked before is in the log
        found = [entry for entry in complaints(self._node) if began <= entry.at <= ended]
        blocks = self._node.produced()
        ours = [block for block in blocks if began <= block.at <= ended]
        missed = sum(
            slot(block.timestamp) - slot(before.timestamp) - 1
            for before, block in pairwise(blocks)
            if began <= block.at <= ended
        )
        bad = len({int(entry.at.timestamp() * 2) for entry in found}) + missed
        reasons = tuple(f"{entry.place} {entry.text[:200]}" for entry in found)
        return Loss(len(ours), len(found) + missed, bad, reasons, counts)


@contextmanager
def _attacked(plan: Plan | None) -> Iterator[dict[str, int]]:
    counts: dict[str, int] = {}
    if plan is None:
        yield counts
        return
    with subprocess.Popen(
        [sys.executable, "-m", "hostile.attack"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(_TESTS)},
    ) as attacker:
        assert attacker.stdin is not None
        assert attacker.stdout is not None
        attacker.stdin.write(json.dumps(asdict(plan)) + "\n")
        attacker.stdin.flush()
        try:
            begins = time.monotonic() + _START_S
            until(lambda: time.monotonic() > begins, "the attacker's start")
            assert attacker.poll() is None, "the attacker ended"
            yield counts
            attacker.stdin.write("\n")
            attacker.stdin.flush()
            counts.update(json.loads(attacker.stdout.readline()))
        finally:
            attacker.kill()
