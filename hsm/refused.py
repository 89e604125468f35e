"""The marker that a token refused a PIN. It outlives restarts, so that no restart loop locks a token.

A marker stands for one state of the PIN source. Once the source changes, it blocks no more; a person can
clear it too. It counts the wrong PINs in a row. It holds no PIN and no hash of one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hsm.folder import sync_folder
from hsm.pin import Fingerprint

if TYPE_CHECKING:
    from pathlib import Path

_TOKEN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}")
#: A marker is a few hundred bytes; anything longer was not written here.
_MAX_BYTES: Final = 65536
#: Room for a marker on a full disk, in bytes. A longer one is cut: it cannot be read then, and blocks all the same.
_ROOM: Final = 4096
#: What a marker that cannot be read counts for: more than anybody allows.
_UNKNOWN_TRIES: Final = 1_000


class RefusedMarker:
    """The markers of all tokens, one JSON file for each in `folder`.

    Token names are those of the configuration, not labels. A name that could leave the folder: ValueError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def reserve(self, token: str) -> None:
        """Keep room for a marker of `token`, so that one can be left on a disk that is full by then.

        Raises:
            OSError: there is no room already.
        """
        room = self._room(token)
        if not room.exists():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write_new(room, " " * _ROOM)

    def mark(
        self, token: str, fingerprint: Fingerprint, reason: str, *, tried: bool = True, again: bool = False
    ) -> None:
        """Record that `token` refused the PIN read at `fingerprint`. On disk when this returns.

        Args:
            token: its name.
            fingerprint: the state of the PIN's source.
            reason: for a person.
            tried: whether the token was asked. If not, no wrong PIN is counted.
            again: the token had counted a wrong PIN before; if nobody counted it here, it is counted too.

        Raises:
            OSError: the marker cannot be written. Do not try the PIN again.
        """
        path = self._path(token)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = {
            "token": token,
            "fingerprint": fingerprint._asdict(),
            "tries": max(self.tries(token), int(again)) + int(tried),
            "reason": reason,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        text = json.dumps(content)
        try:
            self._write_new(path, text)
        except OSError:
            self._write_in_room(token, text)
        sync_folder(self._folder)

    def _write_new(self, path: Path, text: str) -> None:
        new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise

    def _write_in_room(self, token: str, text: str) -> None:
        """Let the file that `reserve` made be the marker: what it has of the disk is enough."""
        room = self._room(token)
        descriptor = os.open(room, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(text.encode()[:_ROOM].ljust(_ROOM))
            os.fsync(file.fileno())
        room.replace(self._path(token))

    def blocks(self, token: str, fingerprint: Fingerprint) -> str | None:
        """Return why `token` must not be asked with the PIN read at `fingerprint`, or None if it may be.

        A marker that cannot be read blocks: it was written for a reason.
        """
        try:
            with self._path(token).open("rb") as file:
                content = json.loads(file.read(_MAX_BYTES))
            marked = Fingerprint(**content["fingerprint"])
            reason, at = str(content["reason"]), str(content["at"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return (
                f"the marker {self._path(token)} cannot be read; check the PIN source, then retry the token"
            )
        if marked != fingerprint:
            return None
        return f"refused at {at}: {reason}"

    def tries(self, token: str) -> int:
        """Return how many wrong PINs `token` was given in a row, as far as is known here; at least 1 if a marker is."""
        try:
            with self._path(token).open("rb") as file:
                content = json.loads(file.read(_MAX_BYTES))
            tries = content.get("tries", 1)
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, AttributeError):
            return _UNKNOWN_TRIES
        return tries if isinstance(tries, int) and tries >= 0 else _UNKNOWN_TRIES

    def clear(self, token: str) -> bool:
        """Forget the refusal, because a person says so or a login succeeded. Return whether there was one.

        Raises:
            OSError: the marker cannot be removed.
        """
        try:
            self._path(token).unlink()
        except FileNotFoundError:
            return False
        sync_folder(self._folder)
        return True

    def _path(self, token: str) -> Path:
        if not _TOKEN_NAME.fullmatch(token):
            raise ValueError("a token's name has letters, digits, '.', '_' and '-' only")
        return self._folder / f"{token}.json"

    def _room(self, token: str) -> Path:
        return self._path(token).with_suffix(".room")
