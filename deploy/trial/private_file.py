"""Files and folders that only their owner can read. A crash leaves the old file or the new, never half."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from trial.errors import TrialError

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, text: str) -> None:
    """Make or replace `path`, mode 0600, with `text`. A file that has this text already is left alone.

    Raises:
        TrialError: it cannot be written.
    """
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return
        new = path.with_name(path.name + ".new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise TrialError(f"{path} cannot be written: {error.strerror}") from error


def make_folder(path: Path) -> None:
    """Make `path`, mode 0700, or find it so.

    Raises:
        TrialError: it cannot be made, or it is a link, or somebody else's, or open to others.
    """
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise TrialError(f"{path} cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise TrialError(
            f"{path} is not a folder of user {os.geteuid()}. If it was one: chown -R {os.geteuid()} {path}, and remove "
            "nothing, it may hold keys, freezes and an audit log. Otherwise choose another --dir"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        path.chmod(0o700)
