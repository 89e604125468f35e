"""The folder of a demo: claimed when it is free, removed with all that is in it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from demo_parts.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A unix socket's path has at most 107 bytes (unix(7)). Below the folder the longest is quickstart's,
#: `signer/run/standby/sign.sock`, with room for a temporary name beside it (trial/layout.py: 64 - `/signer`).
MAX_FOLDER_BYTES: Final = 57


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything of a demo lies.

    Attributes:
        folder: all of it, absolute.
    """

    folder: Path

    @property
    def marker(self) -> Path:
        """Says that a demo made this folder, and has its process id."""
        return self.folder / ".demo"

    @property
    def about(self) -> Path:
        """What a script needs to know; there from the moment everything runs. Holds no secret."""
        return self.folder / "demo.json"

    @property
    def access_lists(self) -> Path:
        """The access lists of the folders above as they were before."""
        return self.folder / "access-lists"

    @property
    def log_beside(self) -> Path:
        """What a detached demo prints: beside the folder, so that it can say why there is none."""
        return self.folder.with_name(self.folder.name + ".log")

    @property
    def chain(self) -> Path:
        """Of nodeos and keosd."""
        return self.folder / "chain"

    @property
    def signer(self) -> Path:
        """Of the signer: what quickstart makes."""
        return self.folder / "signer"

    @property
    def is_ours(self) -> bool:
        """Whether a demo made the folder."""
        return self.marker.exists()

    @property
    def runs_as(self) -> int | None:
        """The process id of the demo that runs here, or None."""
        try:
            pid = int(self.marker.read_text(encoding="ascii"))
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if any(word.endswith(b"deploy/demo.py") for word in command) else None

    def refuse_unless_free(self) -> None:
        """Check that a demo can be built here.

        Raises:
            DemoError: it cannot.
        """
        if self.runs_as is not None:
            raise DemoError(
                f"a demo runs on {self.folder} already, process {self.runs_as}; to end it: "
                f"deploy/demo --dir {self.folder} --stop"
            )
        if self.is_ours:
            raise DemoError(
                f"{self.folder} has what a demo that was killed has left; to remove it: "
                f"deploy/demo --dir {self.folder} --stop"
            )
        try:
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise DemoError(f"{self.folder} is no empty folder; choose another with --dir")
        except OSError as error:
            raise DemoError(
                f"{self.folder} cannot be read: {error.strerror}; choose another with --dir"
            ) from None

    def claim(self) -> None:
        """Make the folder.

        Raises:
            DemoError: a demo runs here, or the folder is somebody's, or it cannot be made.
        """
        self.refuse_unless_free()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # The signer's user has to pass through; what is secret below is in folders of its own.
            self.folder.chmod(0o711)
            self.marker.write_text(f"{os.getpid()}\n", encoding="ascii")
            self.chain.mkdir()
        except OSError as error:
            raise DemoError(
                f"{self.folder} cannot be made: {error.strerror}; choose another with --dir"
            ) from None

    def write_about(self, about: Mapping[str, Any]) -> None:
        """Write what a script needs to know, whole or not at all."""
        new = self.about.with_name("demo.json.new")
        new.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        new.replace(self.about)

    def remove(self) -> None:
        """Remove the folder and all that is in it; the marker goes last."""
        for entry in sorted(self.folder.iterdir(), key=lambda path: path == self.marker):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        self.folder.rmdir()
