"""The processes that this one has started: none is left when the demo ends, wherever a Ctrl-C came."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Final

from localchain.condition import NotInTimeError, until

#: s. nodeos writes its state when it is told to end.
_PATIENCE_S: Final = 20.0


def end_all() -> None:
    """End every child that still runs, also one that nobody holds: a Ctrl-C may come between start and assignment.

    Each leads a session of its own, so the signal reaches what it has started, too.
    """
    children = _running()
    for child in children:
        _signal(child, signal.SIGINT)
    try:
        until(lambda: not _running(), "they have ended", timeout_s=_PATIENCE_S)
    except NotInTimeError:
        for child in _running():
            _signal(child, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


def _signal(child: int, number: signal.Signals) -> None:
    for send in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            send(child, number)


def _running() -> list[int]:
    """Return the children that run, after a farewell to those that have ended."""
    found = []
    for tasks in Path("/proc/self/task").iterdir():
        for child in map(int, (tasks / "children").read_text(encoding="ascii").split()):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(child, os.WNOHANG) == (0, 0):
                    found.append(child)
    return found
