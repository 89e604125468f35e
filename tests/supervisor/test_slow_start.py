"""A signing process that takes long is left to it: on a starved machine, another would be no faster."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from rig.condition import until
from rig.family import content
from rig.site import Load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rig.site import Site

#: Longer than a process that has begun may be silent (signer.supervisor.run, _PING_S and _HUNG_S), in s.
_SILENCE_S = 2.5
#: Longer than that, with room.
_LONG_S = 6.0
#: In signer/signing/process.py.
_ANSWER = """        elif kind == "ping":
            self._answer(message, {})
"""
_FIRST_ANSWER = """        elif kind == "ping":
            if not hasattr(self, "_begun"):
                self._begun = True
                self._answer(message, {})
"""


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


def test_a_signing_process_whose_answers_wait_behind_its_decisions_is_not_taken_for_hung(site: Site) -> None:
    """Here they wait for ever. Under a load of 11 such an answer took 1.2 s, and 3 s once."""
    code = site.copy_code() / "signer/signing/process.py"
    text = code.read_text()
    assert text.count(_ANSWER) == 1
    code.write_text(text.replace(_ANSWER, _FIRST_ANSWER))
    site.start()
    with Load(site, ("r1-1", "primary", "tcp"), pause_s=0.2) as load:
        since = time.monotonic()
        until(lambda: time.monotonic() - since > _LONG_S, "decisions and no answer", timeout_s=2 * _LONG_S)
    assert (load.failed, site.events("signing process does not answer; killed")) == ([], [])
