"""Which signatures are remembered: the newest, from before the start and since."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from rig.audit_entries import AT, KEYS, refused, signed

from signer.errors import AdminError
from signer.signing.audit_writer import AuditWriter
from signer.supervisor import issued
from signer.supervisor.issued import Issuance, Issued

if TYPE_CHECKING:
    from pathlib import Path

_THEN = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp()


def decision(number: int, key: str = KEYS[0], verdict: str = "signed") -> dict[str, Any]:
    """Return a decision as the signing process sends it."""
    return {"verdict": verdict, "signature": f"S{number}", "key": key, "node": "primary", "at": float(number)}


def log_of(folder: Path, *numbers: int) -> Path:
    """Write a log with the signatures S<number> of the first key, and a refusal after each."""
    path = folder / "audit.jsonl"
    writer = AuditWriter(path, AT)
    for number in numbers:
        writer.append([replace(signed(KEYS[0]), signature=f"S{number}"), refused(KEYS[1])])
    writer.close(AT)
    return path


def test_a_signature_is_found_with_its_key_and_node_and_counted() -> None:
    memory = Issued()
    memory.add(decision(1))
    memory.add(decision(2, KEYS[1]))
    memory.add(decision(3, verdict="refused"))
    assert memory.find("S2") == memory.last(KEYS[1]) == Issuance("S2", KEYS[1], "primary", 2.0)
    assert memory.find("S3") is None
    assert (memory.count(KEYS[0]), memory.count("other")) == (1, 0)
    assert memory.since(1.0) == {KEYS[1]}


def test_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issued, "REMEMBERED", 2)
    memory = Issued()
    for number in (1, 2, 3):
        memory.add(decision(number))
    assert [memory.find(f"S{number}") is None for number in (1, 2, 3)] == [True, False, False]
    assert memory.count(KEYS[0]) == 3


def test_what_is_older_than_the_start_comes_from_the_log_and_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signature since the start is newer, also one that is in the log by now."""
    monkeypatch.setattr(issued, "REMEMBERED", 3)
    memory = Issued()
    memory.add(decision(5))
    asyncio.run(memory.learn(log_of(tmp_path, 1, 2, 3, 4, 5)))
    assert memory.find("S3") == Issuance("S3", KEYS[0], "primary", _THEN)
    assert [memory.find(f"S{number}") is None for number in (1, 2, 3, 4, 5)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert memory.last(KEYS[0]) == memory.find("S5") == Issuance("S5", KEYS[0], "primary", 5.0)
    assert memory.count(KEYS[0]) == 1


def test_only_the_end_of_the_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the limit falls into a line."""
    path = log_of(tmp_path, 1, 2, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    monkeypatch.setattr(issued, "_TAIL", sum(map(len, lines[2:])) - 10)
    memory = Issued()
    asyncio.run(memory.learn(path))
    assert [memory.find(f"S{number}") is None for number in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize(
    "content", [None, b"", b"nonsense\n", b'{"verdict":"signed"}\n', b'"verdict":"signed"']
)
def test_a_log_that_cannot_be_read_is_no_hindrance(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "audit.jsonl"
    if content is not None:
        path.write_bytes(content)
    memory = Issued()

    async def learn() -> None:
        await memory.learn(path)
        await memory.learned()

    asyncio.run(learn())
    assert memory.since(0.0) == set()


def test_who_asks_before_the_log_was_read_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issued, "_LEARN_S", 0.01)
    with pytest.raises(AdminError, match="still being read"):
        asyncio.run(Issued().learned())
