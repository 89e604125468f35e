"""The laws of the other commands over the control API: who signs, the permission, the nodes, the rings, a key's end."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rig.fake_rotations import KEY_A, KEY_B
from rig.hsm_home import make_home

from signer.antelope.keys import Curve, PublicKey
from signer.antelope.name import parse_name
from signer.chain.values import Permission, ProducerRow, WeightedKey
from signer.rotation.entry import Event
from signer.rotation.evidence import Evidence, EvidenceKind
from signer.rotation.finding import Finding, Level
from signer.rotation.listing import Listing
from signer.rotation.rotation import State

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from rig.command_line import Result
    from rig.control_server import ControlSite

    Run = Callable[..., Result]

WARNING = Finding("keys", Level.WARNING, "one key only", "add a second signer's key")


# -- producer -----------------------------------------------------------------------------------------------


def test_who_signs_now_is_the_first_thing(control: ControlSite, run: Run) -> None:
    """The node and its key, then what speaks for it."""
    control.supervisor.answer["keys"] = [{"public_key": str(KEY_A), "state": "active"}]

    result = run("producer")

    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "bp1 on eos"
    assert lines[1] == f"  signs now   a, with {KEY_A}"
    for words in (
        "rotation    none",
        "permission  rotate: as it should be",
        "http://127.0.0.1:8888  yes",
        "LOW",
    ):
        assert words in result.out


def test_a_live_rotation_is_told_with_what_it_waits_for(control: ControlSite, run: Run) -> None:
    """And the one that ended last."""
    control.rotations.findings = (WARNING,)
    run("rotate", "--to-node", "b", "--timeout", "1")
    control.rotations.move(1, State.ABORTED, Event.ABORTED)
    run("rotate", "--to-node", "b", "--timeout", "1")
    control.rotations.move(2, State.REGISTERED, Event.REGISTERED)

    out = run("producer", "--chain", "eos").out

    assert "rotation    2, promote to b by alice: registered" in out
    assert "of about 60 s; waits for the chain to propose" in out
    assert "last        rotation 1, promote to b: aborted" in out
    assert "warning: one key only" in out
    assert "do: add a second signer's key" in out


def test_a_chain_that_nobody_tells_of(control: ControlSite, run: Run) -> None:
    """1, and still everything that is known."""
    control.rotations.chain_known = False
    result = run("producer")
    assert result.code == 1
    assert "NOBODY TELLS: nobody answers" in result.out
    assert "http://127.0.0.1:8888  NO" in result.out


def test_who_signs_for_scripts(control: ControlSite, run: Run) -> None:
    """One object, with the rings."""
    shown = json.loads(run("producer", "--json").out)["producers"]
    assert [(each["chain"], each["signs"]) for each in shown] == [("eos", "a")]
    assert [each["node"] for each in shown[0]["rings"]] == ["a", "b"]
    assert run("producer", "--chain", "bare").code == 1
    assert run("producer", "--chain", "nobody").code == 1


# -- permission -----------------------------------------------------------------------------------------------


def test_the_lines_for_the_owner_need_no_signer(control: ControlSite, run: Run) -> None:
    """A shell reads them as they are meant; nothing has to run and no token is needed."""
    control.stop()
    (control.folder / "control.token").unlink()

    result = run("permission", "print")

    lines = [shlex.split(line) for line in result.out.splitlines() if not line.startswith("#")]
    at = ["cleos", "--url", "http://127.0.0.1:8888"]
    assert [line[:6] for line in lines] == [
        [*at, "set", "account", "permission"],
        *[[*at, "set", "action", "permission"]] * 4,
    ]
    assert json.loads(lines[0][8])["threshold"] == 1
    assert json.loads(run("permission", "print", "--json").out) == [line[3:] for line in lines]
    assert "warning: the permission has one key" in result.out
    assert run("permission", "print", "--chain", "bare").code == 2
    assert run("permission", "print", "--chain", "eso").code == 2


def test_the_permission_is_verified(control: ControlSite, run: Run) -> None:
    """5 where it is not as it should be, with what to do; 1 where nobody tells."""
    missing = run("permission", "verify")
    assert (missing.code, "do, for permission: run the lines" in missing.out) == (5, True)
    assert json.loads(run("permission", "verify", "--json").out)["good"] is False

    control.chain.permissions = (
        Permission(parse_name("owner"), None, 1, (), (), (), (), None),
        Permission(parse_name("active"), parse_name("owner"), 1, (), (), (), (), None),
        Permission(
            parse_name("rotate"),
            parse_name("active"),
            1,
            (WeightedKey(PublicKey.parse("EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"), 1),),
            (),
            (),
            (),
            None,
        ),
    )
    assert run("permission", "verify").code == 0
    control.chain.seen = False
    assert run("permission", "verify").code == 1


# -- nodes ------------------------------------------------------------------------------------------------------


def test_a_node_is_attested(control: ControlSite, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read goes to the signer with the person of the token; what is not in order is told: 5 with --strict."""
    now = control.clock.now
    asked: list[object] = []

    def read(_config: object, node: str, *, config_ini: Path, pid: int, by: str) -> Listing:
        asked.append((node, config_ini, pid))
        evidence = Evidence(node, EvidenceKind.FILE, KEY_A, now, "pid 7", by)
        return Listing((evidence,), findings)

    # The reading itself is held in tests/rotation/test_attest.py, with real nodeos.
    monkeypatch.setattr("signer.commands.attest.read", read)
    attest = ("nodes", "attest", "a", "--config-ini", "config.ini", "--pid", "7")

    findings: tuple[Finding, ...] = ()
    assert run(*attest).code == 0
    findings = (WARNING,)
    result = run(*attest)

    assert (result.code, "warning: one key only" in result.out) == (0, True)
    assert run(*attest, "--strict").code == 5
    assert asked[0] == ("a", Path("config.ini"), 7)
    assert [(each.node, each.kind, each.by) for each in control.journal.evidence()] == [
        ("a", EvidenceKind.FILE, "alice")
    ]
    assert "yes" in run("nodes", "list").out
    assert json.loads(run("nodes", "list", "--json").out)[0]["keys"][0]["proof"] is True
    assert json.loads(run(*attest, "--json").out)["findings"][0]["rule"] == "keys"


def test_what_cannot_be_attested(control: ControlSite, run: Run) -> None:
    """An unknown node is 2; a process that is no nodeos is 1, and nothing is sent."""
    assert run("nodes", "attest", "x", "--config-ini", "f", "--pid", "7").code == 2
    wrong = run("nodes", "attest", "a", "--config-ini", "f", "--pid", str(os.getpid()))
    assert wrong.code == 1
    assert control.journal.evidence() == []


# -- keys -------------------------------------------------------------------------------------------------------


def test_the_nights_that_are_left(control: ControlSite, run: Run) -> None:
    """A dry ring says what to do."""
    control.supervisor.answer["keys"] = [
        {"public_key": str(KEY_A), "state": "active"},
        {"public_key": str(KEY_B), "state": "active"},
    ]
    control.chain.row = ProducerRow(
        parse_name("bp1"),
        (WeightedKey(KEY_A, 1),),
        (),
        1,
        is_active=True,
        url="",
        location=0,
        total_votes=1.0,
    )

    out = run("keys", "ring").out

    assert "low: a has keys for 0 more nights" in out
    assert str(KEY_B) in out
    assert [each["nights_left"] for each in json.loads(run("keys", "ring", "--json").out)] == [0, 1]


def test_a_key_is_destroyed_in_its_token(control: ControlSite, signer: Run, tmp_path: Path) -> None:
    """With a real token: only with --yes, only what the signer releases, and only that key."""
    home = make_home(tmp_path)
    keys = {}
    for label in ("old", "other"):
        where = ("--uri", home.uri, "--pin-file", home.pin_file)
        made = home.run("generate", *where, "--label", label, "--curve", "r1", "--json")
        keys[label] = PublicKey(Curve.R1, bytes.fromhex(json.loads(made.stdout)["public_key_hex"]))
    softhsm = 'pin_file = "primary.pin"\nenvironment = { SOFTHSM2_CONF = "softhsm/softhsm2.conf" }'
    control_toml = control.config.replace('pin_file = "primary.pin"', softhsm)
    (tmp_path / "control.toml").write_text(control_toml, encoding="utf-8")
    destroy = ("keys", "destroy", str(keys["old"]), "--config", "control.toml")

    by_label = signer("keys", "destroy", "old", "--config", "control.toml")
    assert (by_label.code, "not its label" in by_label.err) == (2, True), by_label.err
    asked = signer(*destroy)
    assert (asked.code, "Nothing was destroyed" in asked.out) == (1, True), asked.err

    def look(kind: EvidenceKind, seconds: int) -> None:
        at = control.clock.now + timedelta(seconds=seconds)
        control.journal.add_evidence(Evidence("a", kind, keys["old"], at, "pid 7", "alice"))

    look(EvidenceKind.FILE, 0)
    refused = signer(*destroy, "--yes")
    assert (refused.code, "must not be destroyed" in refused.err) == (1, True), refused.err
    look(EvidenceKind.UNLISTED, 1)
    done = signer(*destroy, "--yes", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"destroyed": str(keys["old"]), "token": "primary", "label": "old"}
    assert control.supervisor.acts == [("key-destroy", "alice", str(keys["old"]))]
    left = home.run("list", "--uri", home.uri, "--pin-file", home.pin_file, "--json")
    assert [each["label"] for each in json.loads(left.stdout)] == ["other"]
    gone = signer(*destroy, "--yes")
    assert (gone.code, "no token of" in gone.err) == (2, True)


def test_httpx_is_not_loaded_for_help() -> None:
    """`signer --help` and the commands that ask nobody start fast."""
    program = (
        "import sys; from signer import cli; cli._parser(); print({'httpx', 'fastapi'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown == "set()\n"
