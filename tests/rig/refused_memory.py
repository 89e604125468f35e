"""How often processes were refused memory (refused_memory.c), for programs that are started with its environment."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rig import shared_object

_SOURCE: Final = Path(__file__).with_suffix(".c")
#: As in the source.
_PLACES: Final = 1 << 16
_LONG: Final = struct.Struct("l")


@dataclass(frozen=True)
class RefusedMemory:
    """The counts of some processes. `folder` must exist."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs that shall be counted."""
        library = shared_object.build(_SOURCE, self.folder, "-fno-builtin")
        if not self._counts.exists():
            self._counts.write_bytes(bytes(_PLACES * _LONG.size))
        return {"LD_PRELOAD": str(library), "REFUSED_MEMORY": str(self._counts)}

    def count(self, pid: int) -> int:
        """Return how often a process asked for memory and got none."""
        with self._counts.open("rb") as file:
            file.seek(pid % _PLACES * _LONG.size)
            found: int = _LONG.unpack(file.read(_LONG.size))[0]
        return found

    @property
    def _counts(self) -> Path:
        return self.folder / "refused_memory"
