"""The laws of the rotation commands, against the real control application with rotations that follow a script."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rig.command_line import admin_server
from rig.fake_rotations import KEY_A, KEY_B

from signer.commands import progress, rotate
from signer.control_client import ControlClient
from signer.errors import ControlUnreachableError
from signer.rotation.entry import Event
from signer.rotation.finding import Finding, Level
from signer.rotation.rotation import Purpose, SignedTransaction, State, VerifiedBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from rig.command_line import Result
    from rig.control_server import ControlSite

    Run = Callable[..., Result]

WARNING = Finding("evidence", Level.WARNING, "nobody looked at b", "run `signer nodes attest b`")
BLOCKER = Finding("probe", Level.BLOCKER, "the key does not sign", "look at the token")
PROMOTE = ("rotate", "--to-node", "b")


def to_the_end(control: ControlSite, end: State = State.DONE) -> None:
    """Script a rotation that goes well."""
    now = control.clock.now
    transaction = SignedTransaction(
        purpose=Purpose.REGISTER,
        packed=b"",
        signature="SIG_K1_x",
        signed_by=KEY_B,
        id="ab" * 32,
        head_number=99,
        expiration=now + timedelta(seconds=60),
        signed_at=now,
        pushed_at=now,
    )
    block = VerifiedBlock(120, "cd" * 32, now, "SIG_R1_y")
    control.rotations.script.extend(
        [
            (State.PREFLIGHT, Event.CHECKING, {}),
            (
                State.SIGNED,
                Event.SIGNED,
                {"transactions": (transaction,), "from_keys": (KEY_A,), "from_node": "a"},
            ),
            (State.REGISTERED, Event.REGISTERED, {}),
            (State.ACTIVE, Event.ACTIVE, {}),
            (State.VERIFIED, Event.VERIFIED, {"verified": block, "missed_slots": 0}),
            (end, Event.DONE, {"safe_to_stop": "a", "reason": "block 120 is irreversible"}),
        ]
    )


#: httpcore 1.0.9 leaves the socket of a refused connection on a unix socket to the garbage collector.
refused_connections = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


# -- rotate -----------------------------------------------------------------------------------------------


def test_a_rotation_is_watched_to_its_end(control: ControlSite, run: Run) -> None:
    """One line for each change on standard error; the proof and which node may be stopped on standard output."""
    to_the_end(control)

    result = run(*PROMOTE, "--wait")

    assert result.code == 0
    lines = result.err.splitlines()
    states = ["planned", "preflight", "signed", "registered", "active", "verified", "done"]
    assert [line.split(" s  ")[1].partition(":")[0] for line in lines] == states
    assert "waits for the chain to propose" in lines[3]
    for words in (
        "rotation 1: done",
        str(KEY_A),
        str(KEY_B),
        "block 120",
        "missed slots: 0",
        "safe to stop: a",
    ):
        assert words in result.out
    assert "\x1b" not in result.err


def test_a_script_gets_one_object(control: ControlSite, run: Run) -> None:
    """All of standard output is one JSON object, with the fields that are promised."""
    to_the_end(control)

    result = run(*PROMOTE, "--wait", "--json", "--i-know", "--reason", "maintenance")

    assert result.code == 0
    shown = json.loads(result.out)
    at = control.clock.now.isoformat().replace("+00:00", "Z")
    assert shown == {
        "id": 1,
        "kind": "promote",
        "chain": "eos",
        "node": "b",
        "state": "done",
        "reason": "block 120 is irreversible",
        "from_key": str(KEY_A),
        "to_key": str(KEY_B),
        "transaction_id": "ab" * 32,
        "pushed_at": at,
        "active_at": at,
        "verified_block": {"num": 120, "id": "cd" * 32, "producer_signature": "SIG_R1_y"},
        "missed_slots": 0,
        "safe_to_stop": "a",
        "findings": [],
    }
    request = control.rotations.rotations[1].request
    assert (request.accept_warnings, request.reason, request.requested_by) == (True, "maintenance", "alice")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (State.DONE, 0),
        (State.UNSCHEDULED, 0),
        (State.FAILED, 1),
        (State.ABORTED, 1),
        (State.SUPERSEDED, 1),
        (State.RETURNED, 1),
        (State.REFUSED, 1),
    ],
)
def test_the_exit_code_is_the_end(end: State, code: int, control: ControlSite, run: Run) -> None:
    """A registered key of a producer that is not elected is a success."""
    to_the_end(control, end)
    assert run(*PROMOTE, "--wait").code == code
    assert run("rotations", "watch", "1").code == code


def test_without_wait_it_says_how_to_watch(control: ControlSite, run: Run) -> None:
    """Once nothing was in the way."""
    to_the_end(control)

    result = run(*PROMOTE)

    assert result.code == 0
    assert "rotation 1: signed" in result.out
    assert "signer rotations watch 1" in result.out


def test_warnings_stop_it_and_tell_how_to_go_on(control: ControlSite, run: Run) -> None:
    """Each with its remedy; the command that takes them on is there to be copied. Also without --wait."""
    refused = {"findings": (WARNING,), "reason": "warnings that nobody accepted"}
    for extra in ((), ("--wait",)):
        control.rotations.script.append((State.REFUSED, Event.REFUSED, refused))
        result = run(*PROMOTE, "--reason", "a b", *extra)
        assert result.code == 1
        assert "warning: nobody looked at b" in result.out
        assert "do: run `signer nodes attest b`" in result.out
        assert "signer rotate --to-node b --reason 'a b'" in result.err
        assert "--i-know" in result.err


def test_blockers_cannot_be_known_away(control: ControlSite, run: Run) -> None:
    """So nothing offers it."""
    control.rotations.script.append((State.REFUSED, Event.REFUSED, {"findings": (BLOCKER, WARNING)}))
    result = run(*PROMOTE, "--wait")
    assert result.code == 1
    assert "blocker: the key does not sign" in result.out
    assert "--i-know" not in result.err


def test_a_dry_run_does_nothing(control: ControlSite, run: Run) -> None:
    """0 where nothing is in the way, 1 where something is; --i-know takes warnings on, never blockers."""
    assert run(*PROMOTE, "--dry-run").code == 0
    control.rotations.findings = (WARNING,)
    warned = run(*PROMOTE, "--dry-run")
    assert (warned.code, "about 60 s" in warned.out) == (1, True)
    assert "do: run `signer nodes attest b`" in warned.out
    assert run(*PROMOTE, "--dry-run", "--i-know").code == 0
    control.rotations.findings = (BLOCKER,)
    assert run(*PROMOTE, "--dry-run", "--i-know").code == 1
    assert json.loads(run("rotate", "--cycle", "--dry-run", "--json").out)["node"] == "a"
    assert control.rotations.rotations == {}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--to-node", "b", "--cycle"),
        ("--to-node", "b", "--emergency"),
        ("--to-node", "b", "--emergency", "--reason", "dead", "--unattended"),
        ("--to-node", "b", "--node", "a"),
        ("--to-node", "b", "--not-within", "12h"),
        ("--cycle", "--not-within", "12"),
        ("--cycle", "--not-within", "0h"),
        ("--to-node", "b", "--timeout", "0"),
        ("--to-node", "b", "--reason", " "),
    ],
)
def test_wrong_usage_is_2(arguments: tuple[str, ...], control: ControlSite, run: Run) -> None:
    """Nothing is asked for."""
    result = run("rotate", *arguments)
    assert result.code == 2
    assert result.err.startswith("signer: ")
    assert control.rotations.rotations == {}


def test_what_the_signer_refuses_is_told_in_its_words(control: ControlSite, run: Run) -> None:
    """An unknown node, a chain that cannot rotate, a live rotation."""
    assert "known are: a, b" in run("rotate", "--to-node", "c").err
    assert "chains.bare.producer" in run(*PROMOTE, "--chain", "bare").err
    to_the_end(control)
    assert run(*PROMOTE).code == 0
    again = run(*PROMOTE)
    assert (again.code, "live rotation" in again.err) == (1, True)


def test_an_idempotency_key_stands_for_one_rotation(control: ControlSite, run: Run) -> None:
    """Asked again, it is watched again."""
    to_the_end(control)
    for _ in range(2):
        assert run(*PROMOTE, "--wait", "--idempotency-key", "k").code == 0
    assert list(control.rotations.rotations) == [1]


def test_a_lost_answer_is_asked_for_again(
    control: ControlSite, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same key, so that nothing happens twice."""
    monkeypatch.setattr(rotate, "_PAUSE_S", 0.0)
    to_the_end(control)
    lost: list[str] = []
    real = ControlClient.post

    def post(self: Any, path: str, *given: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever it is called with
        answer = real(self, path, *given)
        lost.append(given[1]["idempotency-key"])
        if len(lost) == 1:
            raise ControlUnreachableError("broke off", sent=True)
        return answer

    monkeypatch.setattr(ControlClient, "post", post)

    result = run(*PROMOTE, "--wait")

    assert result.code == 0
    assert "asks again" in result.err
    assert (len(lost), len(set(lost)), list(control.rotations.rotations)) == (2, 1, [1])


# -- unattended ---------------------------------------------------------------------------------------------


def test_an_unattended_cycle_joins_a_live_one(control: ControlSite, run: Run) -> None:
    """Of the same kind; a promotion in its way is a failure."""
    to_the_end(control)
    assert run("rotate", "--cycle", "--node", "a").code == 0
    result = run("rotate", "--cycle", "--unattended", "--json")
    assert (result.code, json.loads(result.out)["id"]) == (0, 1)
    assert "joins rotation 1 of alice" in result.err

    to_the_end(control)
    assert run(*PROMOTE).code == 0
    blocked = run("rotate", "--cycle", "--unattended")
    assert (blocked.code, "live rotation" in blocked.err) == (1, True)
    assert list(control.rotations.rotations) == [1, 2]


def test_a_cycle_is_not_made_twice_a_night(control: ControlSite, run: Run) -> None:
    """Only one that ended well counts, and only a cycle."""
    nightly = ("rotate", "--cycle", "--unattended", "--not-within", "12h")
    to_the_end(control, State.FAILED)
    assert run(*nightly).code == 1
    to_the_end(control)
    assert run(*PROMOTE, "--wait").code == 0
    to_the_end(control)
    assert run(*nightly).code == 0

    skipped = run(*nightly)
    assert (skipped.code, len(skipped.out.splitlines()), skipped.err) == (0, 1, "")
    assert "rotation 3" in skipped.out
    assert json.loads(run(*nightly, "--json").out)["state"] == "skipped"
    assert list(control.rotations.rotations) == [1, 2, 3]

    old = control.rotations.rotations[3]
    control.rotations.rotations[3] = replace(old, state_since=control.clock.now - timedelta(hours=13))
    to_the_end(control)
    assert run(*nightly).code == 0
    assert list(control.rotations.rotations) == [1, 2, 3, 4]


# -- watching -----------------------------------------------------------------------------------------------


@refused_connections
def test_the_watcher_survives_the_control_process(
    control: ControlSite, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that nobody answers, asks again, and misses no change."""
    to_the_end(control)
    pauses = 0

    def sleep(_: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 2:
            control.stop()
        elif pauses == 4:
            control.rotations.get(1)  # goes on meanwhile
            control.start()

    monkeypatch.setattr("time.sleep", sleep)

    result = run(*PROMOTE, "--wait")

    assert result.code == 0
    assert result.err.count("does not answer; the rotation does not need this command") == 1
    assert result.err.count("answers again") == 1
    for state in ("preflight", "signed", "registered", "active", "verified", "done"):
        assert f"  {state}: " in result.err


@refused_connections
def test_a_control_process_that_stays_away_is_3(
    control: ControlSite, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the rotation goes on."""
    to_the_end(control)
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    monkeypatch.setattr("time.sleep", lambda _: control.stop())

    result = run(*PROMOTE, "--wait")

    assert result.code == 3
    assert "rotation 1 (preflight) goes on by itself" in result.err
    assert "signer rotations watch 1" in result.err


def test_interrupted_it_says_that_the_rotation_goes_on(
    control: ControlSite, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """130, how to watch it and how to end it; a script still gets its object."""
    to_the_end(control)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)

    result = run(*PROMOTE, "--wait", "--json")

    assert (result.code, json.loads(result.out)["state"]) == (130, "preflight")
    assert "signer rotations watch 1" in result.err
    assert "signer rotations abort 1" in result.err
    watched = run("rotations", "watch", "1")
    assert (watched.code, "goes on by itself" in watched.err) == (130, True)


def test_a_timeout_ends_the_watching_only(control: ControlSite, run: Run) -> None:
    """1, and the rotation goes on."""
    control.rotations.script.append((State.REGISTERED, Event.REGISTERED, {}))
    result = run(*PROMOTE, "--wait", "--timeout", "1")
    assert (result.code, "the time is over" in result.err) == (1, True)
    assert control.rotations.rotations[1].live


def test_on_a_terminal_the_last_line_lives(
    control: ControlSite, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """State, time, expected time and what is awaited; what comes from outside steers no terminal."""
    to_the_end(control)
    control.rotations.script[0][2]["reason"] = "bad \x1b[2J text"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    err = run(*PROMOTE, "--wait").err

    assert re.search(r"\r\x1b\[Krotation 1 is registered, \d+ of about 60 s, waits for the chain to pr", err)
    assert "\x1b[2J" not in err
    assert err.endswith("\r\x1b[K")


# -- rotations ------------------------------------------------------------------------------------------------


def test_rotations_are_listed_and_shown(control: ControlSite, run: Run) -> None:
    """For people and for scripts."""
    to_the_end(control)
    assert run("rotations", "list").out == "there was no rotation yet\n"
    run(*PROMOTE, "--wait")

    assert "done" in run("rotations", "list").out
    assert json.loads(run("rotations", "list", "--json", "--limit", "1").out)[0]["id"] == 1
    shown = run("rotations", "show", "1").out
    assert "safe to stop: a" in shown
    assert "planned: planned (by signer)" in shown
    assert len(json.loads(run("rotations", "show", "1", "--json").out)["history"]) == 7
    assert run("rotations", "show", "2").code == 1
    assert run("rotations", "show", "x").code == 2


def test_a_second_person_approves(control: ControlSite, run: Run) -> None:
    """The one who asked is told to find another: 4."""
    control.rotations.needs_approval = True
    control.rotations.script.append((State.APPROVAL, Event.APPROVAL_AWAITED, {}))
    asked = run(*PROMOTE)
    assert (asked.code, "waits for the approval of somebody else than alice" in asked.out) == (0, True)
    same = run("rotations", "approve", "1")
    assert (same.code, "somebody else" in same.err) == (4, True)
    bob = control.token("bob")
    assert run("rotations", "approve", "1", "--token-file", str(bob)).code == 0
    assert control.rotations.rotations[1].approved_by == "bob"


def test_a_rotation_is_ended_before_it_is_registered(control: ControlSite, run: Run) -> None:
    """Afterwards it is too late, and the way back is named."""
    run(*PROMOTE, "--timeout", "1")
    assert "is aborted" in run("rotations", "abort", "1").out
    to_the_end(control)
    run(*PROMOTE)
    control.rotations.move(2, State.REGISTERED, Event.REGISTERED)
    late = run("rotations", "abort", "2", "--json")
    assert (late.code, "rotate back" in late.err) == (1, True)


# -- who may ---------------------------------------------------------------------------------------------------


def test_the_token_is_found(control: ControlSite, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """By option, by environment, beside the configuration; without one the remedy is told."""
    viewer = control.token("viewer", "view")
    (control.folder / "control.token").rename(control.folder / "elsewhere")
    missing = run("rotations", "list")
    assert (missing.code, "signer token create" in missing.err) == (2, True)
    assert run("rotations", "list", "--token-file", str(viewer)).code == 0
    monkeypatch.setenv("SIGNER_TOKEN_FILE", str(viewer))
    assert run("rotations", "list").code == 0
    forbidden = run(*PROMOTE)
    assert (forbidden.code, "scope operate" in forbidden.err) == (4, True)


@pytest.mark.parametrize("damage", ["open", "nonsense", "unknown", "empty"])
def test_a_token_that_cannot_be_used_is_never_shown(damage: str, control: ControlSite, run: Run) -> None:
    """Not in part, wherever it fails."""
    path = control.folder / "control.token"
    text = path.read_text(encoding="ascii").strip()
    if damage == "open":
        path.chmod(0o644)
    elif damage == "nonsense":
        path.write_text(f"{text}x hunter2", encoding="ascii")
    elif damage == "unknown":
        path.write_text("sgn_" + "A" * 43, encoding="ascii")
    else:
        path.write_text("", encoding="ascii")
    result = run("rotations", "list")
    assert result.code == (4 if damage == "unknown" else 2)
    for secret in (text[4:], "hunter2", "A" * 43):
        assert secret not in result.out + result.err


@refused_connections
def test_nobody_there_is_3(control: ControlSite, run: Run) -> None:
    """Whatever is asked."""
    control.stop()
    for command in (("producer",), PROMOTE, ("rotations", "list"), ("keys", "ring"), ("nodes", "list")):
        result = run(*command)
        assert result.code == 3, command
        assert "nobody listens on unix:" in result.err
    (control.folder / "control.sock").unlink()
    assert run("producer").code == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + b"[" * 90000,
        b"HTTP/1.1 502 X\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_nonsense_is_told_as_such(answer: bytes, control: ControlSite, run: Run) -> None:
    """Whatever the other side sends, it is unreachable: 3, one line, no token."""
    control.stop()
    (control.folder / "control.sock").unlink()
    with admin_server(control.folder / "control.sock") as answers:
        answers.by_path["/v1/rotations?limit=20"] = answer
        result = run("rotations", "list")
    assert result.code == 3
    assert len(result.err.splitlines()) == 1
    assert "sgn_" not in result.err
