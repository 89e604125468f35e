"""Freeze markers: files whose existence stops signatures.

A freeze needs no process, chain or database: who may write the folder may freeze, and every signature looks
here. Laws: a key is frozen exactly while `all`, `node-NAME` or `key-PUB_...` exists in the folder, whatever
is in that file; `set` returns only when the marker is on the disk; what cannot be looked up counts as frozen.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TypedDict

from signer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Scope = Literal["all", "node", "key"]

#: The names that may become part of a file name: those of nodes, and PUB_ forms.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)
#: A reason is for people; what is longer is cut.
_MAX_REASON: Final = 500
#: Enough for a marker of our own. What is larger was not written by us.
_MAX_BYTES: Final = 8192


class Marker(TypedDict):
    """One freeze in force, ready for JSON.

    Attributes:
        scope: `all`, `node` or `key`.
        name: the node, or the key in PUB_ form; empty for `all`.
        at: when, ISO 8601 in UTC; empty if the file does not say.
        by: who; empty if the file does not say.
        reason: why, or that the file does not say.
    """

    scope: Scope
    name: str
    at: str
    by: str
    reason: str


def file_name(scope: str, name: str) -> str:
    """Return the marker's file name.

    Raises:
        FormatError: no such scope, or a name that no node and no key can have.
    """
    if scope == "all" and not name:
        return "all"
    if scope in ("node", "key") and _NAME.fullmatch(name):
        return f"{scope}-{name}"
    raise FormatError('a freeze has scope "all" and no name, or scope "node" or "key" and the name of one')


class FreezeMarkers:
    """The markers in one folder.

    Args:
        folder: `state_dir/frozen`. Where it does not exist, nothing is frozen.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = f"{folder}/"

    def prepare(self) -> None:
        """Make the folder while there is room for it: a marker on a full disk needs no more than a name in it.

        Raises:
            OSError: it cannot be made.
        """
        self._make_folder()

    def frozen(self, node: str, key: str) -> str | None:
        """Return why `key` (PUB_ form) of `node` must not sign, or None. At most three stat calls if it may.

        A key without a node has the empty string for it.
        """
        names = ("all", f"node-{node}", f"key-{key}") if node else ("all", f"key-{key}")
        for name in names:
            try:
                os.stat(self._prefix + name, follow_symlinks=False)  # noqa: PTH116 - on the way of a signature
            except FileNotFoundError:
                continue
            except OSError as error:
                return self._hidden(error)
            return self._read(name)["reason"]
        return None

    def set(self, scope: str, name: str, by: str, reason: str) -> None:
        """Freeze. When this returns, the marker survives a power failure.

        A marker that exists already is replaced. If the disk has no room for the reason, the marker has none.

        Raises:
            FormatError: as `file_name`.
            OSError: the marker could not be made, or not made durable.
        """
        path = self._prefix + file_name(scope, name)
        text = json.dumps({"at": _now(), "by": by, "reason": reason[:_MAX_REASON]})
        self._make_folder()
        with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600) as descriptor:
            self._give_to_folder_owner(descriptor)
            os.ftruncate(descriptor, 0)
            try:
                os.write(descriptor, text.encode())
            except OSError:  # its existence freezes, and that needs no room for data
                os.ftruncate(descriptor, 0)
            os.fsync(descriptor)
        self._sync_folder()

    def has(self, scope: str, name: str) -> bool:
        """Return whether this very marker exists, on the disk or not yet.

        Raises:
            FormatError: as `file_name`.
            OSError: it cannot be looked up, which freezes.
        """
        try:
            os.lstat(self._prefix + file_name(scope, name))
        except FileNotFoundError:
            return False
        return True

    def clear(self, scope: str, name: str) -> bool:
        """End a freeze, durably. Return whether there was one.

        Raises:
            FormatError: as `file_name`.
            OSError: it could not be removed.
        """
        try:
            os.unlink(self._prefix + file_name(scope, name))  # noqa: PTH108 - one string, as in frozen()
        except FileNotFoundError:
            return False
        self._sync_folder()
        return True

    def list(self) -> list[Marker]:
        """Return the freezes in force, sorted.

        Raises:
            OSError: the folder exists and cannot be read.
        """
        try:
            names = sorted(os.listdir(self._folder))  # noqa: PTH208 - names, not paths
        except FileNotFoundError:
            return []
        return [self._read(name) for name in names if _scope_of(name) is not None]

    def standing(self) -> Sequence[Marker]:
        """Return what `list` does. A folder that cannot be read freezes everything, and is shown so."""
        try:
            return self.list()
        except OSError as error:
            return [Marker(scope="all", name="", at="", by="", reason=self._hidden(error))]

    def _hidden(self, error: OSError) -> str:
        return f"the freeze markers in {self._folder} cannot be looked up: {error.strerror}"

    def _read(self, name: str) -> Marker:
        scope, about = _scope_of(name) or ("all", "")
        try:
            with _opened(self._prefix + name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, 0) as descriptor:
                value = json.loads(os.read(descriptor, _MAX_BYTES))
        except (OSError, ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            value = {}
        at, by, reason = (
            text if isinstance(text := value.get(key), str) else "" for key in ("at", "by", "reason")
        )
        reason = reason or f"frozen by {self._prefix}{name}, which gives no reason"
        return Marker(scope=scope, name=about, at=at, by=by, reason=reason)

    def _make_folder(self) -> None:
        missing = []
        folder = self._folder
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
            with _opened(path, os.O_RDONLY | os.O_DIRECTORY, 0) as descriptor:
                _give_to(descriptor, path.parent)
            with _opened(path.parent, os.O_RDONLY | os.O_DIRECTORY, 0) as descriptor:
                os.fsync(descriptor)

    def _give_to_folder_owner(self, descriptor: int) -> None:
        _give_to(descriptor, self._folder)

    def _sync_folder(self) -> None:
        with _opened(self._folder, os.O_RDONLY | os.O_DIRECTORY, 0) as descriptor:
            os.fsync(descriptor)


def _scope_of(file: str) -> tuple[Scope, str] | None:
    if file == "all":
        return "all", ""
    scope, dash, name = file.partition("-")
    if dash and _NAME.fullmatch(name):
        if scope == "node":
            return "node", name
        if scope == "key":
            return "key", name
    return None


def _give_to(descriptor: int, parent: Path) -> None:
    """Let root's file belong to the folder's owner, so that the service can read and end root's freeze."""
    if os.geteuid() == 0:
        owner = parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def _opened(path: Path | str, flags: int, mode: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
