"""The laws of the token store: shown once, stored as a hash, ended by time or by hand, private on disk."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signer.control.auth import Person, Scope, TokenStore, TokenStoreError
from signer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def path_of(tokens: TokenStore) -> Path:
    """Return the store's file."""
    return tokens._database.path  # noqa: SLF001 - no part of the program needs it


def test_a_token_admits_its_person_with_these_scopes(tokens: TokenStore) -> None:
    """And nobody else's text does."""
    token = tokens.create("alice", ["view", "operate"], None, NOW)
    assert re.fullmatch(r"sgn_[A-Za-z0-9_-]{43}", token)
    assert tokens.authenticate(token, NOW) == Person("alice", frozenset({Scope.VIEW, Scope.OPERATE}))
    other = tokens.create("bob", ["admin"], None, NOW)
    assert other != token
    assert tokens.authenticate(other, NOW) == Person("bob", frozenset({Scope.ADMIN}))


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token + "\n",
        lambda token: token + "=",
        lambda token: " " + token,
        lambda token: token.upper(),
        lambda token: token[4:],
        lambda token: token[:10] + ("A" if token[10] != "A" else "B") + token[11:],
        lambda token: token[:-1] + "é",
        lambda _: "",
        lambda _: "sgn_' OR 1=1 --",
    ],
    ids=range(11),
)
def test_any_other_text_is_nobody(tokens: TokenStore, change: Callable[[str], str]) -> None:
    """One character is enough."""
    token = tokens.create("alice", ["view"], None, NOW)
    assert tokens.authenticate(change(token), NOW) is None


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60) | st.from_regex(r"\Asgn_[A-Za-z0-9_-]{43}\Z"))
def test_no_made_up_text_is_anybody(tokens: TokenStore, text: str) -> None:
    """Also of the right form."""
    assert tokens.authenticate(text, NOW) is None


def test_an_expired_token_is_nobody(tokens: TokenStore) -> None:
    """From the second of its expiry on."""
    token = tokens.create("alice", ["view"], NOW + 10 * SECOND, NOW)
    assert tokens.authenticate(token, NOW + 9 * SECOND) is not None
    assert tokens.authenticate(token, NOW + 10 * SECOND) is None


def test_a_revoked_token_is_nobody_and_its_name_is_free(tokens: TokenStore) -> None:
    """At once, also through another connection; the list keeps it."""
    token = tokens.create("alice", ["view"], None, NOW)
    elsewhere = TokenStore(path_of(tokens))
    elsewhere.revoke("alice", NOW + SECOND)
    elsewhere.close()
    assert tokens.authenticate(token, NOW) is None
    again = tokens.create("alice", ["admin"], None, NOW)
    assert tokens.authenticate(token, NOW) is None
    assert tokens.authenticate(again, NOW) is not None
    listed = tokens.list()
    assert [(each.name, each.revoked_at) for each in listed] == [("alice", NOW + SECOND), ("alice", None)]
    assert listed[1].scopes == {Scope.ADMIN}


def test_one_live_token_for_a_name(tokens: TokenStore) -> None:
    """A second one is refused with what to do; revoking nobody is refused too."""
    tokens.create("alice", ["view"], None, NOW)
    with pytest.raises(TokenStoreError, match="revoke it first"):
        tokens.create("alice", ["view"], None, NOW)
    with pytest.raises(TokenStoreError, match="nobody"):
        tokens.revoke("bob", NOW)


@pytest.mark.parametrize(
    ("name", "scopes", "expires_at"),
    [
        ("", ["view"], None),
        ("a b", ["view"], None),
        ("a\n", ["view"], None),
        ("x" * 64, ["view"], None),
        ("alice", [], None),
        ("alice", ["root"], None),
        ("alice", ["view"], NOW),
    ],
)
def test_what_cannot_be_a_token_is_refused(
    tokens: TokenStore, name: str, scopes: list[str], expires_at: datetime | None
) -> None:
    """Nothing is stored."""
    with pytest.raises(FormatError):
        tokens.create(name, scopes, expires_at, NOW)
    assert tokens.list() == []


def test_the_token_is_not_in_the_files(tokens: TokenStore) -> None:
    """Only its hash is; neither the list nor a repr shows it."""
    token = tokens.create("alice", ["view"], None, NOW)
    for path in path_of(tokens).parent.iterdir():
        content = path.read_bytes()
        assert token.encode() not in content
        assert token[4:].encode() not in content
    assert token[4:] not in repr(tokens.list())


def test_the_files_are_private(tokens: TokenStore) -> None:
    """Folder 0700, the file, its WAL and its index 0600, whatever the umask."""
    tokens.create("alice", ["view"], None, NOW)
    folder = path_of(tokens).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == dict.fromkeys(("control.sqlite", "control.sqlite-wal", "control.sqlite-shm"), 0o600)


def test_a_store_that_others_can_read_is_refused(tokens: TokenStore) -> None:
    """With the command that repairs it."""
    path = path_of(tokens)
    path.chmod(0o640)
    with pytest.raises(TokenStoreError, match="chmod 0600"):
        TokenStore(path)


def test_it_survives_a_restart(tmp_path: Path) -> None:
    """And durably: WAL with synchronous FULL."""
    path = tmp_path / "control.sqlite"
    first = TokenStore(path)
    token = first.create("alice", ["view"], None, NOW)
    first.close()
    again = TokenStore(path)
    assert again.authenticate(token, NOW) is not None
    database = again._database._connection  # noqa: SLF001 - what it asked of SQLite
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)
    again.close()


def test_what_is_no_store_is_an_error_that_says_so(tmp_path: Path) -> None:
    """Garbage, a folder, a symbolic link, a newer signer's file: TokenStoreError, and the file stays."""
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not a database, but long enough to be read as one" * 100)
    garbage.chmod(0o600)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(garbage)
    newer = tmp_path / "newer"
    TokenStore(newer).close()
    with sqlite3.connect(newer) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = garbage.read_bytes()
    for name in ("garbage", "folder", "link", "newer"):
        with pytest.raises(TokenStoreError, match=name):
            TokenStore(tmp_path / name)
    assert garbage.read_bytes() == before


def test_a_store_that_breaks_later_is_an_error(tokens: TokenStore) -> None:
    """The border translates what SQLite raises, and repeats no value."""
    token = tokens.create("alice", ["view"], None, NOW)
    with sqlite3.connect(path_of(tokens)) as database:
        database.execute("DROP TABLE tokens")
    database.close()
    for call in (
        tokens.check,
        tokens.list,
        lambda: tokens.authenticate(token, NOW),
        lambda: tokens.create("bob", ["view"], None, NOW),
        lambda: tokens.revoke("bob", NOW),
    ):
        with pytest.raises(TokenStoreError) as failure:
            call()
        assert token not in str(failure.value)
