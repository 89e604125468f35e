"""The laws of the audit reader: every tampering is found, hostile bytes are a fault and never a crash."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig.audit_entries import AT, KEYS, refused, signed

from signer.errors import AuditError, FormatError
from signer.signing.audit import (
    GENESIS,
    MAX_LINE,
    Act,
    Anchor,
    Chain,
    Decision,
    FaultKind,
    Gap,
    line_hash,
    serialise,
)
from signer.signing.audit_reader import Report, anchor, verify

if TYPE_CHECKING:
    from pathlib import Path


def a_log() -> list[bytes]:
    """Return the lines of a log with every kind of entry."""
    chain = Chain()
    lines = [chain.seal(Act(AT, "start", "uid 0", None))]
    lines += [chain.seal(signed(KEYS[number % 2], number)) for number in range(5)]
    lines.append(chain.seal(refused(None)))
    lines.append(chain.seal(refused(KEYS[0])))
    lines += chain.seal_counters(AT)
    lines.append(chain.seal(Gap(AT, AT, 3, {KEYS[0]: 2})))
    lines.append(chain.seal(signed(KEYS[0], 9)))
    lines.append(chain.seal(Act(AT, "stop", "uid 0", "by hand")))
    return lines


LINES = a_log()
WHOLE = b"".join(LINES)
LAST = Anchor(len(LINES), line_hash(LINES[-1]))


def check(path: Path, data: bytes, anchored: Anchor | None = None) -> Report:
    """Return the report on a log of these bytes."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return verify(path, [anchored] if anchored else [])


def faulty(report: Report) -> tuple[int, FaultKind]:
    """Return line and kind of the fault, which must be there."""
    assert not report.ok
    assert report.fault is not None
    assert report.entries == report.fault.line - 1
    return report.fault.line, report.fault.kind


FILES = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_an_untouched_log_verifies_and_says_what_cannot_be_known(log: Path) -> None:
    """Without an anchor the tail is not provable, with one it is."""
    report = check(log, WHOLE)
    assert report.ok
    assert report.entries == len(LINES)
    assert report.verdict == f"consistent up to {len(LINES)}, tail not provable without an anchor"
    assert report.counters == {KEYS[0]: 6, KEYS[1]: 2}
    assert check(log, WHOLE, LAST).verdict == f"consistent up to {len(LINES)}, proved by the anchor"
    third = Anchor(3, line_hash(LINES[2]))
    assert check(log, WHOLE, third).verdict.endswith("proved up to 3, tail after it not provable")
    assert anchor(log) == LAST


def test_an_empty_log_verifies(log: Path) -> None:
    """No line is at fault, and its anchor is the start of every log."""
    report = check(log, b"")
    assert (report.ok, report.entries, report.head) == (True, 0, GENESIS)
    assert anchor(log) == Anchor(0, GENESIS)
    assert check(log, WHOLE, Anchor(0, GENESIS)).anchored == 0


@FILES
@given(place=st.integers(0, len(WHOLE) - 1), change=st.integers(1, 255))
def test_any_changed_byte_is_found(log: Path, place: int, change: int) -> None:
    """In the last line it takes the anchor, before it the chain is enough."""
    data = bytearray(WHOLE)
    data[place] ^= change
    assert not check(log, bytes(data), LAST).ok
    if place < len(WHOLE) - len(LINES[-1]):
        assert not check(log, bytes(data)).ok


@FILES
@given(place=st.integers(0, len(WHOLE) - 1), inserted=st.binary(min_size=1, max_size=3))
def test_any_inserted_or_removed_byte_is_found(log: Path, place: int, inserted: bytes) -> None:
    """The same, for bytes put in and taken out."""
    before = place < len(WHOLE) - len(LINES[-1])
    for data in (WHOLE[:place] + inserted + WHOLE[place:], WHOLE[:place] + WHOLE[place + 1 :]):
        assert not check(log, data, LAST).ok
        assert not before or not check(log, data).ok


@pytest.mark.parametrize("number", range(1, len(LINES)))
def test_a_removed_line_is_a_loss(log: Path, number: int) -> None:
    """Every line but the last, without an anchor."""
    data = b"".join(LINES[: number - 1] + LINES[number:])
    assert faulty(check(log, data)) == (number, FaultKind.LOSS)


def test_a_removed_last_line_takes_the_anchor(log: Path) -> None:
    """The chain alone says that the tail is not provable; the anchor proves the loss."""
    data = b"".join(LINES[:-1])
    assert check(log, data).verdict.endswith("tail not provable without an anchor")
    assert faulty(check(log, data, LAST)) == (len(LINES), FaultKind.LOSS)


@pytest.mark.parametrize("first", range(len(LINES) - 1))
def test_swapped_lines_are_a_reorder(log: Path, first: int) -> None:
    """Every pair of neighbours, and each line against the last."""
    for second in (first + 1, len(LINES) - 1):
        lines = list(LINES)
        lines[first], lines[second] = lines[second], lines[first]
        assert faulty(check(log, b"".join(lines))) == (first + 1, FaultKind.REORDER)


@pytest.mark.parametrize("number", range(1, len(LINES) + 1))
def test_a_doubled_line_is_a_reorder(log: Path, number: int) -> None:
    """Every line, the last included."""
    data = b"".join(LINES[:number] + LINES[number - 1 :])
    assert faulty(check(log, data)) == (number + 1, FaultKind.REORDER)


def test_any_cut_that_is_not_at_a_line_end_is_a_torn_tail(log: Path) -> None:
    """And a cut at a line end is found with the anchor."""
    ends = {len(b"".join(LINES[:count])) for count in range(len(LINES) + 1)}
    for size in range(0, len(WHOLE), 7):
        report = check(log, WHOLE[:size])
        if size not in ends:
            assert faulty(report)[1] == FaultKind.TORN
        assert not check(log, WHOLE[:size], LAST).ok
    for size in ends - {len(WHOLE)}:
        assert faulty(check(log, WHOLE[:size], LAST))[1] == FaultKind.LOSS


def test_a_chain_made_anew_after_an_edit_takes_the_anchor(log: Path) -> None:
    """Who can write the file can make a new chain; only the anchor shows it, at the anchored line."""
    chain = Chain()
    forged = b"".join(chain.seal(signed(KEYS[0], number)) for number in range(len(LINES) + 1))
    assert check(log, forged).ok
    assert faulty(check(log, forged, LAST)) == (len(LINES), FaultKind.EDIT)


def test_a_counter_that_jumps_is_found_though_the_chain_holds(log: Path) -> None:
    """A writer that lost signatures cannot hide it in a correct chain."""
    chain = Chain()
    first = chain.seal(signed(KEYS[0]))
    chain.counters[KEYS[0]] = 5
    assert faulty(check(log, first + chain.seal(signed(KEYS[0])))) == (2, FaultKind.COUNTER)
    chain = Chain()
    first = chain.seal(signed(KEYS[0]))
    chain.counters[KEYS[1]] = 1
    assert faulty(check(log, first + b"".join(chain.seal_counters(AT)))) == (2, FaultKind.COUNTER)


def test_a_gap_is_a_note_and_carries_the_counters_over(log: Path) -> None:
    """What the signer lost is told, and the counts stay exact."""
    report = check(log, WHOLE)
    assert [note for note in report.notes if "3 entries lost" in note]


HOSTILE = [
    b"\n",
    b"{}\n",
    b"[]\n",
    b"null\n",
    b"\x00\xff\xfe\n",
    b"[" * 60000 + b"\n",
    b'{"kind":' * 8000 + b"\n",
    b"1" * 60000 + b"\n",
    b'"' + b"a" * (MAX_LINE * 3) + b'"\n',
    b"x" * (MAX_LINE * 2),
    LINES[0].replace(b'"seq":1', b'"seq":1e0'),
    LINES[0].replace(b'"seq":1', b'"seq":true'),
    LINES[0].replace(b'"seq":1', b'"seq":1,"seq":1'),
    LINES[0].replace(b'"seq":1', b'"seq":' + b"9" * 5000),
    LINES[0].replace(b'"seq":1', b'"seq":NaN'),
    LINES[0].replace(b'"seq":1', b'"seq": 1'),
    LINES[0].replace(b'"kind":"act"', b'"kind":["act"]'),
    LINES[0].replace(b'"kind":"act"', b'"kind":"other"'),
    LINES[0].replace(b'"by":"uid 0"', b'"by":{}'),
    LINES[0].replace(b'"by":"uid 0"', b'"by":"' + b"\\u0000" * 500 + b'"'),
    LINES[1].replace(b'"key_count":1', b'"key_count":-1'),
    LINES[1].replace(b'"verdict":"signed"', b'"verdict":{}'),
]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_lines_are_faults(log: Path, line: bytes) -> None:
    """Never an exception, and the report stays small."""
    report = check(log, line + WHOLE)
    assert faulty(report)[0] == 1
    assert len(json.dumps(report.to_json())) < 4096
    assert len("".join(report.lines())) < 4096


@FILES
@given(data=st.binary(max_size=300))
def test_any_bytes_are_reported(log: Path, data: bytes) -> None:
    """Whatever is in the file, it is a fault, an empty log or a torn one."""
    data = data + b"\n" if data else data
    assert check(log, data).ok is (data == b"")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@FILES
@given(number=st.integers(0, len(LINES) - 1), data=st.data())
def test_any_value_in_any_field_is_reported(log: Path, number: int, data: st.DataObject) -> None:
    """Wrong types do not crash the reader."""
    fields = json.loads(LINES[number])
    name = data.draw(st.sampled_from(sorted(fields)))
    before = fields[name]
    fields[name] = data.draw(json_values)
    line = json.dumps(fields, separators=(",", ":")).encode() + b"\n"
    report = check(log, b"".join([*LINES[:number], line, *LINES[number + 1 :]]), LAST)
    assert report.ok is (line == LINES[number])
    assert before is not None or report.entries >= number


def test_counters_that_never_end_are_a_fault(log: Path) -> None:
    """A reader's memory is bounded also against a chain made to fill it."""
    chain = Chain()
    fields = json.loads(chain.seal_counters(AT)[0])
    fields["parts"] = 10**9
    assert faulty(check(log, serialise(fields))) == (1, FaultKind.COUNTER)


def test_escape_sequences_do_not_reach_the_terminal(log: Path) -> None:
    """The report prints what the log says only in printable characters."""
    line = Chain().seal(Act(AT, "torn-tail", "x", "\x1b[2J\x07"))
    assert all(text.isprintable() for text in check(log, line).lines())


def test_a_line_that_is_being_written_is_read_to_its_end(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader beside a running signer may see half a line; it looks again before it calls it torn."""
    log.parent.mkdir()
    log.write_bytes(WHOLE[:-5])

    def rest_arrives(_seconds: float) -> None:
        with log.open("ab") as stream:
            stream.write(WHOLE[-5:])

    monkeypatch.setattr("signer.signing.audit_reader._LOOKS", 2)
    monkeypatch.setattr("signer.signing.audit_reader.time.sleep", rest_arrives)
    assert verify(log, [LAST]).ok


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """No file, a folder, a FIFO that nobody writes: AuditError, and no waiting."""
    os.mkfifo(tmp_path / "fifo")
    for name in ("absent", ".", "fifo"):
        with pytest.raises(AuditError):
            verify(tmp_path / name)


def test_no_anchor_for_a_log_that_does_not_verify(log: Path) -> None:
    """An anchor would vouch for it."""
    check(log, WHOLE[:-1] + b"x\n")
    with pytest.raises(AuditError, match="does not verify"):
        anchor(log)


def test_an_anchor_file_survives_the_journey_and_others_are_refused() -> None:
    """What to_json wrote from_json reads; anything else is a FormatError."""
    assert Anchor.from_json(LAST.to_json()) == LAST
    for text in (
        "",
        "[]",
        "{}",
        "[" * 100000,
        '{"seq": 1}',
        '{"seq": true, "hash": "' + "0" * 64 + '"}',
        '{"seq": 1, "hash": "' + "0" * 64 + '"}',
        '{"seq": 0, "hash": "' + "1" * 64 + '"}',
        '{"seq": -1, "hash": "' + "1" * 64 + '"}',
        '{"seq": 1, "hash": 5}',
    ):
        with pytest.raises(FormatError):
            Anchor.from_json(text)


def test_a_decision_from_another_process_is_checked() -> None:
    """Unknown, missing and wrong fields are refused; the value is not repeated in the message."""
    decision = signed(KEYS[0])
    assert Decision.from_fields(decision.to_fields()) == decision
    for change in ({"other": 1}, {"digest": "hello"}, {"tries": -1}, {"verdict": "maybe"}, {"key": None}):
        with pytest.raises(FormatError) as refusal:
            Decision.from_fields(decision.to_fields() | change)
        assert "hello" not in str(refusal.value)
    with pytest.raises(FormatError):
        Decision.from_fields({})
