"""The laws of the audit writer: one writer, no silent loss, and no end of a log that stops it."""

from __future__ import annotations

import fcntl
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.audit_entries import AT, KEYS, refused, signed

from signer.errors import AuditError, FormatError
from signer.signing import audit_writer
from signer.signing.audit import (
    MAX_LINE,
    MAX_TEXT,
    Act,
    Chain,
    Decision,
    Entry,
    Transaction,
    Verdict,
    timestamp,
)
from signer.signing.audit_reader import anchor, verify
from signer.signing.audit_writer import AuditWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "append_until_killed.py"
START = Act(AT, "start", "uid 0")


def decisions(count: int) -> list[Entry]:
    """Return decisions that signed, of two keys in turn."""
    return [signed(KEYS[number % 2], number) for number in range(count)]


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """Let no file grow above `size` bytes: write(2) answers EFBIG, as a full disk answers ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # Python ignores SIGXFSZ
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def appending_program(log: Path, stderr: int | None) -> subprocess.Popen[bytes]:
    """Start the program that appends to `log` until it is killed."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, str(PROGRAM), str(log)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment)


def test_a_log_goes_on_where_the_last_writer_stopped(log: Path) -> None:
    """Numbers, hashes and counters cross a restart."""
    for run in range(1, 4):
        writer = AuditWriter(log, AT)
        writer.append([START, *decisions(4), refused(None)])
        writer.sync()
        writer.close(AT)
        report = verify(log)
        assert report.ok, report.verdict
        assert report.counters == {KEYS[0]: 2 * run, KEYS[1]: 2 * run}
    assert report.notes == []


def test_a_stopped_signer_leaves_its_counters_as_the_last_line(log: Path) -> None:
    """So the next start reads one line; a start that wrote nothing adds none."""
    writer = AuditWriter(log, AT)
    writer.append(decisions(3))
    writer.close(AT)
    assert log.read_bytes().splitlines()[-1].startswith(b'{"kind":"counters"')
    before = log.read_bytes()
    AuditWriter(log, AT).close(AT)
    assert log.read_bytes() == before


def test_state_is_private(log: Path) -> None:
    """Folder 0700, files 0600."""
    writer = AuditWriter(log, AT)
    writer.append([START])
    writer.close(AT)
    assert log.parent.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in log.parent.iterdir()} == {0o600}


def test_a_start_reads_back_to_the_last_counters_only(log: Path) -> None:
    """Lines before the last counters are not read: damage there is the verifier's to find, not a start's."""
    writer = AuditWriter(log, AT)
    writer.append(decisions(2 * audit_writer.CHECKPOINT_EVERY + 300))
    expected = writer.seq, writer.counters
    data = bytearray(log.read_bytes())
    assert data.count(b'{"kind":"counters"') == 2
    writer.close(AT)
    data[10:20] = b"##########"
    log.write_bytes(data)
    again = AuditWriter(log, AT)
    assert (again.seq, again.counters) == expected
    again.append(decisions(2))
    again.close(AT)
    assert not list(log.parent.glob("*damaged*"))


def test_more_keys_than_one_line_holds(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters in several lines are read back, also when the crash came between them."""
    monkeypatch.setattr("signer.signing.audit.MAX_KEYS_PER_LINE", 3)
    writer = AuditWriter(log, AT)
    writer.append([signed(f"PUB_K1_{number}") for number in range(8)])
    counters = writer.counters
    writer.close(AT)
    lines = log.read_bytes().splitlines(keepends=True)
    for kept in range(len(lines) - 3, len(lines) + 1):
        for end in (b"", line_after(lines[:kept])):
            log.write_bytes(b"".join(lines[:kept]) + end)
            writer = AuditWriter(log, AT)
            assert writer.counters == counters
            writer.append([START])
            writer.close(AT)
            assert verify(log).ok
    assert not list(log.parent.glob("*damaged*"))


def line_after(lines: list[bytes]) -> bytes:
    """Return the next line after `lines`."""
    chain = Chain()
    for line in lines:
        chain.accept(line)
    return chain.seal(START)


def test_every_torn_end_is_moved_aside_and_recorded(log: Path) -> None:
    """A crash at any byte of a write: whole lines stay, the rest is kept in a file, and a line says so."""
    writer = AuditWriter(log, AT)
    writer.append(decisions(4))
    whole = log.read_bytes()
    writer.close(AT)
    ends = [0] + [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(ends[2], len(whole), 5):
        log.write_bytes(whole[:size])
        writer = AuditWriter(log, AT)
        writer.append([signed(KEYS[0])])
        writer.close(AT)
        report = verify(log)
        assert report.ok, report.verdict
        end = max(end for end in ends if end <= size)
        aside = sorted(log.parent.glob("*.torn-*"))
        if end == size:
            assert aside == []
            continue
        assert [path.read_bytes() for path in aside] == [whole[end:size]]
        assert aside[0].name == f"audit.jsonl.torn-{ends.index(end) + 1}"
        assert aside[0].name in report.notes[0]
        aside[0].unlink()


def test_a_torn_end_never_overwrites_an_earlier_one(log: Path) -> None:
    """Two crashes at the same line leave two files."""
    log.parent.mkdir()
    for text in (b"one", b"two"):
        log.write_bytes(text)
        AuditWriter(log, AT).close(AT)
    assert {path.read_bytes() for path in log.parent.glob("*.torn-1*")} == {b"one", b"two"}


def test_killed_at_work_the_log_holds_all_that_was_acknowledged(log: Path) -> None:
    """SIGKILL while it writes, five times on one log; no repair touches a whole line."""
    acknowledged = 0
    for _ in range(5):
        with appending_program(log, stderr=None) as program:
            assert program.stdout is not None
            lines = [program.stdout.readline() for _ in range(15)]
            program.kill()
            lines += program.stdout.readlines()
        said = int([line for line in lines if line.endswith(b"\n")][-1])
        assert said > acknowledged
        acknowledged = said
        writer = AuditWriter(log, AT)
        assert writer.degraded is None
        assert writer.seq >= acknowledged
        writer.append([START])
        writer.close(AT)
        report = verify(log)
        assert report.ok, report.verdict
    assert not list(log.parent.glob("*damaged*"))


def test_a_second_writer_is_refused_and_told_the_pid(log: Path) -> None:
    """Two writers would break the chain."""
    writer = AuditWriter(log, AT)
    with pytest.raises(AuditError, match=f"process {os.getpid()};"):
        AuditWriter(log, AT)
    writer.append([START])
    writer.close(AT)
    AuditWriter(log, AT).close(AT)


def test_a_second_process_is_refused(log: Path) -> None:
    """And leaves the log as it was."""
    writer = AuditWriter(log, AT)
    writer.append([START])
    before = log.read_bytes()
    with appending_program(log, stderr=subprocess.PIPE) as other:
        assert f"is written by process {os.getpid()}".encode() in other.communicate()[1]
    assert other.returncode == 1
    assert log.read_bytes() == before
    writer.close(AT)


def test_a_reader_does_not_disturb_the_writer(log: Path) -> None:
    """Verify and anchor take no lock."""
    writer = AuditWriter(log, AT)
    writer.append(decisions(3))
    assert anchor(log).seq == 3
    writer.append(decisions(3))
    assert verify(log).ok
    writer.close(AT)


def test_on_a_full_disk_entries_wait_and_are_written_later(log: Path) -> None:
    """AuditError to the caller, no half line, and nothing lost once there is room."""
    writer = AuditWriter(log, AT)
    writer.append([START])
    size = log.stat().st_size
    with disk_full_at(size + 500):
        for _ in range(3):
            with pytest.raises(AuditError, match="File too large"):
                writer.append(decisions(3))
    assert log.stat().st_size == size
    assert writer.degraded is not None
    assert writer.queued == 9
    writer.append([signed(KEYS[0])])
    assert writer.degraded is None
    assert (writer.queued, writer.lost) == (0, 0)
    writer.close(AT)
    report = verify(log)
    assert report.ok
    assert report.counters == {KEYS[0]: 7, KEYS[1]: 3}


def test_what_the_queue_cannot_hold_becomes_a_gap(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lost entries and their signatures per key are numbered in the log, and the counts stay exact."""
    monkeypatch.setattr(audit_writer, "QUEUE_LIMIT", 10)
    writer = AuditWriter(log, AT)
    writer.append([START])
    with disk_full_at(log.stat().st_size):
        for _ in range(5):
            with pytest.raises(AuditError, match="lost"):
                writer.append(decisions(6))
        assert (writer.queued, writer.lost) == (11, 20)
    writer.append([signed(KEYS[1])])
    writer.close(AT)
    report = verify(log)
    assert report.ok, report.verdict
    assert report.counters == {KEYS[0]: 15, KEYS[1]: 16}
    assert len([note for note in report.notes if "lost" in note]) == 1


def test_a_writer_that_ended_while_entries_waited_is_told_at_the_next_start(log: Path) -> None:
    """Once, whoever ended it; also where the disk is full at that start, and that writer ends too."""
    writer = AuditWriter(log, AT)
    writer.append([START])
    writer.close(AT)
    for _ in range(2):
        with disk_full_at(log.stat().st_size):
            program = appending_program(log, stderr=subprocess.PIPE)
            assert b"entries wait in memory" in program.communicate()[1]
        assert program.returncode == 1
    for _ in range(2):
        writer = AuditWriter(log, AT)
        writer.append([START])
        writer.close(AT)
    report = verify(log)
    assert report.ok, report.verdict
    assert len([note for note in report.notes if "entries-lost" in note]) == 1


def test_a_stop_that_cannot_write_what_waits_is_told_at_the_next_start(log: Path) -> None:
    """It lets the log go all the same."""
    writer = AuditWriter(log, AT)
    writer.append([START])
    with disk_full_at(log.stat().st_size):
        with pytest.raises(AuditError):
            writer.append(decisions(3))
        with pytest.raises(AuditError):
            writer.close(AT)
    AuditWriter(log, AT).close(AT)
    assert [note for note in verify(log).notes if "entries-lost" in note]


def test_half_a_line_left_by_a_full_disk_is_repaired(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When even the taking back fails, the next write or the next start repairs it."""
    writer = AuditWriter(log, AT)
    writer.append([START])
    size = log.stat().st_size

    def fail(_file: int, _size: int) -> None:
        raise OSError(5, "Input/output error")

    with disk_full_at(size + 100), monkeypatch.context() as patch:
        patch.setattr("signer.signing.audit_writer.os.ftruncate", fail)
        with pytest.raises(AuditError):
            writer.append(decisions(1))
    torn = log.read_bytes()
    assert len(torn) == size + 100
    writer.append(decisions(1))
    writer.close(AT)
    assert verify(log).ok
    log.write_bytes(torn)
    AuditWriter(log, AT).close(AT)
    assert verify(log).ok


def test_a_log_that_cannot_be_opened_is_no_reason_not_to_sign(log: Path) -> None:
    """The writer starts degraded and takes the log when it can."""
    log.parent.write_text("in the way")
    writer = AuditWriter(log, AT)
    assert writer.degraded is not None
    with pytest.raises(AuditError):
        writer.append(decisions(2))
    with pytest.raises(AuditError):
        writer.sync()
    log.parent.unlink()
    writer.append(decisions(2))
    writer.sync()
    assert writer.degraded is None
    writer.close(AT)
    assert verify(log).counters == {KEYS[0]: 2, KEYS[1]: 2}


def test_a_failed_sync_is_told_and_recorded(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel forgets what it could not write, so a later success does not mean it is there."""
    writer = AuditWriter(log, AT)
    writer.append([START])

    def fail(_file: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("signer.signing.audit_writer.os.fdatasync", fail)
        with pytest.raises(AuditError, match="cannot be synced"):
            writer.sync()
    assert writer.degraded is not None
    writer.append([START])
    writer.close(AT)
    assert [note for note in verify(log).notes if "sync-failed" in note]


def damages(data: bytes) -> list[bytes]:
    """Return ends of a log that no crash of ours leaves."""
    lines = data.splitlines(keepends=True)
    return [
        data[:-40] + b"#" + data[-39:],
        data + b"not a line\n",
        data + b"x" * (2 * MAX_LINE) + b"\n",
        data + lines[-1],
        b"".join(lines[:-2] + lines[-1:]),
        data + b"\x00" * 4096 + b"\n",
    ]


@pytest.mark.parametrize("number", range(6))
def test_a_damaged_end_is_moved_aside_whole(log: Path, number: int) -> None:
    """The signer starts; the new log begins with name and hash of the old; the highest counts left go on."""
    writer = AuditWriter(log, AT)
    writer.append(decisions(6))
    damaged = damages(log.read_bytes())[number]
    writer.close(AT)
    log.write_bytes(damaged)
    writer = AuditWriter(log, AT)
    assert writer.degraded is None
    assert (log.parent / "audit.jsonl.damaged").read_bytes() == damaged
    writer.append([signed(KEYS[0])])
    writer.close(AT)
    report = verify(log)
    assert report.ok, report.verdict
    assert "audit.jsonl.damaged" in report.notes[0]
    assert report.counters[KEYS[0]] == (3 if number == 4 else 4)  # the removed line was the third of this key
    AuditWriter(log, AT).close(AT)
    assert verify(log).entries == report.entries


def test_a_log_removed_under_the_writer_is_begun_anew_and_shows(log: Path) -> None:
    """Removed, replaced or emptied: the numbers go on, so the verifier finds the loss."""
    for tamper in (log.unlink, lambda: log.rename(log.with_name("old")), lambda: log.write_bytes(b"")):
        writer = AuditWriter(log, AT)
        writer.append(decisions(2))
        tamper()
        writer.append(decisions(2))
        report = verify(log)
        assert report.fault is not None
        assert report.fault.line == 1
        writer.close(AT)
        log.unlink()


WRONG: list[Entry] = [
    Act("yesterday", "start", "uid 0"),
    Act(AT, "start", "x" * (MAX_TEXT + 1)),
    Decision(at=AT, verdict="maybe", caller=""),
    Decision(at=AT, verdict=Verdict.SIGNED, caller="", key="no key", signature="SIG"),
    Decision(at=AT, verdict=Verdict.FAILED, caller="", key="no key"),
    Decision(at=AT, verdict=Verdict.REFUSED, caller="", digest="hello"),
    Transaction(AT, "hello", "x"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_an_entry_that_no_line_can_carry_is_counted_as_lost(log: Path, wrong: Entry) -> None:
    """FormatError to the caller; the entries beside it are written, and it does not stay in the queue."""
    writer = AuditWriter(log, AT)
    with pytest.raises(FormatError):
        writer.append([START, wrong, START])
    assert (writer.seq, writer.queued, writer.lost) == (3, 0, 1)
    writer.append([START])
    writer.close(AT)
    report = verify(log)
    assert report.ok
    assert "1 entries lost" in report.notes[0]


def test_a_wrong_entry_that_signed_still_counts(log: Path) -> None:
    """The key's count stays that of the signatures issued."""
    writer = AuditWriter(log, AT)
    with pytest.raises(FormatError):
        writer.append([Decision(at=AT, verdict=Verdict.SIGNED, caller="", key=KEYS[0]), signed(KEYS[0])])
    writer.close(AT)
    assert verify(log).counters == {KEYS[0]: 2}


def test_the_longest_texts_stay_within_a_line(log: Path) -> None:
    """Also when every character is escaped to twelve bytes; a long detail is cut."""
    text = "\U0001f600" * MAX_TEXT
    writer = AuditWriter(log, AT)
    writer.append(
        [
            Act(AT, text, text, text + text),
            Transaction(AT, "0" * 64, text * 20),
            Decision(AT, Verdict.FAILED, text, text, "P" * 80, text, "0" * 64, text, text, text, 1, 1),
        ],
    )
    writer.close(AT)
    assert verify(log).ok


def test_the_log_is_not_inherited(log: Path) -> None:
    """A lane started by the supervisor must not hold the lock after it."""
    writer = AuditWriter(log, AT)
    writer.append([START])
    held = list(Path("/proc/self/fd").iterdir())
    ours = [int(path.name) for path in held if path.exists() and path.readlink().parent == log.parent]
    assert len(ours) == 2
    assert all(fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for descriptor in ours)
    writer.close(AT)


def test_a_timestamp_is_utc_with_microseconds() -> None:
    """Whatever zone the clock is in."""
    moment = datetime(2026, 1, 2, 5, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(moment) == AT
