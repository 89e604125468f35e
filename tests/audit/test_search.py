"""The laws of a search: it finds what a reader of every line finds, the newest first, and says where it stopped."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from rig.audit_entries import AT, KEYS, refused, signed

from signer.errors import AuditError
from signer.signing import audit_search
from signer.signing.audit import Act, Entry, Fields, Kind, parse, timestamp
from signer.signing.audit_search import Query, search
from signer.signing.audit_writer import AuditWriter

if TYPE_CHECKING:
    from pathlib import Path

_BEGAN = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)


def at(seconds: int) -> str:
    """Return a time as a line has it."""
    return timestamp(_BEGAN + timedelta(seconds=seconds))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of 400 lines, one a second: signatures of two keys and two nodes, refusals, acts."""
    path = tmp_path / "audit" / "audit.jsonl"
    writer = AuditWriter(path, AT)
    entries: list[Entry] = []
    for number in range(400):
        if number % 10 == 3:
            entries.append(replace(refused(KEYS[0]), at=at(number), node="standby"))
        elif number % 50 == 7:
            entries.append(Act(at(number), "freeze", 'control: "al"', f'"verdict":"signed" {number}'))
        else:
            one = signed(KEYS[number % 2], number)
            entries.append(replace(one, at=at(number), node=("primary", "standby")[number % 3 == 0]))
    writer.append(entries)
    writer.close(AT)
    return path


def linear(path: Path) -> list[Fields]:
    """Return every line but counts, the newest first."""
    lines = [parse(line) for line in path.read_bytes().splitlines(keepends=True)]
    return [each for each in lines[::-1] if each["kind"] != Kind.COUNTERS]


@pytest.mark.parametrize("block", [200, 1000, 262_144])
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (Query(), {}),
        (Query(key=KEYS[0]), {"key": KEYS[0]}),
        (Query(node="standby", verdict="refused"), {"node": "standby", "verdict": "refused"}),
        (Query(verdict="signed"), {"verdict": "signed"}),
        (Query(rule="unknown_key"), {"rule": "unknown_key"}),
        (Query(act="freeze"), {"act": "freeze"}),
        (Query(by='control: "al"'), {"by": 'control: "al"'}),
        (Query(node="nowhere"), {"node": "nowhere"}),
    ],
)
def test_it_finds_what_a_reader_of_every_line_finds(
    log: Path, query: Query, wanted: dict[str, str], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the blocks end. What a text says of itself in an act is no field."""
    monkeypatch.setattr(audit_search, "_BLOCK", block)

    found = search(log, query, limit=10_000)

    assert list(found.lines) == [
        each for each in linear(log) if all(each.get(name) == text for name, text in wanted.items())
    ]
    assert found.whole


def test_a_digest_is_found_by_its_beginning(log: Path) -> None:
    digest = f"{42:064x}"

    assert [each["digest"] for each in search(log, Query(digest=digest[:63])).lines] == [
        f"{number:064x}" for number in range(47, 31, -1) if number % 10 != 3
    ]
    assert [each["digest"] for each in search(log, Query(digest=digest)).lines] == [digest]


def test_times_bound_it_and_it_stops_at_the_first_line_before(log: Path) -> None:
    found = search(log, Query(since=at(100), until=at(104)))

    assert [each["at"] for each in found.lines] == [at(number) for number in (104, 103, 102, 101, 100)]
    assert found.whole
    assert found.searched_to == at(100)


def test_the_newest_come_first_and_what_is_left_out_is_said(log: Path) -> None:
    found = search(log, Query(verdict="signed"), limit=5)

    assert len(found.lines) == 5
    assert found.lines[0]["at"] == at(399)
    assert not found.whole


@pytest.mark.parametrize("bound", [{"max_bytes": 5000}, {"max_s": 0.0}])
def test_it_is_bounded_and_says_how_far_it_looked(log: Path, bound: dict[str, int]) -> None:
    found = search(log, Query(node="nowhere"), **bound)

    assert not found.whole
    assert found.searched_to > at(100)


def test_a_line_that_is_being_written_or_damaged_is_left_out(log: Path) -> None:
    before = search(log, Query()).lines
    content = log.read_bytes()
    log.write_bytes(content + content.splitlines()[-1][:100])
    assert search(log, Query()).lines == before

    log.write_bytes(content + b"rubbish\n\xff\xfe\n")
    assert search(log, Query()).lines == before


def test_older_files_are_searched_too(log: Path) -> None:
    """Those that the writer put aside when they were full (signer.signing.audit_files)."""
    before = search(log, Query(verdict="signed"), limit=10_000).lines
    lines = log.read_bytes().splitlines(keepends=True)
    log.with_name("audit-000000000001.jsonl").write_bytes(b"".join(lines[:150]))
    log.with_name("audit-000000000151.jsonl").write_bytes(b"".join(lines[150:300]))
    log.write_bytes(b"".join(lines[300:]))

    assert search(log, Query(verdict="signed"), limit=10_000).lines == before
    assert [each["at"] for each in search(log, Query(since=at(149), until=at(151))).lines] == [
        at(number) for number in (151, 150, 149)
    ]


def test_a_log_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="cannot be read"):
        search(tmp_path / "none", Query())
