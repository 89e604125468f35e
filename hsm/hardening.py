"""What every process of the signer gives up at its start: new privileges, core dumps, shared files."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from typing import Final

# linux/include/uapi/linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38


def die_with_parent() -> None:
    """End at once when the process that started us ends, also inside a module that hangs.

    Raises:
        OSError: the kernel refuses.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def harden() -> None:
    """No core dump, no reading of our memory by other processes of our user, no new privileges, umask 077.

    And as many descriptors as the system allows.

    Raises:
        OSError: the kernel refuses. Nothing is served then.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Every listener has room for its connections; the usual soft limit of 1024 is below that of four listeners.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
