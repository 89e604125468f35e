"""Who may use the control API: persons with a token each, kept in SQLite as hashes.

A token is 32 random bytes. It is shown once, when it is made; the file holds its SHA-256, which is enough
because nobody can guess 256 bits (a slow hash is for passwords). The caller brings the clock.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
import re
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from signer.database import Database
from signer.errors import FormatError, SignerError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: The file's name in the state folder.
DATABASE: Final = "control.sqlite"
#: Makes a token known for what it is: to people, and to programs that look for leaked secrets.
PREFIX: Final = "sgn_"
_TOKEN = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{43}", re.ASCII)
_TOKEN_BYTES: Final = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}", re.ASCII)


class TokenStoreError(SignerError):
    """The store of tokens cannot be used, or says no. The message says what to do."""


class TokenConflictError(TokenStoreError):
    """What is asked for does not fit what is in the store: a second token of a person, or none to end."""


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
    """The tokens in the control process' SQLite file. One thread at a time; other processes may use the same file."""

    def __init__(self, path: Path) -> None:
        """Open the store, and make it if it is not there.

        Raises:
            TokenStoreError: it cannot be opened, is no store, is from a newer signer, or others can read it.
        """
        self._database = Database(path, TokenStoreError)

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
        row = (name, " ".join(sorted(granted)), fingerprint(token), _seconds(now), _seconds(expires_at))
        with self._database.writing() as connection:
            try:
                connection.execute(
                    "INSERT INTO tokens (name, scopes, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
                    row,
                )
            except sqlite3.IntegrityError:
                raise TokenConflictError(f"{name} has a token already; revoke it first") from None
        return token

    def list(self) -> list[IssuedToken]:
        """Return all tokens ever issued, oldest first, without their texts.

        Raises:
            TokenStoreError: the store failed.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
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
        with self._database.writing() as connection:
            ended = connection.execute(
                "UPDATE tokens SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL",
                (_seconds(now), name),
            ).rowcount
        if ended == 0:
            raise TokenConflictError("nobody of that name has a token; list the tokens to see who has")

    def authenticate(self, text: str, now: datetime) -> Person | None:
        """Return whose token `text` is, None if it is nobody's, expired or revoked.

        Every live hash is compared, each in constant time: the answer's time says nothing of the tokens.

        Raises:
            TokenStoreError: the store failed.
        """
        return None if _TOKEN.fullmatch(text) is None else self.holder(fingerprint(text), now)

    def holder(self, asked: bytes, now: datetime) -> Person | None:
        """Return whose token has this fingerprint; otherwise as `authenticate`.

        Raises:
            TokenStoreError: the store failed.
        """
        seconds = _seconds(now)
        with self._database.reading() as connection:
            rows = connection.execute(
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
        with self._database.reading() as connection:
            connection.execute("SELECT count(*) FROM tokens").fetchone()


def fingerprint(token: str) -> bytes:
    """Return what stands for a token where the token itself must not be kept: its SHA-256."""
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
