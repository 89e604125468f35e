"""A process and everything that it started, and that they started."""

from __future__ import annotations

from pathlib import Path


def family(pid: int) -> list[Path]:
    """Return the /proc folders of process `pid` and its descendants, by number."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return [Path("/proc") / str(each) for each in sorted(found)]


def content(folder: Path, name: str) -> bytes:
    """Return a file of a process's /proc folder; nothing if the process has ended meanwhile."""
    try:
        return (folder / name).read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def commands(pid: int) -> dict[Path, bytes]:
    """Return the /proc folders of process `pid` and its descendants, each with its command line."""
    return {folder: command for folder in family(pid) if (command := content(folder, "cmdline"))}
