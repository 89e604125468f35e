"""The machine, the audit log, the configuration: every verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from doctor.verdicts import only, verdicts
from rig import two_nodes

from signer.doctor import audit, host, settings
from signer.doctor.facts import AuditFact, HostFact, ProcessFact, TokenFact

CONFIG = two_nodes.config()
HOST = HostFact(10**10, 10**6, 10**6, 0.5, 2, "3.11", "antelope-signer.service", 1.5)
SIGNING = ProcessFact("signing", 7, 40, 65536, 0)


def _check(seen: HostFact, *processes: ProcessFact) -> list[Any]:
    return list(host.check(CONFIG, seen, processes, {"block": TokenFact("SoftHSM 2.6", (), "")}, "3.11"))


def test_a_machine_that_is_well() -> None:
    assert set(verdicts(_check(HOST, SIGNING)).values()) == {"ok"}


@pytest.mark.parametrize(
    ("changed", "check", "verdict", "word"),
    [
        ({"free_bytes": 10**7}, "disk", "failure", "df -h"),
        ({"free_bytes": 5 * 10**8}, "disk", "warning", "df -h"),
        ({"free_files": 3}, "disk", "failure", "df -h"),
        ({"free_bytes": None}, "disk", "unknown", "as root"),
        ({"load": 9.0}, "load", "warning", "load 9.0 on 2 cores"),
        ({"unit": "", "exposure": None}, "systemd", "unknown", "not started by systemd"),
        ({"exposure": None}, "systemd", "unknown", "systemd-analyze security"),
        ({"exposure": 6.7}, "systemd", "warning", "6.7 of 10"),
    ],
)
def test_a_machine_that_is_not(changed: dict[str, Any], check: str, verdict: str, word: str) -> None:
    found = _check(replace(HOST, **changed), SIGNING)

    one = only(found, check)
    assert one.verdict.value == verdict
    assert word in one.text + one.remedy
    verdicts(found)


@pytest.mark.parametrize(
    ("changed", "check", "verdict", "word"),
    [
        ({"open_files": 60000}, "limits", "failure", "LimitNOFILE"),
        ({"max_files": 1024}, "limits", "warning", "LimitNOFILE"),
        ({"open_files": None}, "limits", "ok", "? of 65536"),
        ({"problem": "process 7: gone"}, "limits", "unknown", "as root"),
        ({"core_bytes": None}, "core-dump", "failure", "LimitCORE=0"),
        ({"swaps": True}, "swap", "ok", "no PIN"),
        ({"swaps": True, "name": "supervisor"}, "swap", "warning", "LimitMEMLOCK=infinity"),
        ({"swaps": True, "name": "supervisor", "locked_bytes": 4096}, "swap", "ok", "kept out of swap"),
    ],
)
def test_a_process_that_is_not(changed: dict[str, Any], check: str, verdict: str, word: str) -> None:
    one = only(_check(HOST, replace(SIGNING, **changed)), check)

    assert one.verdict.value == verdict
    assert word in one.text + one.remedy


def test_another_python() -> None:
    assert verdicts(_check(replace(HOST, python="3.12"), SIGNING))["version", "python"] == "warning"


def test_a_machine_without_a_signer() -> None:
    assert verdicts(_check(replace(HOST, unit=""))) | {} == {
        ("disk", "/srv/signer/state"): "ok",
        ("load", ""): "ok",
        ("version", "python"): "ok",
        ("version", "module"): "ok",
        ("systemd", ""): "unknown",
    }


# -- the audit log ----------------------------------------------------------------------------------------

WRITTEN = {"waiting": 0, "lost": 0, "degraded": ""}


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (WRITTEN, "ok"),
        (WRITTEN | {"degraded": "No space left on device"}, "failure"),
        (WRITTEN | {"lost": 3}, "failure"),
        (WRITTEN | {"waiting": 5000}, "failure"),
    ],
)
def test_the_writing_of_the_audit_log(state: dict[str, Any], verdict: str) -> None:
    assert verdicts(audit.check("/log", state, AuditFact(9)))["audit-writes", ""] == verdict


@pytest.mark.parametrize(
    ("tail", "verdict"),
    [
        (AuditFact(9), "ok"),
        (AuditFact(9, fault="line 3"), "failure"),
        (AuditFact(0, problem="may not be read"), "unknown"),
    ],
)
def test_the_end_of_the_audit_log(tail: AuditFact, verdict: str) -> None:
    assert verdicts(audit.check("/log", None, tail)) == {("audit-log", ""): verdict}


def test_files_that_were_taken_out_of_the_way_of_the_log() -> None:
    found = audit.check("/log", None, AuditFact(9, aside=("audit.jsonl.foreign",)))

    assert verdicts(found) == {("audit-aside", ""): "warning", ("audit-log", ""): "ok"}


# -- the configuration ------------------------------------------------------------------------------------


def test_what_is_unwise_has_its_place_and_its_remedy() -> None:
    found = list(settings.check(CONFIG, "/signer.toml"))

    verdicts(found)
    (state,) = [each for each in found if each.subject == "state_dir"]
    assert state.verdict.value == "warning"
    assert "0700" in state.remedy
    assert not [each for each in found if each.subject.endswith(("software", "pin_file"))]


def test_a_file_that_would_not_be_served() -> None:
    found = list(settings.invalid("x: keys[0].role: is wrong; expected: another\nx: keys[1]: is odd"))

    assert [each.verdict.value for each in found] == ["failure", "failure"]
    assert [each.remedy for each in found] == ["expected: another", "correct it, then: signer check-config"]
