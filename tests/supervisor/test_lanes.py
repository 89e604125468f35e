"""Lanes that fail, crash, hang or crawl: requests are served by what is left, and nothing late is sent."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from rig.condition import until
from rig.site import Load

if TYPE_CHECKING:
    from rig.site import Site

_BOTH = (("r1-1", "primary", "tcp"), ("k1-1", "primary", "unix"))


def lanes(status: dict[str, Any]) -> list[int]:
    """Return the process ids of the lanes of primary."""
    return [lane["pid"] for lane in status["tokens"]["primary"]["lanes"]]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
def test_a_lane_that_ends_or_stops_costs_no_request_and_is_replaced(
    site: Site, number: signal.Signals
) -> None:
    """A lane that stops with a K1 request on it is noticed when it is silent for too long."""
    site.tables = ["[lanes]", "stuck_after_ms = 300"]
    site.start()
    victim = lanes(site.status())[0]
    with Load(site, *_BOTH) as load:
        os.kill(victim, number)
        load.wait_for_more()
        site.wait(lambda status: len(set(lanes(status)) - {victim}) == 2, "another lane takes its place")
        load.wait_for_more()
    assert load.failed == []
    assert victim not in lanes(site.status())
    assert {event["token"] for event in site.events("lane lost")} == {"primary"}


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


def test_a_signature_that_cannot_be_made_in_time_is_refused_as_late_and_counted(site: Site) -> None:
    shim = site.shim("primary")
    site.timeout_ms = 40
    site.tables = ["[warmth]", "enabled = false"]
    site.start()
    shim.tell("ok", delay_ms=100)
    for label in ("r1-1", "k1-1"):
        name, message = site.refusal(label)
        assert name == "signer_late_exception"
        assert "no signature within 40 ms" in message
        assert site.key(label) in message
    status = site.wait(
        lambda status: status["counters"]["late_replies"] >= 1, "the late signature is counted"
    )
    assert status["counters"]["verdicts"] == {"late": 2}
    assert all(key["signatures"] == 0 for key in status["keys"])
    shim.tell("ok")
    # The lanes are free again: a late request left nothing behind.
    site.wait(lambda status: {lane["state"] for lane in status["tokens"]["primary"]["lanes"]} == {"idle"}, "")
    with Load(site, ("r1-1", "primary", "tcp")) as load:
        load.wait_for_more()
    assert load.signed


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


def test_every_lane_ends_with_the_signer(site: Site) -> None:
    site.start()
    processes = list(site.processes())
    assert site.stop() == 0
    assert [process for process in processes if process.exists()] == []


def test_no_process_outlives_a_supervisor_that_is_killed(site: Site) -> None:
    program = site.start().program
    assert program is not None
    processes = list(site.processes())
    program.kill()
    until(lambda: not any(process.exists() for process in processes), "all are gone")
