"""The control process' SQLite file: opened privately and durably, brought to its newest version, its errors told.

What it guarantees: a write that returned is on disk (WAL with synchronous FULL, sqlite.org/pragma.html); a file of an
older version is upgraded in one transaction, by whichever process opens it first; a newer one is refused. What it
leaves to others: the meaning of the tables (`control.auth`, `rotation.journal`). No exception of SQLite leaves here.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from signer.errors import SignerError

#: Writers hold the file for milliseconds; one that is stopped in the middle holds the caller for as long as this.
BUSY_TIMEOUT_S: Final = 5.0
#: Pause before the next try where SQLite does not wait by itself: a few of a writer's transactions.
_RETRY_S: Final = 0.01

_STATES: Final = (
    "'planned', 'approval', 'preflight', 'signed', 'registered', 'proposed', 'pending', 'active', 'verified', "
    "'done', 'registered-unscheduled', 'returning', 'returned', 'refused', 'aborted', 'superseded', 'failed'"
)
_TERMINAL: Final = (
    "'done', 'registered-unscheduled', 'returned', 'refused', 'aborted', 'superseded', 'failed'"
)

#: What brings a file from each version to the next. A list that was released is never changed, only followed.
_MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
        CREATE TABLE tokens (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            scopes TEXT NOT NULL,
            hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            revoked_at INTEGER
        ) STRICT
        """,
        "CREATE UNIQUE INDEX tokens_live_name ON tokens (name) WHERE revoked_at IS NULL",
    ),
    (
        # The record is the truth. The columns made from it are for indexes and checks and cannot differ from it.
        f"""
        CREATE TABLE rotations (
            id INTEGER PRIMARY KEY,
            idempotency_key TEXT CHECK (length(idempotency_key) BETWEEN 1 AND 255),
            record TEXT NOT NULL CHECK (json_valid(record)),
            chain TEXT NOT NULL AS (record ->> '$.request.chain'),
            requested_by TEXT NOT NULL AS (record ->> '$.request.requested_by'),
            state TEXT NOT NULL AS (record ->> '$.state') CHECK (state IN ({_STATES})),
            live INTEGER NOT NULL AS (state NOT IN ({_TERMINAL}))
        ) STRICT
        """,
        "CREATE UNIQUE INDEX rotations_one_live ON rotations (chain) WHERE live",
        """
        CREATE UNIQUE INDEX rotations_asked_once ON rotations (requested_by, idempotency_key)
            WHERE idempotency_key IS NOT NULL
        """,
        """
        CREATE TRIGGER rotations_are_kept BEFORE DELETE ON rotations
            BEGIN SELECT RAISE(ABORT, 'a rotation is never removed'); END
        """,
        """
        CREATE TRIGGER rotations_keep_their_request BEFORE UPDATE ON rotations
            WHEN NEW.id <> OLD.id OR NEW.idempotency_key IS NOT OLD.idempotency_key
                OR NEW.record -> '$.request' IS NOT OLD.record -> '$.request'
                OR NEW.record -> '$.producer' IS NOT OLD.record -> '$.producer'
                OR NEW.record -> '$.permission' IS NOT OLD.record -> '$.permission'
                OR NEW.record -> '$.to_key' IS NOT OLD.record -> '$.to_key'
                OR NEW.record -> '$.created_at' IS NOT OLD.record -> '$.created_at'
            BEGIN SELECT RAISE(ABORT, 'what was asked for does not change'); END
        """,
        # A writer with an old copy would otherwise forget a transaction that may be in a block.
        """
        CREATE TRIGGER rotations_keep_their_transactions BEFORE UPDATE ON rotations
            WHEN json_array_length(NEW.record, '$.transactions') < json_array_length(OLD.record, '$.transactions')
            BEGIN SELECT RAISE(ABORT, 'a signed transaction is never forgotten'); END
        """,
        # An emergency is approved after the fact, so also after the end.
        """
        CREATE TRIGGER rotations_stay_ended BEFORE UPDATE ON rotations
            WHEN NOT OLD.live AND NOT (
                OLD.record ->> '$.approved_by' IS NULL
                AND json_remove(NEW.record, '$.approved_by') = json_remove(OLD.record, '$.approved_by')
            )
            BEGIN SELECT RAISE(ABORT, 'it has ended, and only an approval may follow'); END
        """,
        f"""
        CREATE TABLE entries (
            id INTEGER PRIMARY KEY,
            rotation INTEGER NOT NULL REFERENCES rotations (id),
            at TEXT NOT NULL,
            event TEXT NOT NULL CHECK (event <> ''),
            state TEXT NOT NULL CHECK (state IN ({_STATES})),
            "by" TEXT NOT NULL CHECK ("by" <> ''),
            text TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX entries_of_a_rotation ON entries (rotation)",
        """
        CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
            BEGIN SELECT RAISE(ABORT, 'an entry is never changed'); END
        """,
        """
        CREATE TRIGGER entries_are_kept BEFORE DELETE ON entries
            BEGIN SELECT RAISE(ABORT, 'an entry is never removed'); END
        """,
        """
        CREATE TABLE evidence (
            node TEXT NOT NULL,
            key TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind <> ''),
            at TEXT NOT NULL,
            detail TEXT NOT NULL,
            "by" TEXT NOT NULL CHECK ("by" <> ''),
            PRIMARY KEY (node, key, kind)
        ) STRICT, WITHOUT ROWID
        """,
    ),
)
VERSION: Final = len(_MIGRATIONS)

_DAMAGED: Final = (
    "the file is damaged: blocks are signed without it, so do not stop the signer. Move it and its -wal and -shm files "
    "away, put a backup in their place or make the tokens anew, and look for rotations in the audit log; "
    "runbook, Journal damaged"
)
_FORBIDDEN: Final = (
    "the file cannot be written: check owner and mode of it and of its folder, "
    "and whether the disk is mounted read-only"
)
#: What to do, by the first words of SQLite's name of an error (sqlite.org/rescode.html).
_REMEDIES: Final = {
    "SQLITE_BUSY": f"another process has held the file for {BUSY_TIMEOUT_S:.0f} s: see who with fuser, then try again",
    "SQLITE_LOCKED": "another connection holds a table: try again",
    "SQLITE_FULL": "the disk is full: make room, then try again",
    "SQLITE_IOERR": "the disk failed or a limit or quota was met: look at the kernel's log and at the free space",
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_NOTADB": _DAMAGED,
    "SQLITE_READONLY": _FORBIDDEN,
    "SQLITE_CANTOPEN": _FORBIDDEN,
    "SQLITE_PERM": _FORBIDDEN,
}
_OTHER_REMEDY: Final = "check the disk, and owner and mode of that file"


class Database:
    """One connection to the file. One thread at a time; other processes may use the same file."""

    def __init__(self, path: Path, failure: Callable[[str], SignerError]) -> None:
        """Open the file, make it if it is not there, and upgrade it if it is older.

        Args:
            path: the file; its folder is made with mode 0700 if it is not there.
            failure: what is raised, from a message that says what to do.

        Raises:
            failure: it cannot be opened, is no such file, is damaged, from a newer signer, or others can read it.
        """
        self.path = path
        self._failure = failure
        with self._translated():
            self._identity = self._make_private()
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._translated():
                self._use_wal()
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA foreign_keys = ON")
            self._migrate()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for one statement that reads.

        Raises:
            failure: SQLite failed.
        """
        with self._translated():
            yield self._connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection in a transaction that ends with the block; an exception leaves nothing of it.

        Raises:
            failure: SQLite failed. Where it failed while it synchronised the disk, a crash soon afterwards may still
                bring the transaction back: wholly, never in part.
        """
        with self._translated():
            self._check_place()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # some errors end the transaction by themselves
                    self._connection.execute("ROLLBACK")
                raise

    def check(self) -> None:
        """Read the whole file.

        Raises:
            failure: SQLite failed, or says that the file is damaged.
        """
        with self.reading() as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise self._failure(f"{self.path}: {_DAMAGED}")

    def _migrate(self) -> None:
        if self._version() < VERSION:
            with self.writing() as connection:
                # Read again: another process may have been faster.
                for statements in _MIGRATIONS[self._version() :]:
                    for statement in statements:
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {max(VERSION, self._version())}")
        if self._version() > VERSION:
            raise self._failure(f"{self.path} was written by a newer signer; upgrade this one")

    def _version(self) -> int:
        with self.reading() as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])

    def _make_private(self) -> tuple[int, int]:
        """Create the file 0600 before SQLite does with another mode; its WAL takes the mode of the file.

        A file that is there is not opened: to close any descriptor of it would drop the locks that SQLite holds for
        other connections of this process (sqlite.org/howtocorrupt.html, section 2.2).
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        status = self.path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise self._failure(f"{self.path} is no file; move it away")
        if status.st_mode & 0o077:
            raise self._failure(
                f"{self.path} has mode {stat.S_IMODE(status.st_mode):04o}, others could use it; "
                f"run: chmod 0600 {self.path}"
            )
        return status.st_dev, status.st_ino

    def _use_wal(self) -> None:
        """Several processes may meet at a new file. SQLite does not wait here, lest two wait for each other."""
        deadline_s = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                    raise
                time.sleep(_RETRY_S)
            else:
                return

    def _check_place(self) -> None:
        """Refuse to write into a file that was removed: SQLite would say that it is on disk, and nobody finds it."""
        status = self.path.stat()
        if (status.st_dev, status.st_ino) != self._identity:
            raise self._failure(
                f"{self.path}: another file was put in its place while it was open; end the control process "
                "(`signer status` has its pid), and another one starts with that file"
            )

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # The message of an error may quote a value, so only its name goes on.
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            remedy = next(
                (text for start, text in _REMEDIES.items() if name.startswith(start)), _OTHER_REMEDY
            )
            raise self._failure(f"{self.path}: {name}; {remedy}") from None
        except OSError as error:
            raise self._failure(
                f"{self.path}: {error.strerror}; check owner and mode of it and of its folder"
            ) from None
