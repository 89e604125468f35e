"""A wall clock that steps (stepped_clock.c), for programs that are started with its environment."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from rig import shared_object

_SOURCE = Path(__file__).with_name("stepped_clock.c")


@dataclass(frozen=True)
class SteppedClock:
    """The clock of some processes. `folder` must exist."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs that shall have this clock."""
        library = shared_object.build(_SOURCE, self.folder, "-ldl")
        if not self._offset.exists():
            self.step(0)
        return {"LD_PRELOAD": str(library), "CLOCK_STEP": str(self._offset)}

    def step(self, seconds: int) -> None:
        """Let the clock be so many seconds ahead, or behind where negative, from now on."""
        # In place, because it is mapped.
        with self._offset.open("r+b" if self._offset.exists() else "wb") as file:
            file.write(struct.pack("l", seconds))

    @property
    def _offset(self) -> Path:
        return self.folder / "clock_step"
