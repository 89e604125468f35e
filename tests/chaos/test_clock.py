"""The clock of the host steps an hour forth and back: signatures go on, and none is late or early for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rig.site import Load
from rig.stepped_clock import SteppedClock

if TYPE_CHECKING:
    from rig.site import Site

pytestmark = pytest.mark.chaos

_HOUR_S = 3600


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
