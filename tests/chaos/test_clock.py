"""The clock of the host steps an hour forth and back: signatures go on, and none is late or early for it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import uvloop
from rig.signer_here import signer_here
from rig.site import Load
from rig.stepped_clock import SteppedClock

from signer.chain.sighting import Sighting

if TYPE_CHECKING:
    from rig.site import Site

pytestmark = pytest.mark.chaos

_HOUR_S = 3600
#: s. Longer than a slot, in which another rule refuses a second node.
_SLOT_S = 0.5
_ENFORCED = ["[guards]", 'lease = "enforce"']
_SEEN = Sighting("local", "bp", 1e9, 9, 1e9, 1, False, 21, (), None, None, None, (), 0, None, None)


def test_a_clock_that_steps_costs_no_signature(site: Site) -> None:
    """The way of a signature knows the monotonic clock only, which no step changes (clock_gettime(2))."""
    clock = SteppedClock(site.folder)
    site.environment = clock.environment
    site.start()
    with Load(site, ("r1-1", "primary", "tcp"), ("k1-1", "primary", "unix")) as load:
        signed_at = []
        for step_s in (_HOUR_S, -_HOUR_S, 0):
            clock.step(step_s)
            load.wait_for_more(40)
            signed_at.append(site.key_status("r1-1")["last_signature_at"])
    assert load.failed == []
    assert signed_at[0] - signed_at[1] > _HOUR_S  # the signer did see the step
    status = site.status()
    assert (status["ready"], status["restarts"], status["alarms"]) == (True, 0, [])
    log = site.state / "audit" / "audit.jsonl"
    assert site.command("audit", "verify", str(log)).returncode == 0


def test_a_clock_that_steps_moves_no_lease(whole: Site) -> None:
    """The holder signs on, and the other node is refused throughout, also by processes that begin meanwhile."""
    clock = SteppedClock(whole.folder)
    whole.environment = clock.environment
    whole.tables = _ENFORCED
    whole.start()
    whole.wait(lambda status: status["control"]["state"] == "ready", "a control process serves")
    whole.sign("r1-1")
    signed_at = []
    with (
        Load(whole, ("r1-1", "primary", "tcp"), ("k1-1", "primary", "unix")) as holder,
        Load(whole, ("r1-1", "standby", "tcp"), ("k1-1", "standby", "unix")) as other,
    ):
        for step_s in (_HOUR_S, -_HOUR_S, 0):
            clock.step(step_s)
            holder.wait_for_more(40)
            other.wait_for_more(40)
            signed_at.append(whole.status()["guards"]["local"]["signed_at"])
            # The next one is told of the lease by a supervisor whose clock has stepped.
            assert whole.command("reload").returncode == 0
            holder.wait_for_more(40)
            other.wait_for_more(40)
    assert holder.failed == []
    assert signed_at[0] - signed_at[1] > _HOUR_S  # the signer did see the step
    assert other.signed == 0
    assert [answer for answer in other.failed if "signer_lease_exception" not in answer] == []
    status = whole.status()
    guard = status["guards"]["local"]
    assert (guard["holder"], guard["claim"]) == ("primary", "first")
    assert (status["ready"], status["restarts"], status["control"]["restarts"]) == (True, 0, 0)
    assert [alarm["name"] for alarm in status["alarms"]] == ["lease"]
    log = whole.state / "audit" / "audit.jsonl"
    assert whole.command("audit", "verify", str(log)).returncode == 0
    acts = [json.loads(line) for line in log.read_text().splitlines() if '"lease"' in line]
    assert [act["detail"] for act in acts if act.get("act") == "lease"] == [
        "node primary holds the lease of chain local (first)"
    ]


def test_a_step_before_the_supervisor_hears_of_a_signature_moves_no_lease(whole: Site) -> None:
    """What is on the way to it has a time of before the step, and a process that begins is told when that was."""
    clock = SteppedClock(whole.folder)
    whole.environment = clock.environment
    whole.tables = _ENFORCED
    whole.start()
    whole.sign("r1-1")
    supervisor = whole.status()["pid"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        whole.sign("r1-1")
        clock.step(_HOUR_S)
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert whole.command("reload").returncode == 0
    name, message = whole.refusal("r1-1", node="standby")
    assert name == "signer_lease_exception"
    assert "node primary holds the lease" in message


@pytest.mark.parametrize("step_s", [0, _HOUR_S, -_HOUR_S])
def test_missed_slots_take_no_lease_from_a_holder_that_signs(
    whole: Site, monkeypatch: pytest.MonkeyPatch, step_s: int
) -> None:
    """Its blocks are lost on their way. Slots have the chain's time, its signatures that of this host."""
    clock = SteppedClock(whole.folder)
    for name, value in clock.environment.items():
        monkeypatch.setenv(name, value)  # of the signing process
    whole.tables = _ENFORCED

    async def scenario() -> None:
        async with signer_here(whole) as here:
            keys = (whole.key("r1-1"), whole.key("r1-1", "standby"))
            clock.step(step_s)
            await asyncio.to_thread(whole.sign, "r1-1")
            now = time.time()
            missed = replace(_SEEN, active=keys, row=keys, missed_in_row=3, missed_since=now - 1.5)
            missed = replace(missed, at=now + step_s, head_at=now)
            await here.control.supervisor.sighted(missed)
            await asyncio.to_thread(whole.sign, "r1-1")
            await asyncio.sleep(_SLOT_S)  # the time itself is what another rule looks at
            refused, _ = await asyncio.to_thread(whole.refusal, "r1-1", node="standby")
            assert refused == "signer_lease_exception"

    uvloop.run(scenario())
