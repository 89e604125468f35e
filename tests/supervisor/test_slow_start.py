"""A signing process that takes long to begin is left to it: on a starved machine, another would begin no sooner."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from rig.condition import until
from rig.family import content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rig.site import Site

#: Longer than a process that has begun may be silent (signer.supervisor.run, _PING_S and _HUNG_S), in s.
_SILENCE_S = 2.5


def _signing(site: Site) -> Iterator[int]:
    for folder in site.processes():
        if b"signer.signing.process" in content(folder, "cmdline"):
            yield int(folder.name)


def test_a_signing_process_that_begins_slowly_is_not_killed(site: Site) -> None:
    site.start()
    first = site.status()["signing_pid"]

    os.kill(first, signal.SIGKILL)
    # Not asked of the supervisor: its status waits for the process to answer.
    second = until(lambda: next((pid for pid in _signing(site) if pid != first), None), "another")
    os.kill(second, signal.SIGSTOP)
    since = time.monotonic()
    # The silence is the condition itself: nothing can announce its end.
    until(lambda: time.monotonic() - since > _SILENCE_S, "silence", timeout_s=2 * _SILENCE_S)
    status = site.status()
    os.kill(second, signal.SIGCONT)
    assert (status["state"], status["obstacles"]) == ("starting", ["the signing process is being started"])
    assert "the signing process is being started" in status["problems"]

    third = site.wait(lambda status: status["ready"], "it serves")
    assert (third["signing_pid"], third["restarts"]) == (second, 1)
    site.sign("r1-1")
