"""The laws of the journal: on disk before it returns, wholly or not at all, one live rotation of a chain."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from rig import two_nodes
from rotation.samples import FULL, KEYS, NOW, REQUEST, SECOND

from signer import database
from signer.control.auth import TokenStore, TokenStoreError
from signer.errors import JournalConflictError, JournalError
from signer.rotation.entry import Entry, Event
from signer.rotation.evidence import Evidence, EvidenceKind
from signer.rotation.journal import Journal
from signer.rotation.ring import KeyUse
from signer.rotation.rotation import TERMINAL, Request, Rotation, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE: Final = Path(__file__).resolve().parent
PROGRAM: Final = HERE / "journal_program.py"
ENTRY: Final = Entry(NOW, Event.CHECKING, State.PREFLIGHT, "signer", "looks")
#: A program that opens the file and says what came of it.
OPENING: Final = """
import sys, pathlib
from signer.rotation.journal import Journal
try:
    Journal(pathlib.Path(sys.argv[1]))
except Exception as error:
    print(repr(error))
"""
#: Version 1 of the file, as the first release wrote it.
VERSION_1: Final = """
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
    PRAGMA user_version = 1;
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "control.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(path)) as journal:
        yield journal


@contextlib.contextmanager
def reopened(path: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(path)) as journal:
        yield journal


def plan(journal: Journal, request: Request = REQUEST, key: str | None = None) -> Rotation:
    return journal.plan(
        request,
        producer="bravo",
        permission="rotate",
        to_key=two_nodes.B[1],
        needs_approval=True,
        idempotency_key=key,
        now=NOW,
    )


def ended(
    journal: Journal, request: Request = REQUEST, state: State = State.DONE, key: str | None = None
) -> Rotation:
    rotation = replace(plan(journal, request, key), state=state)
    journal.save(rotation, replace(ENTRY, state=state))
    return rotation


def connection(journal: Journal) -> sqlite3.Connection:
    return journal._database._connection  # noqa: SLF001 - what the file itself says, whoever asks


def program(path: Path, *arguments: str, wrapper: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*wrapper, sys.executable, str(PROGRAM), str(path), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": f"{HERE.parents[1]}:{HERE.parent}"},
        text=True,
    )


# -- what is written comes back ---------------------------------------------------------------------------


def test_a_planned_rotation_is_on_disk_with_its_entry(path: Path, journal: Journal) -> None:
    rotation = plan(journal)
    assert rotation == Rotation(
        id=1,
        request=REQUEST,
        producer="bravo",
        permission="rotate",
        to_key=two_nodes.B[1],
        created_at=NOW,
        state=State.PLANNED,
        state_since=NOW,
        needs_approval=True,
        reached={State.PLANNED: NOW},
    )
    with reopened(path) as again:
        assert again.get(1) == rotation
        assert again.live() == [rotation]
        text = f"promote on local to {two_nodes.B[1]} of b"
        assert again.entries(1) == [Entry(NOW, Event.PLANNED, State.PLANNED, "alice", text)]


def test_a_saved_rotation_is_on_disk_with_its_entry(path: Path, journal: Journal) -> None:
    """Every field."""
    first = journal.plan(
        FULL.request,
        producer=FULL.producer,
        permission=FULL.permission,
        to_key=FULL.to_key,
        needs_approval=FULL.needs_approval,
        idempotency_key=None,
        now=FULL.created_at,
    )
    full = replace(FULL, id=first.id)
    journal.save(full, ENTRY)
    with reopened(path) as again:
        assert again.get(first.id) == full
        assert again.entries(first.id)[1:] == [ENTRY]


def test_a_save_is_flushed_to_the_disk(journal: Journal) -> None:
    """WAL, with a flush at each commit (2 is FULL); the file's own words are checked as well."""
    asked = connection(journal)
    assert asked.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert asked.execute("PRAGMA synchronous").fetchone() == (2,)
    assert asked.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_rotations_are_listed_newest_first_page_by_page(journal: Journal) -> None:
    made = [ended(journal) for _ in range(5)]
    assert journal.list(2) == made[:2:-1]
    assert journal.list(2, before_id=4) == [made[2], made[1]]
    assert journal.list(10, before_id=2) == [made[0]]
    assert journal.list(10, before_id=1) == []


def test_what_is_not_there_is_an_error_that_says_so(journal: Journal) -> None:
    with pytest.raises(JournalError, match="no rotation 3"):
        journal.get(3)
    with pytest.raises(JournalError, match="no rotation 7"):
        journal.save(FULL, ENTRY)
    assert journal.entries(3) == []
    assert journal.entries(7) == []


def test_half_a_surrogate_pair_is_written(journal: Journal) -> None:
    """An API node may answer with it, and a rotation must not stop for that."""
    rotation = replace(plan(journal), reason="\ud800")
    journal.save(rotation, replace(ENTRY, text="no: \ud800"))
    assert journal.get(1) == rotation
    assert journal.entries(1)[-1].text == "no: \\ud800"


# -- one live rotation, ended ones stay -------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_a_second_rotation_waits_until_the_first_has_ended(journal: Journal, state: State) -> None:
    """In every state. The refusal names the live one and writes nothing; another chain is free."""
    ended(journal, state=state)
    if state in TERMINAL:
        assert plan(journal).id == 2
        return
    with pytest.raises(JournalConflictError, match=f"number 1, asked for by alice, is {state}") as failure:
        plan(journal)
    assert failure.value.rotation_id == 1
    assert plan(journal, replace(REQUEST, chain="other")).id == 2
    assert [each.id for each in journal.live()] == [1, 2]


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_ended_rotation_stays_ended(journal: Journal, state: State) -> None:
    """Also for the live states, and for itself with another word. Nothing of the refused save is written."""
    rotation = ended(journal, state=state)
    before = journal.entries(1)
    for change in (
        replace(rotation, state=State.ACTIVE),
        replace(rotation, reason="more"),
        replace(rotation, approved_by="bob", reason="more"),
    ):
        with pytest.raises(JournalError, match=r"rotation 1 .* has ended"):
            journal.save(change, ENTRY)
    assert journal.get(1) == rotation
    assert journal.entries(1) == before


def test_an_emergency_is_approved_after_its_end_and_once(journal: Journal) -> None:
    """The approval alone changes."""
    rotation = replace(ended(journal), approved_by="bob")
    confirmed = Entry(NOW + SECOND, Event.CONFIRMED, State.DONE, "bob", "approved afterwards by bob")
    journal.save(rotation, confirmed)
    assert journal.get(1) == rotation
    assert journal.entries(1)[-1] == confirmed
    with pytest.raises(JournalError, match="has ended"):
        journal.save(replace(rotation, approved_by="carol"), confirmed)


@pytest.mark.parametrize(
    "change",
    [
        lambda each: replace(each, request=replace(each.request, node="a")),
        lambda each: replace(each, producer="charlie"),
        lambda each: replace(each, permission="active"),
        lambda each: replace(each, to_key=two_nodes.B[2]),
        lambda each: replace(each, created_at=NOW + SECOND),
    ],
    ids=range(5),
)
def test_what_was_asked_for_does_not_change(journal: Journal, change: Callable[[Rotation], Rotation]) -> None:
    with pytest.raises(JournalError, match="does not change"):
        journal.save(change(plan(journal)), ENTRY)


def test_a_signed_transaction_is_never_forgotten(journal: Journal) -> None:
    """A writer with an old copy is refused: the transaction may be in a block."""
    old = plan(journal)
    new = replace(old, transactions=FULL.transactions)
    journal.save(new, ENTRY)
    for stale in (old, replace(new, transactions=FULL.transactions[:1])):
        with pytest.raises(JournalError, match="never forgotten"):
            journal.save(stale, ENTRY)
    assert journal.get(1) == new


def test_the_file_itself_refuses_to_forget(journal: Journal) -> None:
    """Whoever writes, with whatever program: entries are only added, rotations never removed."""
    plan(journal)
    for statement in (
        "DELETE FROM entries",
        "UPDATE entries SET text = 'x'",
        "DELETE FROM rotations",
        "UPDATE rotations SET id = 2",
        "UPDATE rotations SET idempotency_key = 'x'",
        "UPDATE rotations SET record = json_set(record, '$.state', 'gone')",
        "UPDATE rotations SET record = '{'",
        "INSERT INTO rotations (record) SELECT record FROM rotations",
        "INSERT INTO entries (rotation, at, event, state, by, text) SELECT 9, at, event, state, by, text FROM entries",
        "INSERT INTO entries (rotation, at, event, state, by, text) SELECT 1, at, event, 'x', by, text FROM entries",
    ):
        with pytest.raises(sqlite3.Error):
            connection(journal).execute(statement)
    assert len(journal.entries(1)) == 1
    assert len(journal.list(9)) == 1


def test_a_request_is_found_by_its_idempotency_key(journal: Journal) -> None:
    """Of that person; a second use is refused even after the end, and another person's is their own."""
    rotation = ended(journal, key="k")
    assert journal.by_idempotency_key("alice", "k") == rotation
    assert journal.by_idempotency_key("bob", "k") is None
    assert journal.by_idempotency_key("alice", "") is None
    with pytest.raises(JournalError, match="rotation 1 with this idempotency key"):
        plan(journal, key="k")
    assert plan(journal, replace(REQUEST, requested_by="bob"), key="k").id == 2
    for wrong in ("", "x" * 256):
        with pytest.raises(JournalError, match="1 to 255"):
            plan(journal, replace(REQUEST, chain="other"), key=wrong)


def test_uses_are_those_of_one_chain(journal: Journal) -> None:
    """What they are is the ring's business."""
    rotation = plan(journal)
    done = replace(rotation, state=State.DONE, reached={State.REGISTERED: NOW, State.DONE: NOW + SECOND})
    journal.save(done, ENTRY)
    assert journal.uses("local") == {two_nodes.B[1]: KeyUse(NOW, NOW + SECOND, 1)}
    assert journal.uses("other") == {}


def test_of_evidence_the_newest_of_a_kind_is_kept(path: Path, journal: Journal) -> None:
    """Of each node and key, in whatever order it comes."""
    new = Evidence("a", EvidenceKind.FILE, KEYS[0], NOW, "process 5 \ud800", "alice")
    others = [
        replace(new, kind=EvidenceKind.SIGNED, at=NOW - SECOND),
        replace(new, key=KEYS[1]),
        replace(new, node="b"),
    ]
    for each in (
        replace(new, at=NOW - SECOND, detail="old"),
        new,
        replace(new, at=NOW - 2 * SECOND),
        *others,
    ):
        journal.add_evidence(each)
    kept = {replace(each, detail="process 5 \\ud800") for each in (new, *others)}
    with reopened(path) as again:
        assert set(again.evidence()) == kept
        assert len(again.evidence()) == 4


# -- damaged rows -----------------------------------------------------------------------------------------


def test_a_row_that_cannot_be_read_is_named(journal: Journal) -> None:
    """The other rows can be read."""
    plan(journal)
    plan(journal, replace(REQUEST, chain="other"))
    connection(journal).execute("UPDATE rotations SET record = json_set(record, '$.more', 1) WHERE id = 2")
    for call in (
        journal.live,
        lambda: journal.list(9),
        lambda: journal.get(2),
        lambda: journal.uses("other"),
    ):
        with pytest.raises(JournalError, match=r"rotation 2 .*'more' is unknown"):
            call()
    assert journal.get(1).id == 1
    connection(journal).execute(
        "INSERT INTO entries (rotation, at, event, state, by, text) VALUES (1, 'now', 'x', 'done', 'y', '')"
    )
    with pytest.raises(JournalError, match="entry 3 "):
        journal.entries(1)
    journal.add_evidence(Evidence("a", EvidenceKind.FILE, KEYS[0], NOW, "", "alice"))
    connection(journal).execute("UPDATE evidence SET kind = 'hearsay'")
    with pytest.raises(JournalError, match="node a "):
        journal.evidence()


# -- several processes ------------------------------------------------------------------------------------


def test_of_two_processes_that_ask_at_once_one_plans(path: Path) -> None:
    """For each of many chains, on a file that both of them make."""
    chains = [f"chain{number}" for number in range(30)]
    with program(path, "plan", *chains) as one, program(path, "plan", *chains[::-1]) as two:
        outcomes = []
        for each in (one, two):
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in (one, two):
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        for each in (one, two):
            assert each.stdout is not None
            words = each.stdout.read().split()
            outcomes.append(dict(zip(words[1::2], words[::2], strict=True)))
            assert each.wait() == 0
    planned = [number for outcome in outcomes for number, word in outcome.items() if word == "planned"]
    refused = [number for outcome in outcomes for number, word in outcome.items() if word == "live"]
    assert sorted(planned) == sorted(refused) == sorted(str(number) for number in range(1, 31))
    with reopened(path) as journal:
        assert len(journal.live()) == 30
        assert all(len(journal.entries(each.id)) == 1 for each in journal.live())


def test_a_new_file_is_made_once_by_many_processes(path: Path) -> None:
    """They wait for each other."""
    programs = [program(path, "plan", f"chain{number}") for number in range(4)]
    said = [each.communicate("go\n")[0] for each in programs]
    assert sorted(said) == [f"ready\nplanned {number}\n" for number in range(1, 5)]


def test_two_openings_in_one_process_keep_the_locks(path: Path) -> None:
    """Else another process that closes the file believes to be the last, and removes the WAL under this one."""
    with contextlib.closing(TokenStore(path)) as tokens, contextlib.closing(Journal(path)) as journal:
        with program(path, "plan", "elsewhere") as other:
            assert other.communicate("go\n")[0] == "ready\nplanned 1\n"
        plan(journal)
        tokens.create("alice", ["view"], None, NOW)
        with program(path, "plan", "local", "third") as other:
            assert other.communicate("go\n")[0] == "ready\nlive 2 planned 3\n"
        assert [each.id for each in journal.live()] == [1, 2, 3]


def test_killed_at_work_each_rotation_is_wholly_before_or_after_a_save(path: Path) -> None:
    """SIGKILL, five times on one file; what was acknowledged is there, and at most one save more."""
    with reopened(path) as journal:
        for chain in ("one", "two"):
            plan(journal, replace(REQUEST, chain=chain))
    for number_of_saves in (1, 7, 30, 2, 60):
        with program(path, "save", "1", "2") as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(number_of_saves)]
            child.kill()
            lines += child.stdout.readlines()
        said = [tuple(map(int, line.split())) for line in lines if line.endswith("\n")]
        written = []
        with reopened(path) as journal:
            for rotation in journal.live():
                number = rotation.head_seen
                assert rotation.reason == (f"{number} " * 2000 if number else "")
                numbers = [int(each.text) for each in journal.entries(rotation.id)[1:]]
                assert max(numbers, default=0) == number
                written += numbers
        assert sorted(written) == list(range(1, len(written) + 1))
        assert said[-1][1] <= len(written) <= said[-1][1] + 1


def test_another_process_that_writes_for_too_long_is_an_error(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With how to find it; afterwards the journal works."""
    rotation = plan(journal)
    connection(journal).execute("PRAGMA busy_timeout = 20")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match=r"SQLITE_BUSY.*fuser"):
            journal.save(rotation, ENTRY)
        assert journal.get(1) == rotation  # reading goes on
        other.execute("ROLLBACK")
    journal.save(rotation, ENTRY)


# -- the disk ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """Let no file grow above `size` bytes: write(2) answers EFBIG, as a full disk answers ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # Python ignores SIGXFSZ
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def save_until_refused(journal: Journal) -> tuple[Rotation, str]:
    """Save with ever new values; return what was saved last and the refusal."""
    rotation = journal.get(1)
    for number in range(10_000):
        changed = replace(rotation, head_seen=number, reason="x" * 3000)
        try:
            journal.save(changed, replace(ENTRY, text=str(number)))
        except JournalError as error:
            return rotation, str(error)
        rotation = changed
    raise AssertionError("nothing was refused")


def test_a_full_disk_is_an_error_and_nothing_is_half_written(path: Path, journal: Journal) -> None:
    """With room, the journal goes on, in this process and in the next."""
    plan(journal)
    with disk_full_at(path.with_name(path.name + "-wal").stat().st_size + 100_000):
        saved, refusal = save_until_refused(journal)
        assert "free space" in refusal
        assert journal.get(1) == saved
        assert journal.entries(1)[-1].text == str(saved.head_seen)
        copy = path.parent / "copy.sqlite"
    for suffix in ("", "-wal"):  # as if the process had died here
        shutil.copy(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
    with reopened(copy) as after:
        assert after.get(1) == saved
        assert after.entries(1) == journal.entries(1)
    journal.save(replace(saved, reason="goes on"), ENTRY)
    with reopened(path) as again:
        assert again.get(1).reason == "goes on"


def test_a_full_file_is_an_error_that_says_to_make_room(journal: Journal) -> None:
    """What SQLite answers for ENOSPC."""
    plan(journal)
    pages = connection(journal).execute("PRAGMA page_count").fetchone()[0]
    connection(journal).execute(f"PRAGMA max_page_count = {pages + 20}")
    saved, refusal = save_until_refused(journal)
    assert "SQLITE_FULL; the disk is full: make room" in refusal
    assert journal.get(1) == saved


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_written_is_an_error_that_says_whose_it_is(path: Path, what: str) -> None:
    """Root without its capabilities is a user like others (capabilities(7))."""
    with reopened(path) as journal:
        plan(journal)
    path.chmod(0o400 if what == "file" else 0o600)
    path.parent.chmod(0o500)
    wrapper = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all") if os.geteuid() == 0 else ()
    child = subprocess.run(
        [
            *wrapper,
            sys.executable,
            "-c",
            OPENING,
            str(path),
        ],
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    path.parent.chmod(0o700)
    assert child.stdout.startswith("JournalError(")
    assert "owner and mode" in child.stdout


def test_a_file_that_was_replaced_while_open_takes_no_writes(path: Path, journal: Journal) -> None:
    """SQLite would write on into the old one, and a restart would not find it."""
    rotation = plan(journal)
    path.rename(path.with_name("old"))
    with pytest.raises(JournalError, match="No such file"):
        journal.save(rotation, ENTRY)
    shutil.copy(path.with_name("old"), path)
    with pytest.raises(JournalError, match="end the control process"):
        journal.save(rotation, ENTRY)


def damaged(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    match how:
        case "header":
            data[:100] = b"x" * 100
        case "page":
            data[4096 : 4096 * 3] = b"\xff" * (4096 * 2)
        case "cut":
            del data[len(data) // 2 :]
        case "row":
            # Only the row says so: the index of live rotations has another word.
            data = bytearray(bytes(data).replace(b'"state":"planned"', b'"state":"aborted"'))
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["header", "page", "cut", "row"])
def test_a_damaged_file_is_an_error_that_says_what_to_do(path: Path, how: str) -> None:
    """And it is left as it is."""
    with reopened(path) as journal:
        for number in range(20):
            plan(journal, replace(REQUEST, chain=f"chain{number}"))
    damaged(path, how)
    before = path.read_bytes()
    with pytest.raises(JournalError, match="is damaged: blocks are signed without it"):
        Journal(path)
    assert path.read_bytes() == before


# -- versions ---------------------------------------------------------------------------------------------


def version_1(path: Path) -> str:
    """Make a file as the first release did, with the token of alice, and return that."""
    other = path.with_name("other.sqlite")
    with contextlib.closing(TokenStore(other)) as store:
        token = store.create("alice", ["view", "admin"], NOW + timedelta(days=1), NOW)
    with contextlib.closing(sqlite3.connect(other)) as source:
        rows = source.execute("SELECT * FROM tokens").fetchall()
    path.touch(0o600)
    with contextlib.closing(sqlite3.connect(path)) as target:
        target.executescript(f"PRAGMA journal_mode = WAL; {VERSION_1}")
        target.executemany("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        target.commit()
    return token


@pytest.mark.parametrize("by", [Journal, TokenStore])
def test_a_file_of_version_1_is_upgraded_and_keeps_its_tokens(
    tmp_path: Path, by: Callable[[Path], object]
) -> None:
    """Whichever of the two opens it first."""
    path = tmp_path / "control.sqlite"
    token = version_1(path)
    opened = by(path)
    with contextlib.closing(TokenStore(path)) as store, reopened(path) as journal:
        assert [each.name for each in store.list()] == ["alice"]
        assert store.authenticate(token, NOW) is not None
        assert plan(journal).id == 1
        assert connection(journal).execute("PRAGMA user_version").fetchone() == (database.VERSION,)
    assert opened is not None


def test_an_upgrade_that_fails_leaves_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it or nothing, so that it can be tried again."""
    path = tmp_path / "control.sqlite"
    token = version_1(path)
    migrations = database._MIGRATIONS  # noqa: SLF001 - a fault in the middle of it
    with monkeypatch.context() as patch:
        patch.setattr(database, "_MIGRATIONS", (migrations[0], (*migrations[1], "CREATE NONSENSE")))
        with pytest.raises(JournalError):
            Journal(path)
    with contextlib.closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA user_version").fetchone() == (1,)
        assert plain.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall() == [
            ("tokens",)
        ]
    with reopened(path), contextlib.closing(TokenStore(path)) as store:
        assert store.authenticate(token, NOW) is not None


def test_a_newer_file_is_refused_by_both(path: Path, journal: Journal) -> None:
    """And left as it is."""
    connection(journal).execute(f"PRAGMA user_version = {database.VERSION + 1}")
    with pytest.raises(JournalError, match="newer signer; upgrade this one"):
        Journal(path)
    with pytest.raises(TokenStoreError, match="newer signer; upgrade this one"):
        TokenStore(path)
