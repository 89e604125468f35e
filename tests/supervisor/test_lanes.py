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
