"""How a process of ours begins: in pieces, so that it does not work in the instants in which nodeos asks.

Loading Python modules takes some tenths of a second of a processor. nodeos is an ordinary process, like one that
begins, and may wait 4 ms of its 5 until the kernel takes the other one away (HZ=250). Only we can step aside: who
starts a process says when requests are expected, and around each of these instants the process sleeps.

Run as `python -m hsm.beginning MODULE ARGUMENT...`: MODULE is run as `python -m MODULE` would. A program that is not
run so calls `begin` before it loads most of its modules. Each calls `done` when it is about to serve, or to call a
PKCS#11 module: a signal in there could break off what the module waits for, and nobody should sleep with a lock of a
token store in hand.
"""

from __future__ import annotations

import atexit
import gc
import os
import runpy
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: When requests are expected, in s of CLOCK_MONOTONIC, earliest first, with spaces between them.
VARIABLE: Final = "SIGNER_REQUESTS_EXPECTED"
#: A process sleeps from so long before such an instant until so long after it, in s: nodeos works for some ms before
#: it asks, and asks within a few ms of the same point of each slot.
_LEAD_S: Final = 0.008
_SLACK_S: Final = 0.010
#: SoftHSM took 8 ms to log in and to look at four keys; with room for more, in s.
OPENING_S: Final = 0.050
#: A timer that is set to nothing is off.
_AT_ONCE_S: Final = 1e-6


def environment(expected: Iterable[float]) -> dict[str, str]:
    """Return what to add to the environment of a process that begins.

    Args:
        expected: when requests are expected, in s of CLOCK_MONOTONIC, earliest first.
    """
    said = " ".join(f"{at:.6f}" for at in expected)
    return {VARIABLE: said} if said else {}


def begin() -> None:
    """Sleep around each instant at which a request is expected, and collect no garbage, until `done`.

    Modules leave no garbage, but looking for it took an eighth of the time in which they are loaded.
    """
    gc.disable()
    if expected := _expected():
        hold_still(expected)


def hold_still(expected: list[float]) -> None:
    """Sleep around each of these instants, in s of CLOCK_MONOTONIC, until `done`."""
    waiting = sorted(expected)

    def set_timer() -> None:
        now = time.monotonic()
        while waiting and waiting[0] + _SLACK_S <= now:
            waiting.pop(0)
        if waiting:
            signal.setitimer(signal.ITIMER_REAL, max(_AT_ONCE_S, waiting[0] - _LEAD_S - now))

    def rest(_number: int, _frame: object) -> None:
        while waiting and waiting[0] - _LEAD_S <= time.monotonic():
            time.sleep(max(0.0, waiting.pop(0) + _SLACK_S - time.monotonic()))
        set_timer()

    signal.signal(signal.SIGALRM, rest)
    # One that ends without `done`: Python takes its handlers away at its end, and the next alarm would kill it.
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
    set_timer()


def done(room_s: float = 0.0) -> None:
    """Hold still no more, and collect garbage again: from now on nodeos may be waiting for this process.

    Args:
        room_s: if a request is expected within this time, or was a moment ago, sleep until it has passed.
    """
    gc.enable()
    signal.setitimer(signal.ITIMER_REAL, 0)
    for at in _expected():
        if -_SLACK_S < at - time.monotonic() < room_s:
            time.sleep(max(0.0, at + _SLACK_S - time.monotonic()))
    os.environ.pop(VARIABLE, None)


def _expected() -> list[float]:
    return [float(at) for at in os.environ.get(VARIABLE, "").split()]


def main() -> None:
    """Run the module that the arguments name."""
    begin()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
