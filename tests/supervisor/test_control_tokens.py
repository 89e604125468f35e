"""The control process opens its own token, and whatever becomes of either costs no block signature."""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rig.condition import until
from rig.site import Load

from signer.errors import AdminRefusedError

if TYPE_CHECKING:
    from rig.site import Site

_EVERYONE = (("r1-1", "primary", "tcp"), ("k1-1", "standby", "unix"))
_INCORRECT = 0xA0
#: s. As in test_freeze.py: this bounds a hang on a loaded machine.
_GENEROUS_S = 5.0
_LABELS = ("rotation-r1", "rotation-k1", "audit-r1")


def control_token(status: dict[str, Any]) -> dict[str, Any]:
    """Return what the status says of the control token."""
    found: dict[str, Any] = status["tokens"]["control"]
    return found


def lanes(status: dict[str, Any]) -> set[int]:
    """Return the process ids of its lanes."""
    return {lane["pid"] for lane in control_token(status)["lanes"]}


def states(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return state and reason of each key of the control token."""
    return {key["label"]: (key["state"], key["reason"]) for key in status["keys"] if key["label"] in _LABELS}


def is_well(status: dict[str, Any]) -> bool:
    """Whether the control token is open with all its lanes, and each of its keys was checked."""
    idle = [lane["state"] for lane in control_token(status)["lanes"]] == ["idle", "idle"]
    return idle and states(status) == dict.fromkeys(_LABELS, ("active", ""))


def about_control(status: dict[str, Any]) -> list[str]:
    """Return the problems that name the control token or its keys."""
    return [problem for problem in status["problems"] if "control" in problem or "rotation" in problem]


def test_the_control_token_survives_its_lanes_and_its_process_and_no_request_is_lost(whole: Site) -> None:
    whole.start()
    first = whole.wait(is_well, "the control token is well")
    assert (control_token(first)["state"], control_token(first)["purpose"]) == ("logged-in", "control")
    assert (first["ready"], first["problems"]) == (True, [])
    with Load(whole, *_EVERYONE) as load:
        for pid in lanes(first):
            os.kill(pid, signal.SIGKILL)
        second = whole.wait(
            lambda status: is_well(status) and not lanes(status) & lanes(first),
            "other lanes take their place",
        )
        os.kill(second["control"]["pid"], signal.SIGKILL)
        third = whole.wait(
            lambda status: is_well(status) and not lanes(status) & lanes(second),
            "another process, with others",
        )
        load.wait_for_more()
    assert load.failed == []
    assert {event["token"] for event in whole.events("lane lost")} == {"control"}
    assert second["control"]["pid"] == first["control"]["pid"] != third["control"]["pid"]
    assert third["signing_pid"] == first["signing_pid"]
    assert not (lanes(first) | lanes(second)) & {int(process.name) for process in whole.processes()}
    ended = whole.events("control process ended; starting another")
    assert [event["reason"] for event in ended] == ["killed by SIGKILL"]


def test_a_control_process_that_ends_by_itself_is_not_said_to_be_killed(whole: Site) -> None:
    """It closes its channel a moment before it is gone."""
    whole.start()
    pid = whole.wait(is_well, "the control token is well")["control"]["pid"]
    for name in ("control.sqlite-wal", "control.sqlite-shm"):
        (whole.state / name).unlink(missing_ok=True)
    (whole.state / "control.sqlite").write_bytes(bytes(4096))

    os.kill(pid, signal.SIGKILL)

    def ended() -> list[str]:
        return [event["reason"] for event in whole.events("control process ended; starting another")]

    whole.wait(lambda _: len(ended()) >= 3, "it ends again and again")
    assert set(ended()[1:]) == {"exit code 1"}
    assert whole.events("token store unusable")


def test_a_wrong_pin_of_the_control_token_is_tried_once_and_blocks_are_signed(whole: Site) -> None:
    """Whatever restarts; and a person, or a change of the file, lets it be tried again."""
    shim = whole.shim("control")
    path = whole.tokens["control"].home.pin_file
    right = path.read_text()
    path.write_text("0000-wrong-0000")
    whole.start()

    def refused(status: dict[str, Any]) -> bool:
        return bool(control_token(status)["state"] == "pin-refused" and status["control"]["state"] == "ready")

    status = whole.wait(refused, "the PIN is refused")
    assert status["ready"]
    assert [problem for problem in status["problems"] if "token control is pin-refused" in problem]
    assert {state for state, _ in states(status).values()} == {"unavailable"}
    assert all("pin-refused" in reason for _, reason in states(status).values())
    assert "CKR_PIN_INCORRECT" in (whole.state / "pin-refused" / "control.json").read_text()
    pid = status["control"]["pid"]
    os.kill(pid, signal.SIGKILL)
    status = whole.wait(
        lambda status: refused(status) and status["control"]["pid"] != pid, "still refused after a kill"
    )
    pid = status["control"]["pid"]
    whole.admin.post("/v1/reload")
    whole.wait(
        lambda status: refused(status) and status["control"]["pid"] != pid, "still refused after a reload"
    )
    assert shim.logins().count(_INCORRECT) == 1
    whole.admin.post("/v1/token/retry", {"token": "control"})
    whole.wait(lambda _: shim.logins().count(_INCORRECT) == 2, "a person lets it be tried once more")
    path.write_text(right)
    status = whole.wait(is_well, "the right PIN is used")
    assert about_control(status) == []
    assert shim.logins().count(_INCORRECT) == 2
    whole.sign("r1-1")


def test_a_control_token_that_goes_away_comes_back_and_unusable_keys_are_told(whole: Site) -> None:
    """One key is not the configured one, one is frozen: both are problems and no hindrance."""
    other = replace(
        next(key for key in whole.keys if key.label == "rotation-k1"),
        public_key=whole.key("audit-r1", "control"),
        role="audit",
    )
    whole.keys = [*(key for key in whole.keys if key.label not in ("rotation-k1", "audit-r1")), other]
    tokens = whole.tokens["control"].home.folder / "softhsm" / "tokens"
    away = tokens.with_name("away")
    shutil.move(tokens, away)
    tokens.mkdir()
    whole.start()
    status = whole.wait(lambda status: control_token(status)["state"] == "away", "it is away")
    assert status["ready"]
    assert [problem.partition(":")[0] for problem in about_control(status)] == ["token control is away"]
    body = {"scope": "key", "name": whole.key("rotation-r1", "control"), "reason": "drill"}
    whole.admin.post("/v1/freeze", body)
    tokens.rmdir()
    shutil.move(away, tokens)
    status = whole.wait(
        lambda status: "quarantined" in states(status)["rotation-k1"], "it is back, and checked"
    )
    assert control_token(status)["state"] == "logged-in"
    frozen, quarantined = [problem for problem in about_control(status) if "lanes" not in problem]
    assert frozen == "rotation key rotation-r1 is frozen: drill"
    assert "audit key rotation-k1 is quarantined: its curve is secp256k1, not prime256v1" in quarantined
    assert status["ready"]


def test_a_control_process_that_hangs_is_told_and_no_freeze_waits_for_it(whole: Site) -> None:
    whole.start()
    pid = whole.wait(is_well, "the control token is well")["control"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        whole.admin.post("/v1/freeze", {"scope": "all", "name": "", "reason": "drill"})
        took_s = time.monotonic() - began
        status = whole.status()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert took_s < _GENEROUS_S
    assert "the control process does not answer" in status["problems"]
    assert control_token(status)["reason"] == "the control process does not answer"
    whole.admin.post("/v1/unfreeze", {"scope": "all", "name": "", "reason": "the drill is over"})
    status = whole.wait(is_well, "it answers again")
    assert about_control(status) == []
    whole.stop()
    acts = whole.audit()
    assert "all : the drill is over" in [act.get("detail") for act in acts]


@pytest.mark.parametrize("how", ["stop", "reload", "two reloads", "upgrade"])
def test_a_control_process_that_hangs_is_left_behind_by_nothing(whole: Site, how: str) -> None:
    """Not beside another one either: both would have the rotations."""
    program = whole.start().program
    assert program is not None
    pid = whole.wait(is_well, "the control token is well")["control"]["pid"]
    hung = [each for each in whole.processes() if each.name == str(pid)]
    os.kill(pid, signal.SIGSTOP)
    for request in {"reload": ["reload"], "two reloads": ["reload"] * 2, "upgrade": ["upgrade"]}.get(how, []):
        whole.admin.post(f"/v1/{request}")
    if how in ("reload", "upgrade"):
        whole.wait(is_well, "another one serves")
        assert not hung[0].exists()
    everybody = [*whole.processes(), *hung]
    program.send(signal.SIGTERM)
    until(lambda: program.exit_code is not None, "it stops")
    assert program.exit_code == 0
    assert [each for each in everybody if each.exists()] == []


def test_a_signing_unit_leaves_the_control_token_closed_and_says_so(whole: Site) -> None:
    whole.only = "signing"
    whole.start()
    status = whole.status()
    reason = "no control process here: started with --only signing"
    assert (control_token(status)["state"], control_token(status)["reason"]) == ("closed", reason)
    assert states(status) == dict.fromkeys(_LABELS, ("unavailable", reason))
    assert (status["ready"], status["problems"]) == (True, [])
    assert not (whole.folder / "run/control/control.sock").exists()
    with pytest.raises(AdminRefusedError, match="--only signing"):
        whole.admin.post("/v1/token/retry", {"token": "control"})


def test_a_control_unit_signs_no_block_and_says_so(whole: Site) -> None:
    whole.only = "control"
    whole.start()
    status = whole.wait(is_well, "the control token is well")
    assert (status["state"], status["ready"], status["problems"]) == ("serving", False, [])
    reason = "no signing process here: started with --only control"
    assert {key["reason"] for key in status["keys"] if key["role"] == "block"} == {reason}
    assert {status["tokens"][name]["state"] for name in ("primary", "standby")} == {"closed"}
    assert not (whole.folder / "run/primary").exists()
    pid = status["control"]["pid"]
    assert whole.admin.post("/v1/reload") == {"generation": 1, "quarantined": {}}
    status = whole.wait(lambda status: is_well(status) and status["control"]["pid"] != pid, "it was reloaded")
    assert status["signing_pid"] is None
