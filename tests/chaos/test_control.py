"""A control process that hangs: it is replaced, and block signatures notice nothing."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from rig.site import Load

if TYPE_CHECKING:
    from rig.site import Site

pytestmark = pytest.mark.chaos


def test_a_control_process_that_hangs_is_killed_and_replaced(whole: Site) -> None:
    """After some 15 s: a write that waits for a locked database is no hang."""
    whole.start()
    pid = whole.wait(lambda status: status["control"]["state"] == "ready", "it is ready")["control"]["pid"]
    with Load(whole, ("r1-1", "primary", "tcp")) as load:
        os.kill(pid, signal.SIGSTOP)
        status = whole.wait(
            lambda status: status["control"]["state"] == "ready" and status["control"]["pid"] != pid,
            "another one serves",
        )
    assert load.failed == []
    assert "control-hung" in [alarm["name"] for alarm in status["alarms"]]
