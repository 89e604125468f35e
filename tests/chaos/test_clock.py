"""The clock of the host steps an hour forth and back: signatures go on, and none is late or early for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from rig.site import Load
from rig.stepped_clock import SteppedClock

if TYPE_CHECKING:
    from rig.site import Site

pytestmark = pytest.mark.chaos

_HOUR_S = 3600
_ENFORCED = ["[guards]", 'lease = "enforce"']


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
