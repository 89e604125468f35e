"""What a program costs: processor time and memory of a process and everything that it started."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PROC = Path("/proc")
#: Fields of /proc/PID/stat behind the name, from 0: parent, and user and system time, own and of ended children
#: (proc(5): fields 4 and 14 to 17).
_PARENT = 1
_TIMES = slice(11, 15)


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None  # it has ended
    return text.rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """Return the process and its descendants."""
    parents = {}
    for folder in _PROC.glob("[0-9]*"):
        fields = _stat(int(folder.name))
        if fields is not None:
            parents[int(folder.name)] = int(fields[_PARENT])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def processor_s(root: int) -> float:
    """Return the processor time that the process and its descendants have used so far, in s."""
    ticks = 0
    for pid in tree(root):
        fields = _stat(pid)
        if fields is not None:
            ticks += sum(map(int, fields[_TIMES]))
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def used(roots: Mapping[str, int]) -> Iterator[dict[str, float]]:
    """Yield a mapping that has, when the block is over, the part of one core that each program used in it."""
    before = {name: processor_s(root) for name, root in roots.items()}
    began = time.monotonic()
    cores: dict[str, float] = {}
    yield cores
    passed = time.monotonic() - began
    cores.update({name: (processor_s(root) - before[name]) / passed for name, root in roots.items()})


def pss_mb(root: int) -> float | None:
    """Return the proportional set size of the process and its descendants in MB (10^6 bytes).

    None where the kernel does not tell: the signer's processes are not dumpable, so only root may look.
    """
    total_kib = 0
    for pid in tree(root):
        try:
            lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except PermissionError:
            return None
        except OSError:
            continue  # it has ended
        total_kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total_kib * 1024 / 1e6
