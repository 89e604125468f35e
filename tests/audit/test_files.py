"""A log in several files is one log: numbers, hashes and counters go on, and what is missing of it is found."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig.audit_entries import AT, KEYS, refused, signed

from signer.errors import AuditError
from signer.signing.audit import GENESIS, Anchor, FaultKind
from signer.signing.audit_files import older, older_name
from signer.signing.audit_reader import anchor, tail, verify
from signer.signing.audit_writer import AuditWriter

#: Bytes: about ten lines.
SMALL = 4000
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def grow(log: Path, count: int, *, max_bytes: int = SMALL, killed: bool = False) -> None:
    """Write `count` signatures, one at a time, and stop, or be killed."""
    writer = AuditWriter(log, AT, max_bytes)
    for number in range(count):
        writer.append([signed(KEYS[number % 2], number)])
    if killed:
        kill(writer)
    else:
        writer.close(AT)


def kill(writer: AuditWriter) -> None:
    """Close its files, as the kernel does for a process that was killed."""
    for descriptor in (writer._file, writer._lock):  # noqa: SLF001 - there is no other way to not stop
        assert descriptor is not None
        os.close(descriptor)


@SLOW
@given(
    st.lists(st.tuples(st.integers(1, 25), st.booleans()), min_size=1, max_size=5), st.integers(1000, 9000)
)
def test_any_number_of_files_is_one_log(
    tmp_path_factory: pytest.TempPathFactory, starts: list[tuple[int, bool]], max_bytes: int
) -> None:
    """Over starts and files: every line is there, every signature counted, and names sort as the log goes."""
    log = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    for count, killed in starts:
        grow(log, count, max_bytes=max_bytes, killed=killed)

    report = verify(log)
    assert report.ok, report.verdict
    assert sum(report.counters.values()) == sum(count for count, _ in starts)
    assert report.files == len(older(log)) + 1
    assert all(each.stat().st_size >= max_bytes for each in older(log))
    assert log.stat().st_size <= max_bytes + 2000
    firsts = [each.read_bytes().split(b'"seq":')[1].split(b",")[0] for each in [*older(log), log]]
    assert [int(first) for first in firsts] == sorted(int(first) for first in firsts)


def test_the_files_have_private_modes_and_telling_names(log: Path) -> None:
    """The number in a name is that of the file's first line."""
    grow(log, 30)
    first, second, *_ = older(log)
    assert first.name == "audit-000000000001.jsonl"
    assert second == older_name(log, first.read_bytes().count(b"\n") + 1)
    assert {each.stat().st_mode & 0o777 for each in [*older(log), log]} == {0o600}


def test_a_missing_file_is_a_loss(log: Path) -> None:
    """The first one, one in between, and the newest where an anchor proves it."""
    grow(log, 40)
    proof = anchor(log)
    files = older(log)
    for gone in (files[0], files[1], log):
        content = gone.read_bytes()
        gone.unlink()
        if gone == log:
            log.touch()
        report = verify(log, [proof])
        assert report.fault is not None
        assert report.fault.kind == FaultKind.LOSS
        gone.write_bytes(content)
    assert verify(log, [proof]).ok


def test_what_was_moved_away_is_named_by_the_reader_and_not_guessed(log: Path) -> None:
    """`begins` is the first line of a file; the rest is proved from there, and an anchor before it by its hash."""
    grow(log, 40)
    first, second, *_ = older(log)
    proof = anchor(log)
    begins = int(second.stem.rpartition("-")[2])
    report = verify(log, [proof], begins=begins)
    assert report.verdict == f"consistent from {begins} up to {proof.seq}, proved by the anchor"
    first.unlink()
    assert verify(log, [proof], begins=begins).ok
    assert not verify(log, [proof]).ok
    lost = verify(log, [proof], begins=begins + 1)
    assert lost.fault is not None
    assert lost.fault.message == f"no file begins with line {begins + 1}"
    before = Anchor(begins - 1, "1" * 64)
    assert not verify(log, [before], begins=begins).ok
    assert verify(log, [Anchor(1, "2" * 64)], begins=begins).ok, "a line that is not here cannot be compared"


def test_a_fault_names_the_file(log: Path) -> None:
    """A line in a folder of many files would be hard to find by its number alone."""
    grow(log, 40)
    second = older(log)[1]
    data = bytearray(second.read_bytes())
    data[len(data) // 2] ^= 1
    second.write_bytes(data)
    assert second.name in verify(log).verdict


def test_killed_between_its_two_steps_nothing_is_lost_or_doubled(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has both names for a moment; a reader counts it once, and the next start goes on."""
    writer = AuditWriter(log, AT, SMALL)

    def die(_old: object, _new: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            writer.append([signed(KEYS[0], number) for number in range(20)])
    kill(writer)
    assert older(log)[0].samefile(log)
    assert verify(log).counters == {KEYS[0]: 20}

    grow(log, 20)
    report = verify(log)
    assert (report.ok, report.counters) == (True, {KEYS[0]: 30, KEYS[1]: 10})


def test_a_disk_that_takes_no_other_file_costs_no_line(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log grows on in the file that it has, says why, and begins another when it can."""
    writer = AuditWriter(log, AT, SMALL)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "hardlink_to", full)
        for number in range(3):
            with pytest.raises(AuditError, match="No space left"):
                writer.append([signed(KEYS[0], 20 * number + each) for each in range(20)])
        assert older(log) == []
    writer.append([signed(KEYS[0], 99)])
    assert writer.degraded is None
    assert len(older(log)) == 1
    writer.close(AT)
    assert verify(log).counters == {KEYS[0]: 61}


def test_a_newest_file_that_was_removed_is_told_at_the_next_start(log: Path) -> None:
    """The numbers go on after the newest older file, so that the hole shows, and stays provable."""
    grow(log, 40)
    proof = anchor(log)
    log.unlink()
    writer = AuditWriter(log, AT, SMALL)
    writer.append([signed(KEYS[0], 99)])
    writer.close(AT)
    report = verify(log)
    assert report.ok
    assert any("log-missing" in note for note in report.notes)
    assert not verify(log, [proof]).ok
    grow(log, 40)
    assert verify(log).ok


def test_older_files_of_a_damaged_log_are_moved_aside_with_it(log: Path) -> None:
    """The next log counts from 1 again, and must not be taken for their continuation."""
    grow(log, 40)
    names = [each.name for each in older(log)]
    data = log.read_bytes()
    log.write_bytes(data[: len(data) // 2].rpartition(b"\n")[0] + b"\nnot a line\n")
    grow(log, 5)
    assert not older(log)
    assert all((log.parent / f"{name}.damaged").exists() for name in names)
    report = verify(log)
    assert (report.ok, any("log-damaged" in note for note in report.notes)) == (True, True)
    assert sum(report.counters.values()) >= 40


def test_the_tail_reaches_into_older_files(log: Path) -> None:
    """What a start remembers must not depend on when another file began."""
    grow(log, 60)
    every = b"".join(each.read_bytes() for each in [*older(log), log])
    assert b"".join(tail(log, 10**9)) == every
    for size in (1, 3000, 9000, len(every) - 5):
        found = b"".join(tail(log, size))
        assert every.endswith(found)
        assert len(found) == size


def test_files_of_other_names_are_no_part_of_the_log(log: Path) -> None:
    """Torn ends, damaged logs and an operator's copies lie beside it."""
    grow(log, 5)
    for name in (
        "audit-1.jsonl",
        "audit-000000000001.jsonl.bak",
        "other-000000000001.jsonl",
        "audit.jsonl.torn-3",
    ):
        (log.parent / name).write_text("x\n")
    assert verify(log).files == 1


def test_an_empty_log_has_one_file(log: Path) -> None:
    """And a log whose lines are refusals alone begins others too."""
    grow(log, 0)
    assert (verify(log).entries, verify(log).head) == (0, GENESIS)
    writer = AuditWriter(log, AT, SMALL)
    for _ in range(40):
        writer.append([refused(None)])
    writer.close(AT)
    assert verify(log).files > 2
