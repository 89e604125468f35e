"""The laws of checkpoints: what the audit key said stands, whoever else writes the file or the log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig.audit_entries import AT, KEYS, signed
from rig.memory_token import PrivateKey

from signer.antelope.keys import Curve
from signer.errors import AuditError, FormatError
from signer.signing import checkpoint
from signer.signing.audit import Act, Anchor, Chain, Checkpoint, FaultKind, line_hash
from signer.signing.audit_reader import verify

if TYPE_CHECKING:
    from pathlib import Path

AUDIT, OTHER = PrivateKey(Curve.R1), PrivateKey(Curve.K1)


def made(seq: int, digest: str, key: PrivateKey = AUDIT, at: str = AT) -> Checkpoint:
    """Return a signed checkpoint."""
    bare = checkpoint.unsigned(at, seq, digest, "signer-1", key.public)
    return replace(bare, signature=str(key.signature(checkpoint.digest(bare))))


def a_log() -> tuple[list[bytes], list[Checkpoint]]:
    """Return the lines of a log with three checkpoints in it, and those."""
    chain = Chain()
    lines, proofs = [chain.seal(Act(AT, "start", "uid 0", None))], []
    for number in range(9):
        lines.append(chain.seal(signed(KEYS[0], number)))
        if number % 3 == 2:
            proofs.append(made(chain.seq, chain.head))
            lines.append(chain.seal(proofs[-1]))
    return lines, proofs


LINES, PROOFS = a_log()
TEXT = "".join(checkpoint.to_json(each) + "\n" for each in PROOFS)
FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(log: Path, lines: list[bytes], anchors: list[Anchor]) -> tuple[bool, int | None, FaultKind | None]:
    """Return what `verify` says of a log of these lines: whether it holds, up to which line it is proved, the fault."""
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"".join(lines))
    report = verify(log, anchors)
    return report.ok, report.anchored, report.fault.kind if report.fault else None


def test_checkpoints_prove_the_log_up_to_the_last_of_them(log: Path) -> None:
    """And each of them is compared."""
    anchors = checkpoint.anchors(checkpoint.read(TEXT, [AUDIT.public]))
    assert check(log, LINES, anchors) == (True, PROOFS[-1].upto, None)
    assert verify(log, anchors).anchors == 3


def test_lines_of_a_syslog_server_are_read_among_others() -> None:
    """Whatever it writes before them, and whoever else sends checkpoints there."""
    stranger = checkpoint.to_json(made(7, "ab" * 32, OTHER))
    text = "\n".join(
        [
            "Nov 27 22:00:00 host sshd[1]: session opened",
            f"2026-11-27T22:00:01Z host antelope-signer 7 checkpoint - {checkpoint.to_json(PROOFS[0])}",
            f"<109>1 {stranger}",
            checkpoint.to_json(PROOFS[1]) + "\r",
            '{"kind":"checkpoint","at":"2026',  # cut short by a power loss
        ]
    )
    assert checkpoint.read(text, [AUDIT.public]) == PROOFS[:2]
    assert checkpoint.read(text, [OTHER.public])[0].upto == 7
    assert checkpoint.read("", [AUDIT.public]) == []


@pytest.mark.parametrize(
    "change",
    [{"upto": 2}, {"hash": "1" * 64}, {"at": AT.replace("2026", "2027")}, {"signer": "signer-2"}],
)
def test_whatever_is_changed_in_a_checkpoint_breaks_its_signature(change: dict[str, Any]) -> None:
    """All of it is signed."""
    with pytest.raises(AuditError, match="line 1: it was not signed by"):
        checkpoint.read(checkpoint.to_json(replace(PROOFS[0], **change)) + "\n", [AUDIT.public])


def test_a_signature_of_another_key_is_not_believed() -> None:
    """Not even where the line says that it is the audit key's."""
    forged = replace(made(1, "ab" * 32, OTHER), key=str(AUDIT.public))
    with pytest.raises(AuditError):
        checkpoint.read(checkpoint.to_json(forged) + "\n", [AUDIT.public])


def test_what_is_signed_is_never_what_a_block_or_a_transaction_has() -> None:
    """Both are hashes of other things; two checkpoints that differ at all differ here too."""
    digests = {bytes(checkpoint.digest(each)) for each in (*PROOFS, made(1, "ab" * 32), made(1, "ac" * 32))}
    assert len(digests) == 5
    with pytest.raises(FormatError):
        checkpoint.unsigned(AT, -1, "ab" * 32, "signer-1", AUDIT.public)
    with pytest.raises(FormatError):
        checkpoint.unsigned(AT, 1, "block", "signer-1", AUDIT.public)


def test_a_log_that_was_written_anew_fails_at_the_first_checkpoint(log: Path) -> None:
    """Its chain holds, its hashes are others."""
    chain = Chain()
    forged = [chain.seal(signed(KEYS[1], number)) for number in range(len(LINES) + 3)]
    anchors = checkpoint.anchors(PROOFS)
    assert check(log, forged, anchors) == (False, None, FaultKind.EDIT)
    assert check(log, forged, [])[0]


def test_a_checkpoint_in_the_log_itself_names_its_line(log: Path) -> None:
    """Who makes the chain anew has to leave the checkpoints out: they cannot be signed again."""
    chain = Chain()
    first = chain.seal(signed(KEYS[0]))
    wrong = chain.copy().seal(made(1, "ab" * 32))
    right = chain.copy().seal(made(1, line_hash(first)))
    later = right.replace(b'"upto":1', b'"upto":2')
    assert check(log, [first, right], [])[0]
    for line in (wrong, later):
        assert check(log, [first, line], [])[2] == FaultKind.EDIT


@FUZZ
@given(st.data())
def test_no_change_before_the_last_checkpoint_is_ever_ok(log: Path, data: st.DataObject) -> None:
    """Lines changed, left out, doubled, moved, cut and put in, and bytes of any kind."""
    lines = list(LINES)
    proved = PROOFS[-1].upto
    place = data.draw(st.integers(0, proved - 1))
    way = data.draw(st.sampled_from(["bytes", "remove", "double", "move", "cut", "insert", "swap files"]))
    if way == "bytes":
        line = bytearray(lines[place])
        for _ in range(data.draw(st.integers(1, 4))):
            line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
        lines[place] = bytes(line)
    elif way == "remove":
        del lines[place : place + data.draw(st.integers(1, 4))]
    elif way == "double":
        lines.insert(place, lines[data.draw(st.integers(0, len(lines) - 1))])
    elif way == "move":
        lines.insert(data.draw(st.integers(0, len(lines) - 1)), lines.pop(place))
    elif way == "cut":
        lines = lines[:place]
    elif way == "insert":
        lines.insert(place, data.draw(st.binary(min_size=1, max_size=200)) + b"\n")
    else:
        lines = lines[place:] + lines[:place]

    ok, anchored, _ = check(log, lines, checkpoint.anchors(PROOFS))
    before = b"".join(LINES[:proved])
    if ok:
        assert (b"".join(lines)[: len(before)], anchored) == (before, proved)


@FUZZ
@given(st.data())
def test_no_change_of_a_checkpoint_file_makes_another_checkpoint(data: st.DataObject) -> None:
    """It has fewer of them, or is refused; never one that was not signed, and never a crash."""
    text = bytearray(TEXT.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not text:
            break
    try:
        found = checkpoint.read(text.decode("utf-8", "replace"), [AUDIT.public])
    except AuditError:
        return
    assert all(each in PROOFS for each in found)
