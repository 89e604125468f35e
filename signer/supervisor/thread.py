"""A thread of the supervisor for what may block. Signals are the main thread's business.

Where that one holds them back (signer.supervisor.upgrade), none must be delivered to another and be lost with it.
"""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor


def one(name: str) -> ThreadPoolExecutor:
    """Return an executor with one thread."""
    return ThreadPoolExecutor(1, name, initializer=_deaf)


def _deaf() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
