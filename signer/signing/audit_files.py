"""The files of one audit log: the one that is written, and older ones beside it.

`audit.jsonl` is written. When it has reached its size it becomes `audit-000000012345.jsonl`, with the number of its
first line, so that names sort as the log goes; another `audit.jsonl` begins with the line after its last. Nothing here
deletes a file. An operator who moves old ones away tells `audit verify` where what is left begins.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, BinaryIO, Final

from signer.errors import AuditError

if TYPE_CHECKING:
    from pathlib import Path

#: Digits of the number in an older file's name: 10^12 lines are more than any signer writes.
_DIGITS: Final = 12


def older_name(path: Path, first: int) -> Path:
    """Return the name that the file at `path` gets when another begins. `first` is the number of its first line."""
    return path.with_name(f"{path.stem}-{first:0{_DIGITS}d}{path.suffix}")


def older(path: Path) -> list[Path]:
    """Return the older files beside the log at `path`, the oldest first.

    Raises:
        AuditError: the folder cannot be read.
    """
    pattern = re.compile(f"{re.escape(path.stem)}-[0-9]{{{_DIGITS}}}{re.escape(path.suffix)}", re.ASCII)
    try:
        names = sorted(each.name for each in path.parent.iterdir() if pattern.fullmatch(each.name))
    except OSError as error:
        raise AuditError(f"folder {path.parent} cannot be read: {error.strerror}") from None
    return [path.with_name(name) for name in names]


def open_file(path: Path) -> BinaryIO:
    """Open a file of a log for reading.

    Raises:
        AuditError: it cannot be read, or is no regular file.
    """
    try:
        # Not to wait for a writer if somebody put a FIFO there.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise AuditError(f"audit log {path} is not a regular file")
        return os.fdopen(descriptor, "rb")
    except OSError as error:
        raise AuditError(f"audit log {path} cannot be read: {error.strerror}") from None


def older_than(newest: BinaryIO, path: Path) -> list[Path]:
    """Return the older files of the log at `path`, the oldest first, without the one that is open as `newest`.

    The newest is opened before the others are looked for, so that none is missed while a signer begins another: then
    the one that is open has become an older one.

    Raises:
        AuditError: the folder cannot be read.
    """
    opened = os.fstat(newest.fileno())
    found = []
    for each in older(path):
        try:
            status = each.stat()
        except OSError as error:
            raise AuditError(f"audit log {each} cannot be read: {error.strerror}") from None
        if (status.st_dev, status.st_ino) != (opened.st_dev, opened.st_ino):
            found.append(each)
        else:
            break  # what is newer began after we looked
    return found
