"""The signer as a whole: every verdict."""

from __future__ import annotations

from typing import Any

import pytest
from doctor.verdicts import only, verdicts

from signer.doctor import service

WELL: dict[str, Any] = {
    "state": "serving",
    "ready": True,
    "pid": 7,
    "generation": 1,
    "version": "1.0",
    "restarts": 0,
    "frozen": [],
    "alarms": [],
    "counters": {"verdicts": {"signed": 5}},
    "realtime": {"on": True, "reason": ""},
    "control": {"state": "ready", "pid": 9},
}
FREEZE = {"scope": "node", "name": "a", "at": "t", "by": "me", "reason": "drill"}
ALARM = {"name": "clone", "subject": "k", "text": "a block that is not ours", "since": 1.0, "count": 2}


def test_a_signer_that_is_well() -> None:
    found = verdicts(service.check(WELL, "1.0"))

    assert set(found.values()) == {"ok"}
    assert len(found) == 8


@pytest.mark.parametrize(
    ("changed", "check", "verdict", "word"),
    [
        ({"ready": False}, "signer", "failure", "NOT READY"),
        ({"ready": False, "obstacles": ["node b: no key"]}, "signer", "failure", "NOT READY: node b: no key"),
        ({"realtime": {"on": False, "reason": "not permitted"}}, "priority", "warning", "not permitted"),
        ({"state": "starting", "ready": False}, "signer", "failure", "does not serve yet"),
        ({"only": "control", "ready": False}, "signer", "ok", "only the control process"),
        ({"version": "0.9"}, "version", "warning", "0.9 runs, 1.0 is installed"),
        ({"restarts": 2}, "restarts", "warning", "2 times"),
        ({"counters": {}}, "requests", "unknown", "does not say"),
        (
            {"counters": {"verdicts": {"signed": 9, "late": 1}}},
            "requests",
            "warning",
            "1 signatures came too late",
        ),
        ({"counters": {"verdicts": {"signed": 9, "failed": 2}}}, "requests", "warning", "2 failed"),
        ({"frozen": [FREEZE]}, "freeze", "failure", "drill"),
        ({"frozen": [FREEZE | {"at": "", "by": ""}]}, "freeze", "failure", "drill (nobody knows by whom)"),
        ({"alarms": [ALARM]}, "alarm", "failure", "clone: a block that is not ours"),
        ({"control": {"state": "starting", "pid": None}}, "control", "warning", "starting"),
        (
            {"control": {"state": "starting", "pid": None, "unable": "control.sqlite: damaged"}},
            "control",
            "failure",
            "cannot run: control.sqlite: damaged",
        ),
        ({"answers": {"control": False}}, "control", "warning", "does not answer"),
        ({"control": {"state": "off", "pid": None}}, "control", "ok", "no control process"),
    ],
)
def test_each_thing_that_is_not_well(changed: dict[str, Any], check: str, verdict: str, word: str) -> None:
    """It has its line, and the others are as before."""
    found = list(service.check(WELL | changed, "1.0"))

    one = only(found, check)
    assert one.verdict.value == verdict
    assert word in one.text
    assert {each.verdict.value for each in found if each.check != check} == {"ok"}
    verdicts(found)


def test_the_end_of_a_freeze_is_a_command() -> None:
    """Of the scope that is frozen."""
    (node,) = [each for each in service.check(WELL | {"frozen": [FREEZE]}, "1.0") if each.check == "freeze"]
    everything = only(
        service.check(WELL | {"frozen": [FREEZE | {"scope": "all", "name": ""}]}, "1.0"), "freeze"
    )

    assert "signer unfreeze --node a --reason" in node.remedy
    assert "signer unfreeze --all --reason" in everything.remedy


@pytest.mark.parametrize(("running", "word"), [(False, "start"), (True, "log")])
def test_a_signer_that_does_not_answer(running: bool, word: str) -> None:  # noqa: FBT001
    (one,) = service.down("it is not there; see its log", running=running)

    assert (one.verdict.value, one.text) == ("failure", "it is not there")
    assert word in one.remedy


@pytest.mark.parametrize(
    ("changed", "check", "remedy"),
    [
        ({"ready": False, "obstacles": ["node b: no key"]}, "signer", "see the lines of tokens and keys"),
        (
            {"ready": False, "obstacles": ["the signing process does not answer"]},
            "signer",
            "The signing process restarts",
        ),
        ({"counters": {"verdicts": {"late": 1, "failed": 1}}}, "requests", "Late signatures"),
        ({"counters": {"verdicts": {"failed": 1}}}, "requests", "Refused and failed requests"),
        ({"frozen": [FREEZE]}, "freeze", "signer unfreeze --node a --reason WHY"),
        ({"frozen": [FREEZE | {"reason": "x cannot be looked up: y"}]}, "freeze", "Freeze"),
        ({"alarms": [ALARM]}, "alarm", "Alarm: clone; then: signer alarms clear clone --reason WHY"),
        ({"alarms": [ALARM | {"name": "slot"}]}, "alarm", "Alarm: slot"),
    ],
)
def test_the_remedy_is_for_what_happened(changed: dict[str, Any], check: str, remedy: str) -> None:
    found = only(service.check(WELL | changed, "1.0"), check)

    assert found.remedy.endswith(remedy)
