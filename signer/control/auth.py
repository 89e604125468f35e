"""Who may use the control API: persons with a token each, kept in SQLite as hashes.

A token is 32 random bytes. It is shown once, when it is made; the file holds its SHA-256, which is enough
because nobody can guess 256 bits (a slow hash is for passwords). The caller brings the clock.
"""

from __future__ import annotations

import base64
import contextlib
import enum
import hashlib
import hmac
import os
import re
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from signer.errors import FormatError, SignerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: The file's name in the state folder.
DATABASE: Final = "control.sqlite"
#: Makes a token known for what it is: to people, and to programs that look for leaked secrets.
PREFIX: Final = "sgn_"
_TOKEN = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{43}", re.ASCII)
_TOKEN_BYTES: Final = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}", re.ASCII)
#: A writer elsewhere (the command line) holds the file for milliseconds.
_BUSY_TIMEOUT_S: Final = 5.0
_VERSION: Final = 1
_SCHEMA: Final = """
    CREATE TABLE tokens (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        scopes TEXT NOT NULL,
        hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        revoked_at INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX tokens_live_name ON tokens (name) WHERE revoked_at IS NULL;
"""


class TokenStoreError(SignerError):
    """The store of tokens cannot be used, or says no. The message says what to do."""


class Scope(enum.StrEnum):
    """What a person may do. None implies another."""

    VIEW = "view"
    OPERATE = "operate"
    APPROVE = "approve"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks, as a valid token says."""

    name: str
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token as the store lists it: everything but the token. Times are UTC."""

    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class TokenStore:
    """The tokens in one SQLite file. One thread at a time; other processes may use the same file."""

    def __init__(self, path: Path) -> None:
        """Open the store, and make it if it is not there.

        Raises:
            TokenStoreError: it cannot be opened, is no store, is from a newer signer, or others can read it.
        """
        self._path = path
        with self._translated():
            _make_private(path)
            self._database = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._translated():
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = FULL")
                self._migrate()
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Let the file go."""
        self._database.close()

    def create(self, name: str, scopes: Iterable[str], expires_at: datetime | None, now: datetime) -> str:
        """Return a new token for the person `name`. It cannot be read again.

        Raises:
            FormatError: the name, a scope or the expiry is not usable.
            TokenStoreError: the person has a token already, or the store failed.
        """
        if _NAME.fullmatch(name) is None:
            raise FormatError("a person's name has 1 to 63 letters, digits and _.@-, a letter or digit first")
        granted = _scopes(scopes)
        if expires_at is not None and expires_at <= now:
            raise FormatError("the token would have expired already; give a time in the future")
        token = PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_TOKEN_BYTES)).rstrip(b"=").decode()
        row = (name, " ".join(sorted(granted)), _hash(token), _seconds(now), _seconds(expires_at))
        with self._translated():
            try:
                self._database.execute(
                    "INSERT INTO tokens (name, scopes, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
                    row,
                )
            except sqlite3.IntegrityError:
                raise TokenStoreError(f"{name} has a token already; revoke it first") from None
        return token

    def list(self) -> list[IssuedToken]:
        """Return all tokens ever issued, oldest first, without their texts.

        Raises:
            TokenStoreError: the store failed.
        """
        with self._translated():
            rows = self._database.execute(
                "SELECT name, scopes, created_at, expires_at, revoked_at FROM tokens ORDER BY id"
            ).fetchall()
        return [
            IssuedToken(name, _scopes(scopes.split()), _moment(created), _maybe(expires), _maybe(revoked))
            for name, scopes, created, expires, revoked in rows
        ]

    def revoke(self, name: str, now: datetime) -> None:
        """End the token of the person `name` at once.

        Raises:
            TokenStoreError: that person has no token, or the store failed.
        """
        with self._translated():
            ended = self._database.execute(
                "UPDATE tokens SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL",
                (_seconds(now), name),
            ).rowcount
        if ended == 0:
            raise TokenStoreError("nobody of that name has a token; list the tokens to see who has")

    def authenticate(self, text: str, now: datetime) -> Person | None:
        """Return whose token `text` is, None if it is nobody's, expired or revoked.

        Every live hash is compared, each in constant time: the answer's time says nothing of the tokens.

        Raises:
            TokenStoreError: the store failed.
        """
        if _TOKEN.fullmatch(text) is None:
            return None
        asked, seconds = _hash(text), _seconds(now)
        with self._translated():
            rows = self._database.execute(
                "SELECT hash, name, scopes, expires_at FROM tokens WHERE revoked_at IS NULL"
            ).fetchall()
        found: Person | None = None
        for known, name, scopes, expires_at in rows:
            same = hmac.compare_digest(known, asked)
            if same and (expires_at is None or (seconds is not None and seconds < expires_at)):
                found = Person(name, _scopes(scopes.split()))
        return found

    def check(self) -> None:
        """Read from the store.

        Raises:
            TokenStoreError: the store failed.
        """
        with self._translated():
            self._database.execute("SELECT count(*) FROM tokens").fetchone()

    def _migrate(self) -> None:
        if self._version() == 0:
            self._database.execute("BEGIN IMMEDIATE")
            if self._version() == 0:  # nobody else was faster
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {_VERSION}")
            self._database.execute("COMMIT")
        if self._version() > _VERSION:
            raise TokenStoreError(f"{self._path} was written by a newer signer; upgrade this one")

    def _version(self) -> int:
        return int(self._database.execute("PRAGMA user_version").fetchone()[0])

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # The message of an error may quote a value, so only its name goes on.
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            raise TokenStoreError(
                f"{self._path}: {name}; check the disk, and owner and mode of that file"
            ) from None
        except OSError as error:
            raise TokenStoreError(
                f"{self._path}: {error.strerror}; check owner and mode of its folder"
            ) from None


def _make_private(path: Path) -> None:
    """Create the file 0600 before SQLite does with another mode; its WAL takes the mode of the file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        mode = os.fstat(descriptor).st_mode & 0o777
    finally:
        os.close(descriptor)
    if mode & 0o077:
        raise TokenStoreError(f"{path} has mode {mode:04o}, others could use it; run: chmod 0600 {path}")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()


def _scopes(names: Iterable[str]) -> frozenset[Scope]:
    try:
        granted = frozenset(Scope(name) for name in names)
    except ValueError:
        raise FormatError(f"a scope is one of: {', '.join(Scope)}") from None
    if not granted:
        raise FormatError(f"a token without a scope can do nothing; give one of: {', '.join(Scope)}")
    return granted


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _maybe(seconds: int | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)
