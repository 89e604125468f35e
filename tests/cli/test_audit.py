"""`signer audit` on a log in several files, with checkpoints: what it prints, and its exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cli.conftest import CONFIG
from rig.audit_entries import KEYS, signed
from rig.memory_token import PrivateKey

from signer.antelope.keys import Curve
from signer.signing import checkpoint
from signer.signing.audit_files import older
from signer.signing.audit_writer import AuditWriter

if TYPE_CHECKING:
    from pathlib import Path

    from rig.command_line import Result

AUDIT = PrivateKey(Curve.R1)


def at(minute: int) -> str:
    return f"2026-01-02T03:{minute:02d}:00.000000Z"


@pytest.fixture
def log(site: Path) -> Path:
    """The configuration's log: forty signatures, one a minute, in some files, and a file of checkpoints."""
    path = site / "state" / "audit" / "audit.jsonl"
    writer = AuditWriter(path, at(0), 4000)
    proofs = []
    for minute in range(40):
        writer.append([replace(signed(KEYS[0], minute), at=at(minute))])
        if minute % 10 == 5:
            bare = checkpoint.unsigned(at(minute), writer.seq, writer.head, "signer-1", AUDIT.public)
            proofs.append(replace(bare, signature=str(AUDIT.signature(checkpoint.digest(bare)))))
    writer.close(at(40))
    (site / "checkpoints").write_text("".join(checkpoint.to_json(each) + "\n" for each in proofs))
    return path


@pytest.fixture
def asked(signer: Signer, log: Path) -> Signer:
    """The command line, in the folder of a log."""
    return signer


if TYPE_CHECKING:
    from collections.abc import Callable

    Signer = Callable[..., Result]


def test_the_log_of_the_configuration_with_its_older_files(asked: Signer, log: Path) -> None:
    """No file has to be named."""
    result = asked("audit", "verify", "--json")
    (report,) = json.loads(result.out)
    assert (result.code, report["ok"], report["files"]) == (0, True, len(older(log)) + 1)
    assert "tail not provable" in asked("audit", "verify").out
    assert json.loads(asked("audit", "anchor").out)["seq"] == report["entries"]


def test_checkpoints_are_an_anchor(asked: Signer, log: Path, site: Path) -> None:
    """The audit key is named, or the configuration's; a log that lost its newest file is found out."""
    key = ("--key", str(AUDIT.public))
    proved = asked("audit", "verify", "--anchor", "checkpoints", *key)
    assert proved.code == 0
    assert "anchored lines compared 4" in proved.out

    nobody = asked("audit", "verify", "--anchor", "checkpoints")
    assert (nobody.code, "has no key of role audit" in nobody.err) == (2, True)
    stranger = asked("audit", "verify", "--anchor", "checkpoints", "--key", str(PrivateKey(Curve.R1).public))
    assert (stranger.code, "has checkpoints, and none by" in stranger.err) == (2, True)
    assert asked("audit", "verify", "--anchor", "checkpoints", "--key", "EOS1").code == 2
    control = '[tokens.control]\nuri = "pkcs11:token=control?module-path=/usr/lib/softhsm/libsofthsm2.so"\n'
    control += 'pin_file = "control.pin"\npurpose = "control"\n'
    control += f'[[keys]]\npublic_key = "{AUDIT.public}"\nrole = "audit"\ntoken = "control"\nlabel = "a"\n'
    (site / "signer.toml").write_text(CONFIG + control)
    assert asked("audit", "verify", "--anchor", "checkpoints").code == 0

    log.write_bytes(b"")
    older(log)[-1].unlink()
    lost = asked("audit", "verify", "--anchor", "checkpoints")
    assert (lost.code, "loss" in lost.out) == (5, True)


def test_a_forged_checkpoint_is_a_finding(asked: Signer, site: Path) -> None:
    """Whoever changed it wanted something."""
    text = (site / "checkpoints").read_text()
    (site / "checkpoints").write_text(text.replace("signer-1", "signer-2", 1))
    forged = asked("audit", "verify", "--anchor", "checkpoints", "--key", str(AUDIT.public))
    assert (forged.code, "line 1: it was not signed by" in forged.err) == (5, True)


def test_archived_files_are_told_to_the_commands(asked: Signer, log: Path) -> None:
    """Without that they are a loss."""
    first, second, *_ = older(log)
    first.unlink()
    begins = str(int(second.stem.rpartition("-")[2]))
    assert asked("audit", "verify").code == 5
    assert f"consistent from {begins} up to" in asked("audit", "verify", "--begins", begins).out
    assert asked("audit", "anchor", "--begins", begins).code == 0
    assert asked("audit", "anchor").code == 1
    assert asked("audit", "export").code == 5
    assert asked("audit", "export", "--begins", begins).code == 0


def test_export_prints_the_lines_of_a_while_as_they_are(asked: Signer, log: Path) -> None:
    """From the first to the last, both included, over all files."""
    whole = asked("audit", "export").out
    assert whole.encode() == b"".join(each.read_bytes() for each in [*older(log), log])
    some = asked("audit", "export", "--since", "2026-01-02T03:10:00Z", "--until", "2026-01-02T05:19:00+02:00")
    lines = [json.loads(line) for line in some.out.splitlines()]
    assert [each["digest"] for each in lines if each["kind"] == "decision"] == [
        f"{minute:064x}" for minute in range(10, 20)
    ]
    wrong = asked("audit", "export", "--since", "yesterday")
    assert (wrong.code, "is no time" in wrong.err) == (2, True)


def test_export_ends_at_a_fault_and_says_so(asked: Signer, log: Path) -> None:
    """What is printed held; what follows is not printed."""
    second = older(log)[1]
    second.write_bytes(second.read_bytes().replace(b'"tries":1', b'"tries":2', 1))
    result = asked("audit", "export")
    assert result.code == 5
    assert second.name in result.err
    assert result.out.count("\n") < 20


def test_reconcile_needs_a_producer_and_an_api_node_that_answers(signer: Signer, site: Path) -> None:
    """And says which."""
    bare = signer("audit", "reconcile", "--chain", "local")
    assert (bare.code, "needs a producer and an api" in bare.err) == (2, True)
    none = signer("audit", "reconcile")
    assert (none.code, "this needs chains.NAME.producer and .api" in none.err) == (2, True), none.err
    assert signer("audit", "reconcile", "--chain", "other").code == 2
    text = CONFIG.replace(
        "[tokens.primary]", 'api = ["http://127.0.0.1:1"]\nproducer = "bp"\n[tokens.primary]', 1
    )
    (site / "signer.toml").write_text(text)
    silent = signer("audit", "reconcile")
    assert (silent.code, "127.0.0.1:1" in silent.err) == (1, True)
