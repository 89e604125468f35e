"""What every process of the signer gives up at its start: new privileges, core dumps, shared files."""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

# linux/include/uapi/linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38


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
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"prctl({option}): {os.strerror(number)}")
