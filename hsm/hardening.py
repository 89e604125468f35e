"""What every process of the signer gives up at its start: new privileges, core dumps, shared files.

And how memory with a PIN in it is kept out of swap. What Python copied on its way (the text of a PIN, a message
between processes) cannot be overwritten by Python: `lock_memory` keeps it off the disk where that is allowed, and
nothing else does.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket

# linux/include/uapi/linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
# linux/include/uapi/asm-generic/mman.h
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4
# linux/include/uapi/linux/capability.h
_CAP_IPC_LOCK: Final = 14


def die_with_parent() -> None:
    """End at once when the process that started us ends, also inside a module that hangs.

    Raises:
        OSError: the kernel refuses.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def orphaned(sock: socket.socket) -> bool:
    """Whether nobody has the other end of a socket any more.

    To be asked after `die_with_parent`: who ended before that sends no signal, and what it had sent is still read.
    """
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def lock_memory() -> bool:
    """Keep what this process has in memory, and will have, out of swap. Returns whether the system allows it.

    It is allowed where RLIMIT_MEMLOCK has no limit, or does not bind this process (mlock(2)): with a finite one, a
    process that grows past it would be refused memory in the middle of its work. Only pages that are used are kept
    (MCL_ONFAULT).
    """
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (ValueError, OSError):
        if not _has_capability(_CAP_IPC_LOCK):
            return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0)


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def locked_page() -> mmap.mmap:
    """Return a page of zeros that is neither swapped nor dumped, as far as the system allows it.

    A page fits into any RLIMIT_MEMLOCK but 0. Where it is 0, the page is an ordinary one: no core dump has it all the
    same.
    """
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page.madvise(mmap.MADV_DONTDUMP)
    page.madvise(mmap.MADV_DONTFORK)
    first = ctypes.c_char.from_buffer(page)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mlock(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(mmap.PAGESIZE))
    return page


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
