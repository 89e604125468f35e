"""A module that fails, crashes, hangs or crawls: requests are served by what is left, and nothing late is sent."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rig.site import Load

if TYPE_CHECKING:
    from rig.site import Site

_BOTH = (("r1-1", "primary", "tcp"), ("k1-1", "primary", "unix"))


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
