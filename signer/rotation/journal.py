"""The journal of rotations: each change is on disk before it has an effect. In the control process' SQLite file.

What it guarantees: a rotation and the entry that tells of its change are written in one transaction; one rotation of a
chain is live at a time; an ended one stays ended; entries are only added. The file's own indexes and triggers say so
(`signer.database`), whoever writes. What it leaves to others: which change is right (`rotation.machine`).
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from signer.database import Database
from signer.errors import FormatError, JournalConflictError, JournalError
from signer.rotation import record, ring
from signer.rotation.entry import Entry, Event
from signer.rotation.evidence import Evidence, EvidenceKind
from signer.rotation.rotation import Rotation, State

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from signer.antelope.keys import PublicKey
    from signer.rotation.ring import KeyUse
    from signer.rotation.rotation import Request

#: Characters of an idempotency key, as the table has it.
MAX_IDEMPOTENCY_KEY: Final = 255

#: Inside the class, `list` is its method.
Rotations = list[Rotation]
Entries = list[Entry]
EvidenceList = list[Evidence]


class Journal:
    """The rotations, their entries, and what is known of the nodes. One thread at a time.

    Calls are synchronous and short, for use in an event loop. Of 9000 saves of a record of 3 kB on a virtual disk whose
    own flush takes 0.2 ms, the median took 0.4 ms and the worst 9 ms; another disk adds its flush. A call that meets
    another writer waits for it, at most 5 s. `uses` reads every rotation of a chain: 85 ms for 1000.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, make it if it is not there, upgrade it if it is older, and read all of it once.

        Raises:
            JournalError: it cannot be opened, is damaged, from a newer signer, or others can read it.
        """
        self._database = Database(path, JournalError)
        try:
            self._database.check()
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Let the file go."""
        self._database.close()

    def plan(
        self,
        request: Request,
        *,
        producer: str,
        permission: str,
        to_key: PublicKey,
        needs_approval: bool,
        idempotency_key: str | None,
        now: datetime,
    ) -> Rotation:
        """Write down a new rotation in state `planned`, and return it.

        Args:
            request: what is asked for.
            producer: the producer's account.
            permission: the permission that signs.
            to_key: the key that will be registered.
            needs_approval: whether a second person has to agree.
            idempotency_key: the caller's word for this request, 1 to 255 characters; one person uses it once.
            now: the time, with its zone.

        Raises:
            JournalConflictError: the chain has a live rotation already.
            JournalError: the person has used the idempotency key, or the file failed. Nothing was written.
        """
        reached = {State.PLANNED: now}
        rotation = Rotation(
            0,
            request,
            producer,
            permission,
            to_key,
            now,
            State.PLANNED,
            now,
            needs_approval=needs_approval,
            reached=reached,
        )
        text = f"{request.kind} on {request.chain} to {to_key} of {request.node}"
        entry = Entry(now, Event.PLANNED, State.PLANNED, request.requested_by, text)
        with self._database.writing() as connection:
            try:
                rotation_id = connection.execute(
                    "INSERT INTO rotations (idempotency_key, record) VALUES (?, ?)",
                    (idempotency_key, record.dump(rotation)),
                ).lastrowid
            except sqlite3.IntegrityError:
                raise _refusal(connection, request, idempotency_key) from None
            assert rotation_id is not None  # noqa: S101 - an INSERT that succeeded has one
            _add(connection, rotation_id, entry)
        return self.get(rotation_id)

    def save(self, rotation: Rotation, entry: Entry) -> None:
        """Write a rotation and the entry that tells of its change, both or neither.

        Raises:
            JournalError: there is no such rotation; it has ended on disk, and this is no approval after the fact; it
                would lose a transaction or change what was asked for; or the file failed.
        """
        with self._database.writing() as connection:
            try:
                changed = connection.execute(
                    "UPDATE rotations SET record = ? WHERE id = ?", (record.dump(rotation), rotation.id)
                ).rowcount
            except sqlite3.IntegrityError as error:
                raise JournalError(f"rotation {rotation.id} is not written: {error}") from None
            if not changed:
                raise _absent(rotation.id)
            _add(connection, rotation.id, entry)

    def get(self, rotation_id: int) -> Rotation:
        """Return the rotation of that number.

        Raises:
            JournalError: there is none, its record cannot be read, or the file failed.
        """
        found = self._rotations("WHERE id = ?", rotation_id)
        if not found:
            raise _absent(rotation_id)
        return found[0]

    def live(self) -> Rotations:
        """Return what has not ended, oldest first: at most one for each chain.

        Raises:
            JournalError: a record cannot be read, or the file failed.
        """
        return self._rotations("WHERE live ORDER BY id")

    def list(self, limit: int, before_id: int | None = None) -> Rotations:
        """Return at most `limit` rotations, newest first, all older than `before_id`.

        Raises:
            JournalError: a record cannot be read, or the file failed.
        """
        if before_id is None:
            return self._rotations("ORDER BY id DESC LIMIT ?", limit)
        return self._rotations("WHERE id < ? ORDER BY id DESC LIMIT ?", before_id, limit)

    def entries(self, rotation_id: int) -> Entries:
        """Return the history of a rotation, oldest first; none if there is no such rotation.

        Raises:
            JournalError: an entry cannot be read, or the file failed.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                'SELECT id, at, event, state, "by", text FROM entries WHERE rotation = ? ORDER BY id',
                (rotation_id,),
            ).fetchall()
        return [_entry(row) for row in rows]

    def by_idempotency_key(self, person: str, key: str) -> Rotation | None:
        """Return the rotation that `person` asked for with `key`, None if there is none.

        Raises:
            JournalError: its record cannot be read, or the file failed.
        """
        found = self._rotations("WHERE requested_by = ? AND idempotency_key = ?", person, key)
        return found[0] if found else None

    def uses(self, chain: str) -> dict[PublicKey, KeyUse]:
        """Return which keys rotations of `chain` registered, or found registered, and when.

        Raises:
            JournalError: a record cannot be read, or the file failed.
        """
        return ring.uses(self._rotations("WHERE chain = ? ORDER BY id", chain))

    def add_evidence(self, evidence: Evidence) -> None:
        """Write down what was seen. Of each node, key and kind the newest is kept.

        Raises:
            JournalError: the file failed.
        """
        with self._database.writing() as connection:
            connection.execute(
                """
                INSERT INTO evidence (node, key, kind, at, detail, "by") VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (node, key, kind) DO UPDATE
                    SET at = excluded.at, detail = excluded.detail, "by" = excluded."by" WHERE excluded.at >= at
                """,
                (
                    evidence.node,
                    str(evidence.key),
                    evidence.kind.value,
                    record.dump_moment(evidence.at),
                    _storable(evidence.detail),
                    _storable(evidence.by),
                ),
            )

    def evidence(self) -> EvidenceList:
        """Return what is known of all nodes, in order of node, key and kind.

        Raises:
            JournalError: a row cannot be read, or the file failed.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                'SELECT node, kind, key, at, detail, "by" FROM evidence ORDER BY node, key, kind'
            ).fetchall()
        return [_evidence(row) for row in rows]

    def _rotations(self, clause: str, *values: object) -> Rotations:
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT record, id FROM rotations {clause}", values).fetchall()  # noqa: S608 - clauses are the literals above
        return [record.load(text, rotation_id) for text, rotation_id in rows]


def _add(connection: sqlite3.Connection, rotation_id: int, entry: Entry) -> None:
    connection.execute(
        'INSERT INTO entries (rotation, at, event, state, "by", text) VALUES (?, ?, ?, ?, ?, ?)',
        (
            rotation_id,
            record.dump_moment(entry.at),
            entry.event.value,
            entry.state.value,
            _storable(entry.by),
            _storable(entry.text),
        ),
    )


def _refusal(connection: sqlite3.Connection, request: Request, idempotency_key: str | None) -> JournalError:
    """Return why the file took no new rotation. The indexes have judged; this finds the words."""
    row = connection.execute(
        "SELECT id, state, requested_by FROM rotations WHERE live AND chain = ?", (request.chain,)
    ).fetchone()
    if row is not None:
        live, state, requested_by = row
        return JournalConflictError(
            live,
            f"chain {request.chain} has a live rotation: number {live}, asked for by {requested_by}, is {state}; "
            "let it end, or abort it",
        )
    row = connection.execute(
        "SELECT id FROM rotations WHERE requested_by = ? AND idempotency_key = ?",
        (request.requested_by, idempotency_key),
    ).fetchone()
    if row is not None:
        return JournalError(
            f"{request.requested_by} has asked for rotation {row[0]} with this idempotency key; use another one"
        )
    return JournalError(f"rotation not written: an idempotency key has 1 to {MAX_IDEMPOTENCY_KEY} characters")


def _absent(rotation_id: int) -> JournalError:
    return JournalError(f"there is no rotation {rotation_id}; list them to see which there are")


def _entry(row: tuple[int, str, str, str, str, str]) -> Entry:
    number, at, event, state, by, text = row
    try:
        return Entry(record.load_moment(at), Event(event), State(state), by, text)
    except (FormatError, ValueError):
        raise JournalError(
            f"entry {number} in the journal cannot be read: it has an unknown event, state or time"
        ) from None


def _evidence(row: tuple[str, str, str, str, str, str]) -> Evidence:
    node, kind, key, at, detail, by = row
    try:
        return Evidence(node, EvidenceKind(kind), record.load_key(key), record.load_moment(at), detail, by)
    except (FormatError, ValueError):
        raise JournalError(
            f"the evidence of node {node} in the journal cannot be read: it has an unknown kind, key or time"
        ) from None


def _storable(text: str) -> str:
    """Return text that UTF-8 has: what an API node answered may hold half a surrogate pair."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
