"""What quickstart allows the signer's user outside of its folder, taken back when the demo ends.

Started as root, quickstart gives the user `antelope-signer` search permission on the folders above the clone and above
its own, and read permission on the code where it needs it. A demo leaves the access lists as they were.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path


class AccessLists:
    """The access lists of the folders above a clone and a demo, and of the clone's code. Only root needs it.

    Args:
        clone: the clone.
        record: a file in the demo's folder: the lists as they were. It is made if it is not there.
    """

    def __init__(self, clone: Path, record: Path) -> None:
        self._clone = clone
        above = {parent for path in (clone, record) for parent in (path, *path.parents) if parent.exists()}
        code = [clone / name for name in ("signer", "hsm", "deploy", ".venv")]
        self._code = [str(path) for path in code if path.exists()]
        # The interpreter of .venv may be a link to somewhere else.
        python = (clone / ".venv" / "bin" / "python").resolve()
        self._above = sorted(map(str, above | set(python.parents)))
        if not record.exists():
            record.write_text(self._read(), encoding="utf-8")
        self._before = record.read_text(encoding="utf-8")

    def _read(self) -> str:
        if os.geteuid() != 0:
            return ""
        return "".join(
            subprocess.run(  # noqa: S603 - two programs of the package acl
                ["getfacl", "--absolute-names", *options, "--", *paths],  # noqa: S607 - wherever it is
                capture_output=True,
                text=True,
                check=False,
            ).stdout
            for options, paths in (((), self._above), (("--recursive", "--physical"), self._code))
        )

    def restore(self) -> None:
        """Set the access lists back where they are not as they were.

        What another signer of this clone needs by now, which has been started meanwhile, is left to it.
        """
        before, now = self._entries(self._before), self._entries(self._read())
        used = self._is_used()
        changed = "\n\n".join(
            before[path]
            for path in before
            if path in now and now[path] != before[path] and not (used and self._is_of_the_clone(path))
        )
        if changed:
            subprocess.run(
                ["setfacl", "--restore=-"],  # noqa: S607 - wherever it is
                input=changed + "\n",
                text=True,
                check=False,
            )

    def _is_of_the_clone(self, entry: str) -> bool:
        """Whether a signer of the clone needs the path of an entry, `# file: PATH`."""
        path = Path(entry.removeprefix("# file: "))
        python = (self._clone / ".venv" / "bin" / "python").resolve()
        return path.is_relative_to(self._clone) or path in (*self._clone.parents, *python.parents)

    def _is_used(self) -> bool:
        """Whether a signer of this clone runs."""
        program = os.fsencode(self._clone / ".venv" / "bin" / "signer")
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if program in (process / "cmdline").read_bytes().split(b"\0"):
                    return True
        return False

    @staticmethod
    def _entries(text: str) -> dict[str, str]:
        blocks = [block for block in text.split("\n\n") if block]
        return {block.partition("\n")[0]: block for block in blocks}
