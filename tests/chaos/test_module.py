"""A module that fails, crashes, hangs or crawls: requests are served by what is left, and nothing late is sent."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rig.family import commands
from rig.site import Load

if TYPE_CHECKING:
    from rig.site import Site

_BOTH = (("r1-1", "primary", "tcp"), ("k1-1", "primary", "unix"))
#: What a lane calls as it opens, in this order.
_OPENING = ("C_OpenSession", "C_Login", "C_FindObjectsInit")


def lanes(status: dict[str, Any]) -> list[int]:
    """Return the process ids of the lanes of primary."""
    return [lane["pid"] for lane in status["tokens"]["primary"]["lanes"]]


@pytest.mark.parametrize("code", ["0x30", "0xb3"])
def test_an_error_at_every_third_signature_costs_no_request(site: Site, code: str) -> None:
    shim = site.shim("primary")
    site.start()
    shim.tell(code, every=3)
    with Load(site, *_BOTH) as load:
        load.wait_for_more(60)
    assert load.failed == []


@pytest.mark.parametrize(
    ("action", "reasons"),
    [
        # A lane that ends with a cancel unread resets its socket.
        ("segv", {"its process ended", "cannot be read: Connection reset by peer"}),
        ("abort", {"its process ended", "cannot be read: Connection reset by peer"}),
        ("hang", {"silent for more than 200 ms"}),
    ],
    ids=["segv", "abort", "hang"],
)
def test_a_module_that_crashes_or_hangs_in_a_signature_costs_no_request(
    site: Site, action: str, reasons: set[str]
) -> None:
    shim = site.shim("primary")
    site.tables = ["[lanes]", "stuck_after_ms = 200"]
    site.start()
    with Load(site, *_BOTH) as load:
        for count in (1, 2, 3):
            shim.tell(action, once=True)
            site.wait_for_event("lane lost", count)
            site.wait(lambda status: len(lanes(status)) == 2, "another one takes its place")
            load.wait_for_more()
    assert load.failed == []
    assert {event["reason"] for event in site.events("lane lost")} <= reasons


def test_a_module_that_is_ten_times_slower_is_no_fault(site: Site) -> None:
    shim = site.shim("primary")
    site.start()
    shim.tell("ok", delay_ms=5)
    with Load(site, *_BOTH) as load:
        load.wait_for_more(40)
    assert load.failed == []
    assert site.events("lane lost") == []


def test_a_module_that_always_fails_at_one_token_leaves_the_other_alone(site: Site) -> None:
    shim = site.shim("primary")
    site.start()
    shim.tell("0x30")
    assert site.refusal("r1-1")[0] in ("signer_failed_exception", "signer_unavailable_exception")
    with Load(site, ("r1-1", "standby", "tcp"), ("k1-1", "standby", "unix")) as load:
        load.wait_for_more()
    assert load.failed == []
    shim.tell("ok")
    site.wait(lambda status: {key["state"] for key in status["keys"]} == {"active"}, "the token is back")
    site.sign("r1-1")
    site.sign("k1-1")


def test_a_module_that_crashes_when_it_opens_is_tried_again(site: Site) -> None:
    """Its first probe crashes it; the other token serves, and this one when it is well."""
    shim = site.shim("primary")
    shim.tell("segv")
    site.launch()
    site.wait(lambda status: status["state"] == "serving", "it serves")
    site.sign("r1-1", node="standby")
    shim.tell("ok")
    site.wait(lambda status: {key["state"] for key in status["keys"]} == {"active"}, "the token serves")
    site.sign("k1-1")


def test_a_module_that_is_gone_costs_the_lanes_that_would_begin(site: Site) -> None:
    """As while a vendor's package is replaced: what is loaded serves on, and says why it stays alone."""
    shim = site.shim("primary")
    module = shim.folder / "module.so"
    module.symlink_to(shim.module)
    site.tokens["primary"] = replace(site.tokens["primary"], shim=replace(shim, module=str(module)))
    site.start()
    module.unlink()
    with Load(site, *_BOTH) as load:
        os.kill(lanes(site.status())[0], signal.SIGKILL)
        site.wait_for_event("lane not opened")
        load.wait_for_more()
    assert load.failed == []
    assert "token primary: 1 of 2 lanes are open" in site.status()["problems"]
    [reason] = {event["reason"] for event in site.events("lane not opened")}
    assert reason
    module.symlink_to(shim.module)
    site.wait(lambda status: len(lanes(status)) == 2, "the lane is back")


def hurry(site: Site) -> None:
    """Let a lane that opens be taken for hung after 3 s, not 15."""
    path = site.copy_code() / "signer/supervisor/lanes.py"
    good = path.read_text()
    path.write_text(good.replace("_OPEN_S = 15.0", "_OPEN_S = 3.0"))
    assert path.read_text() != good


def lane_processes(site: Site) -> set[int]:
    """Return the process ids of all lanes, also of those that nobody knows any more."""
    assert site.program is not None
    return {int(each.name) for each, line in commands(site.program.pid).items() if b"hsm.lane" in line}


def has_both_lanes(status: dict[str, Any]) -> bool:
    """Whether primary has all its lanes."""
    return len(lanes(status)) == 2


@pytest.mark.parametrize(
    ("action", "reasons"),
    [
        (
            "0x30",
            {
                "open a session on token primary: the module answered CKR_DEVICE_ERROR",
                "log in to token primary: the module answered CKR_DEVICE_ERROR",
                "find key 'r1-1': the module answered CKR_DEVICE_ERROR",
            },
        ),
        ("segv", {"the module ended its process with SIGSEGV"}),
        ("abort", {"the module ended its process with SIGABRT"}),
        ("hang", {"the module did not log in within 3 s"}),
    ],
    ids=["error", "segv", "abort", "hang"],
)
def test_a_module_that_fails_as_one_lane_opens_costs_the_other_nothing(
    site: Site, action: str, reasons: set[str]
) -> None:
    """Whatever the module does then, the lane is ended and tried again, and open when the fault is gone."""
    shim = site.shim("primary")
    hurry(site)
    site.tables = ["[lanes]", "restart_backoff_max_ms = 200"]
    site.start()
    site.wait(has_both_lanes, "both lanes are open")
    with Load(site, *_BOTH) as load:
        for function in _OPENING:
            tried = len(site.events("lane not opened"))
            shim.tell(action, at=function)
            os.kill(lanes(site.status())[0], signal.SIGKILL)
            site.wait_for_event("lane not opened", tried + 1)
            assert "token primary: 1 of 2 lanes are open" in site.status()["problems"]
            load.wait_for_more()
            shim.tell("ok")
            status = site.wait(has_both_lanes, "another one takes its place")
            pids = {lane["pid"] for token in status["tokens"].values() for lane in token["lanes"]}
            assert lane_processes(site) == pids
            load.wait_for_more()
    assert load.failed == []
    assert {event["reason"] for event in site.events("lane not opened")} == reasons
    assert len(site.events("lane lost")) == len(_OPENING)  # the ones that the test killed


@pytest.mark.parametrize(
    ("action", "function"), [("0x30", "C_OpenSession"), ("segv", "C_Login"), ("hang", "C_FindObjectsInit")]
)
def test_a_token_whose_module_opens_no_lane_serves_again_when_it_does(
    site: Site, action: str, function: str
) -> None:
    """Every lane was lost meanwhile; the other token serves all the while."""
    shim = site.shim("primary")
    hurry(site)
    site.start()
    site.wait(has_both_lanes, "both lanes are open")
    shim.tell(action, at=function)
    with Load(site, ("r1-1", "standby", "tcp"), ("k1-1", "standby", "unix")) as load:
        for pid in lanes(site.status()):
            os.kill(pid, signal.SIGKILL)
        status = site.wait(
            lambda status: "the module" in status["tokens"]["primary"]["reason"], "no lane could be opened"
        )
        assert status["tokens"]["primary"]["state"] == "away"
        assert site.refusal("r1-1")[0] == "signer_unavailable_exception"
        load.wait_for_more()
        shim.tell("ok")
        site.wait(lambda status: {key["state"] for key in status["keys"]} == {"active"}, "it serves again")
        site.sign("r1-1")
        site.sign("k1-1")
        load.wait_for_more()
    assert load.failed == []


def test_a_pin_that_is_refused_as_one_lane_opens_costs_the_other_nothing(site: Site) -> None:
    """And it is tried once: a confused token must not be locked by who means well."""
    shim = site.shim("primary")
    site.start()
    site.wait(has_both_lanes, "both lanes are open")
    tried = len(shim.logins())
    shim.tell("0xa0", at="C_Login")  # CKR_PIN_INCORRECT
    with Load(site, *_BOTH) as load:
        os.kill(lanes(site.status())[0], signal.SIGKILL)
        site.wait(lambda status: status["tokens"]["primary"]["state"] == "pin-refused", "the PIN is refused")
        shim.tell("ok")
        load.wait_for_more(500)  # for longer than the second after which the source of the PIN is looked at
        assert shim.logins()[tried:] == [0xA0]
        site.admin.post("/v1/token/retry", {"token": "primary"})
        site.wait(has_both_lanes, "the lane is back")
        load.wait_for_more()
    assert shim.logins()[tried:] == [0xA0, 0]
    assert load.failed == []
