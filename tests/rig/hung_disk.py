"""A disk that hangs (hung_disk.c), for programs that are started with its environment."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rig import shared_object

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOURCE = Path(__file__).with_name("hung_disk.c")


@dataclass(frozen=True)
class HungDisk:
    """The disk of some processes. `folder` must exist."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs that shall have this disk."""
        library = shared_object.build(_SOURCE, self.folder, "-ldl")
        return {"LD_PRELOAD": str(library), "HUNG_DISK": str(self._mark)}

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it take nothing until the end of the block."""
        self._mark.touch()
        try:
            yield
        finally:
            self._mark.unlink()

    @property
    def _mark(self) -> Path:
        return self.folder / "disk_hangs"
