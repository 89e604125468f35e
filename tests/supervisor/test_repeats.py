"""A flood of refusals costs a bounded number of lines, loses no count, and never a signature."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from rig.audit_entries import AT, KEYS, refused, signed

from signer.config import Audit
from signer.signing.audit import Verdict
from signer.signing.audit_reader import verify
from signer.supervisor.audit import AuditLog
from signer.supervisor.repeats import GROUPS, Repeats

if TYPE_CHECKING:
    from pathlib import Path

    from signer.signing.audit import Decision

PER_MINUTE = 3


def other(number: int) -> Decision:
    """Return a refusal of a caller of its own."""
    return replace(
        refused(KEYS[number % 2]), caller=f"192.0.2.{number % 200}:{number}", rule=f"rule-{number % 7}"
    )


@given(st.lists(st.integers(0, 300), max_size=400), st.integers(0, 50))
def test_every_decision_has_a_line_or_is_counted_once(numbers: list[int], signatures: int) -> None:
    """Whoever asks in whatever order: lines and counts together are all of them, and lines are bounded."""
    repeats = Repeats(PER_MINUTE)
    decisions = [*map(other, numbers), *(signed(KEYS[0], number) for number in range(signatures))]
    lines = [each for each in decisions if repeats.has_line(each)]
    counted = repeats.end()

    assert len(lines) + sum(each.count for each in counted) == len(decisions)
    refusals = [each for each in lines if each.verdict == Verdict.REFUSED]
    assert len(lines) - len(refusals) == signatures
    assert len(refusals) <= GROUPS * PER_MINUTE
    alike = Counter((each.rule, each.key, each.caller.partition(":")[0]) for each in refusals)
    assert max(alike.values(), default=0) <= PER_MINUTE
    assert len(counted) <= GROUPS * PER_MINUTE + 1
    assert repeats.end() == []


def test_another_port_or_process_is_not_another_caller() -> None:
    """Every connection has a port of its own."""
    repeats = Repeats(PER_MINUTE)
    lines = [repeats.has_line(replace(refused(None), caller=f"127.0.0.1:{port}")) for port in range(100)]
    lines += [repeats.has_line(replace(refused(None), caller=f"uid 7 pid {pid}")) for pid in range(100)]
    lines += [repeats.has_line(replace(refused(None), caller=f"[::1]:{port}")) for port in range(100)]
    assert sum(lines) == 3 * PER_MINUTE
    assert [(each.caller, each.count) for each in repeats.end()] == [
        ("127.0.0.1", 97),
        ("uid 7", 97),
        ("[::1]", 97),
    ]


def test_a_late_signature_was_made_and_has_its_line() -> None:
    """What the token signed is never only a number."""
    repeats = Repeats(1)
    late = replace(signed(KEYS[0]), verdict=Verdict.LATE)
    assert all(repeats.has_line(late) for _ in range(50))
    assert not repeats.began


def test_what_took_no_token_is_counted() -> None:
    """A signature that was given before, and what was too late before a lane had it: nothing else bounds them."""
    for changed in (
        replace(signed(KEYS[0]), verdict=Verdict.REPEATED),
        replace(signed(KEYS[0]), verdict=Verdict.LATE, tries=0),
    ):
        repeats = Repeats(PER_MINUTE)
        assert sum(repeats.has_line(changed) for _ in range(50)) == PER_MINUTE
        assert [(each.verdict, each.count) for each in repeats.end()] == [(changed.verdict, 50 - PER_MINUTE)]


def test_each_minute_begins_anew() -> None:
    """A flood must not hide what comes an hour later."""
    repeats = Repeats(PER_MINUTE)
    for _ in range(2):
        assert sum(repeats.has_line(refused(None)) for _ in range(10)) == PER_MINUTE
        (counted,) = repeats.end()
        assert (counted.count, counted.at, counted.rule) == (7, AT, "unknown_key")


def fields(decision: Decision) -> dict[str, Any]:
    """Return a decision as the signing process sends it."""
    found = {name: value or "" for name, value in decision.to_fields().items()}
    return found | {"at": 1767323045.0, "tries": 1, "micros": 3, "transaction": ""}


def test_a_flood_in_the_log(tmp_path: Path) -> None:
    """Ten thousand refusals and a few signatures: some hundred lines, and the log holds."""
    path = tmp_path / "audit" / "audit.jsonl"

    async def scenario() -> dict[str, Any]:
        log = AuditLog(path, Audit())
        for number in range(10_000):
            log.decision(fields(other(number % 20)))
            if number % 1000 == 0:
                log.decision(fields(signed(KEYS[0], number)))
        state = log.state()
        await log.close()
        return state

    state = asyncio.run(scenario())
    report = verify(path)
    assert report.ok
    assert report.counters == {KEYS[0]: 10}
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    own = [each for each in entries if each["kind"] == "decision" and each["verdict"] == "refused"]
    counted = [each for each in entries if each["kind"] == "repeated"]
    assert len(entries) < 200
    assert len(own) + sum(each["count"] for each in counted) == 10_000
    assert state["counted"] == sum(each["count"] for each in counted)
