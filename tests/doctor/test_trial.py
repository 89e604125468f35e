"""`signer doctor` on a real trial that produces on a real chain: all is well, then each thing is broken by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from rig.api_proxy import Answer
from rig.condition import until

if TYPE_CHECKING:
    from rig.produced_trial import ProducedTrial

pytestmark = pytest.mark.chain

_STRANGER: Final = 65534
#: What a trial cannot be better in: it is one, and this machine is what it is.
_OF_A_TRIAL: Final = frozenset(
    {"software", "systemd", "config", "priority", "load", "latency", "permission", "api-count"}
)


def test_all_is_well(world: ProducedTrial) -> None:
    """Nothing but what a trial cannot have is wrong; the nodeos was read on this host."""
    found = world.doctor(code=0)

    wrong = {at: each for at, each in found.items() if each["verdict"] != "ok" and at[0] not in _OF_A_TRIAL}
    own = {at for at in wrong if not at[1].startswith("pid ")}  # a nodeos of another test on this host
    assert own == {("node", "standby"), ("config-lines", "standby")}  # it has no nodeos
    assert "lists 5 of 5 keys" in found["config-lines", "primary"]["text"]
    assert found["permission", "local two-keys"]["verdict"] == "warning"
    assert "other_rotation_keys" in found["permission", "local two-keys"]["remedy"]
    for check in ("token", "pin", "node", "nonces", "ring"):
        assert found[check, "primary"]["verdict"] == "ok", check
    for api in world.apis:
        assert found["api", api.url]["verdict"] == "ok"
    assert found["clock", "local"]["verdict"] == "ok"


def test_latency_is_measured_with_probe_keys(world: ProducedTrial) -> None:
    """Twelve of each curve and token, and no signature is counted for it."""
    before = world.status()["keys"]
    done = world.signer.run("doctor", "--json", "--node", "standby")
    lines = [each for each in json.loads(done.stdout)["findings"] if each["check"] == "latency"]

    assert {each["subject"] for each in lines} == {"standby K1", "standby R1"}
    assert all("12 probe signatures" in each["text"] for each in lines), lines
    assert [key["signatures"] for key in world.status()["keys"]] == [key["signatures"] for key in before]


def test_production_does_not_take_a_software_token(world: ProducedTrial) -> None:
    """Nor a permission with one key, nor what people would overlook: the worst stand last."""
    found = world.doctor("--production")

    for token in ("primary", "standby", "control"):
        assert found["software", token]["verdict"] == "failure"
    assert found["permission", "local two-keys"]["verdict"] == "failure"


def test_a_pin_file_that_others_may_read(world: ProducedTrial) -> None:
    path = world.signer.trial.folder / "pins" / "primary.pin"
    path.chmod(0o644)
    try:
        found = world.doctor()["pin", "primary"]
    finally:
        path.chmod(0o600)

    assert found["verdict"] == "failure"
    assert found["remedy"] == f"chmod 0400 {path}"


def test_a_token_that_is_away(world: ProducedTrial) -> None:
    folder = world.signer.trial.folder / "softhsm" / "standby"
    folder.rename(folder.with_name("away"))
    try:
        for lane in world.status()["tokens"]["standby"]["lanes"]:
            os.kill(lane["pid"], signal.SIGKILL)
        until(
            lambda: world.status()["tokens"]["standby"]["state"] == "away",
            "the token is away",
        )
        found = world.doctor()
    finally:
        folder.with_name("away").rename(folder)
    world.well()

    assert found["token", "standby"]["verdict"] == "failure"
    assert "runbook, Token away" in found["token", "standby"]["remedy"]
    assert found["token", "primary"]["verdict"] == "ok"
    assert found["signer", ""]["verdict"] == "failure"
    assert any(
        check == "keys" and each["remedy"] == "see the line of token standby"
        for (check, _), each in found.items()
    )


def test_a_lane_that_was_killed_is_missing_until_it_is_back(world: ProducedTrial) -> None:
    """The PIN is away meanwhile, so that it does not come back while the doctor looks."""
    pin = world.signer.trial.folder / "pins" / "primary.pin"
    pin.chmod(0o644)
    try:
        os.kill(world.status()["tokens"]["primary"]["lanes"][0]["pid"], signal.SIGKILL)
        until(lambda: len(world.status()["tokens"]["primary"]["lanes"]) == 1, "the lane is gone")
        found = world.doctor()["token", "primary"]
    finally:
        pin.chmod(0o600)
    world.well()

    assert found["verdict"] in ("warning", "failure")
    assert found["remedy"]


def test_a_frozen_node_and_its_ring(world: ProducedTrial) -> None:
    """Its keys do not sign, so none is left to rotate to."""
    assert world.signer.run("freeze", "--node", "standby", "--reason", "drill").returncode == 0
    try:
        found = world.doctor()
    finally:
        assert world.signer.run("unfreeze", "--node", "standby").returncode == 0

    assert "drill" in found["freeze", "standby"]["text"]
    assert found["freeze", "standby"]["remedy"].startswith(
        "if the reason is gone: signer unfreeze --node standby"
    )
    assert found["ring", "standby"]["verdict"] == "warning"
    assert "signer keys generate --node standby" in found["ring", "standby"]["remedy"]
    assert found["ring", "primary"]["verdict"] == "ok"


def test_a_socket_with_a_wrong_mode(world: ProducedTrial) -> None:
    path = Path(world.signer.description["nodes"]["primary"]["socket"])
    path.chmod(0o666)
    try:
        done = world.signer.run("doctor", "--json", "--quick")
    finally:
        path.chmod(0o660)

    wrong = [
        each
        for each in json.loads(done.stdout)["findings"]
        if each["check"] == "socket" and each["verdict"] == "failure"
    ]
    assert [each["remedy"] for each in wrong] == [f"chmod 0660 {path}"]


def test_api_nodes_that_are_away_behind_or_of_another_chain(world: ProducedTrial) -> None:
    """And the clock is told by the others."""
    first, second = world.apis

    def twisted(**fields: object) -> dict[tuple[str, str], dict[str, str]]:
        def twist(path: str, answer: Answer) -> Answer:
            if not path.endswith("get_info"):
                return answer
            return Answer(answer.status, json.dumps(json.loads(answer.body) | fields).encode())

        second.twist = twist
        return world.doctor("--chain", "local", code=5 if "chain_id" in fields else 0)

    try:
        first_block = "00000001" + "00" * 28
        behind = twisted(
            head_block_num=1,
            head_block_id=first_block,
            last_irreversible_block_num=1,
            last_irreversible_block_id=first_block,
        )["api", second.url]
        other = twisted(chain_id="ab" * 32)["api", second.url]
        second.passes = lambda _path: False
        away = twisted()
    finally:
        second.twist, second.passes = (lambda _path, answer: answer), lambda _path: True

    assert (behind["verdict"], "behind the others" in behind["text"]) == ("warning", True)
    assert (other["verdict"], "another chain" in other["text"]) == ("failure", True)
    assert (away["api", second.url]["verdict"], away["api", first.url]["verdict"]) == ("warning", "ok")
    assert away["clock", "local"]["verdict"] == "ok"


def test_without_a_token_of_the_control_api(world: ProducedTrial) -> None:
    """What only it knows is unknown, and the remedy makes one."""
    token = world.signer.trial.folder / "control.token"
    token.rename(token.with_name("kept"))
    try:
        found = world.doctor(code=0)
    finally:
        token.with_name("kept").rename(token)

    for at in (("permission", "local"), ("ring", "")):
        assert found[at]["verdict"] == "unknown"
        assert "signer token create" in found[at]["remedy"]
    assert found["config-lines", "primary"]["verdict"] == "ok"  # read on this host


def test_what_a_node_is_told_wrongly_is_read_on_its_host(world: ProducedTrial) -> None:
    """The signer's timeout is changed, so that of the running nodeos is another one."""
    text = world.config.read_text()
    world.config.write_text(text.replace("timeout_ms = 5", "timeout_ms = 9", 1))
    try:
        found = world.doctor(code=0)
    finally:
        world.config.write_text(text)

    assert found["config-lines", "primary"]["verdict"] == "warning"
    assert "keosd-provider-timeout = 9" in found["config-lines", "primary"]["remedy"]


def test_a_configuration_that_is_broken(world: ProducedTrial) -> None:
    """What runs is told all the same."""
    text = world.config.read_text()
    world.config.write_text(text.replace('role = "block"', 'role = "blok"', 1))
    try:
        done = world.signer.run("doctor", "--json")
    finally:
        world.config.write_text(text)

    found = json.loads(done.stdout)["findings"]
    assert done.returncode == 5
    assert [each["verdict"] for each in found if each["check"] == "config"] == ["failure"]
    assert [each["verdict"] for each in found if each["check"] == "signer"] == ["ok"]


def test_a_stranger_may_not_look(world: ProducedTrial) -> None:
    """With one line that says who may."""
    done = subprocess.run(
        world.signer.command("doctor"), capture_output=True, text=True, check=False, **_as(_STRANGER)
    )

    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert "root" in done.stderr


def test_the_signers_own_user_needs_no_root(world: ProducedTrial) -> None:
    """It sees all of the signer; only a nodeos of another user is hidden from it."""
    user = world.signer.trial.folder.stat().st_uid
    arguments = world.signer.command("doctor", "--json", "--quick")
    done = subprocess.run(arguments, cwd="/", capture_output=True, text=True, check=False, **_as(user))
    findings = json.loads(done.stdout)["findings"]

    assert done.returncode == 0, [each for each in findings if each["verdict"] == "failure"]
    verdicts = {(each["check"], each["subject"]): each["verdict"] for each in findings}
    for at in (("token", "primary"), ("pin", "primary"), ("audit-log", ""), ("limits", "signing")):
        assert verdicts[at] == "ok", at
    assert verdicts["ring", "primary"] == "ok"


def _as(uid: int) -> dict[str, Any]:
    return {"user": uid, "group": uid, "extra_groups": []}


def test_people_read_the_worst_last_and_without_colour_in_a_pipe(world: ProducedTrial) -> None:
    done = world.signer.run("doctor", "--quick", "--production")

    lines = done.stdout.splitlines()
    words = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    order = ["ok", "unknown", "warning", "failure"]
    assert words[-1] == "doctor:"
    assert words[:-1] == sorted(words[:-1], key=order.index)
    assert "\x1b" not in done.stdout
    assert lines[-1].startswith("doctor: ")
    assert "do: " in done.stdout
