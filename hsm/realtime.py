"""Going before everything else on the machine, where the system allows it.

With the usual scheduler a process that wakes up may wait for the slice of another one, 2 to 3 ms of nodeos' 5, even
with a high nice value (tests/bench has both figures; sched(7), SCHED_FIFO). What takes part in it sleeps almost always:
a lane that works more than its share, because somebody asks without end, is an ordinary process until that has passed,
and the rest of the machine, nodeos too, has its turn.
"""

from __future__ import annotations

import ctypes
import os
import resource
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: A lane goes before every usual process.
LANE: Final = 1
#: Who reads requests and answers goes before lanes too: a signature that is found ends their work.
SIGNING: Final = 2
#: A lane that computes for so long without a pause has lost its way; the kernel ends it then (setrlimit(2),
#: RLIMIT_RTTIME), in us. A signature takes some hundred.
_LOST_US: Final = 2_000_000
#: A process that works more than its share of such a time, in ns, is an ordinary one until it works less again. A
#: producer's signatures and what keeps their way warm take some hundredths (tests/bench, idle).
_WINDOW_NS: Final = 250_000_000
#: Lanes are many and could take every processor. Who reads requests pauses as long as it works where it is attacked
#: (signer.signing.gate), and as a usual process it would wait up to 4 ms behind the attacker (deploy/figures.md). What
#: works more than that is no attack that is paced, and the kernel's own network threads, usual processes, need a turn.
_MOST: Final = {LANE: 0.1, SIGNING: 0.6}
#: Below this share it comes back. What is paced takes up to 37 %, on one listener: it must not keep the signing process
#: from coming back after a burst of something else.
_BACK: Final = {LANE: 0.05, SIGNING: 0.45}


# linux/include/uapi/linux/prctl.h and capability.h
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_LOWER: Final = 3
_CAPABILITY_VERSION_3: Final = 0x20080522
_CAP_SYS_NICE: Final = 23


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


class Turn:
    """The calling thread under SCHED_FIFO, as long as it works no more than its share; its later threads are not.

    Args:
        priority: LANE or SIGNING.
        clock: ns of a clock that never goes back.
        used: ns of processor time of this process.

    Attributes:
        refused: why it cannot be, or nothing.
        on: whether it is now.
    """

    def __init__(
        self,
        priority: int,
        clock: Callable[[], int] = time.monotonic_ns,
        used: Callable[[], int] = time.process_time_ns,
    ) -> None:
        self._parameters = os.sched_param(priority)
        self._most = _MOST[priority]
        self._back = _BACK[priority]
        self._clock = clock
        self._used = used
        self._since = clock()
        self._used_then = used()
        self.on = False
        self.refused = self._enter()

    def _enter(self) -> str:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, self._parameters)
        except OSError as error:
            return f"{error.strerror}; let the service have RLIMIT_RTPRIO {SIGNING} (LimitRTPRIO={SIGNING} in its unit)"
        self.on = True
        return ""

    def look(self) -> None:
        """Leave or come back, by how much was worked since the last look. To be called often, after the work."""
        now = self._clock()
        passed = now - self._since
        if passed < _WINDOW_NS or self.refused:
            return
        used = self._used()
        share = (used - self._used_then) / passed
        self._since, self._used_then = now, used
        if self.on and share > self._most:
            self.leave()
        elif not self.on and share < self._back:
            self._enter()

    def leave(self) -> None:
        """Be an ordinary process. What is about to end has to: the kernel takes some ms to free what it had."""
        if self.on:
            make_ordinary(0)
            self.on = False


def make_ordinary(pid: int) -> None:
    """Let a process be an ordinary one; 0 is the calling thread.

    Raises:
        OSError: there is no such process.
    """
    os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def give_up() -> None:
    """Do without CAP_SYS_NICE from now on, where this process has it.

    deploy/quickstart gives it to the signer where root itself may not raise RLIMIT_RTPRIO, as in many containers. Who
    is no real-time process, and starts none, does without.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)()
    _check(libc.capget(ctypes.byref(header), sets))
    bit = 1 << _CAP_SYS_NICE
    if not (sets[0].permitted | sets[0].inheritable) & bit:
        return
    _check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER, _CAP_SYS_NICE, 0, 0))
    sets[0].effective &= ~bit
    sets[0].permitted &= ~bit
    sets[0].inheritable &= ~bit
    _check(libc.capset(ctypes.byref(header), sets))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def bound() -> None:
    """Let the kernel end this process if it computes for 2 s without a pause. Only real-time threads are counted."""
    resource.setrlimit(resource.RLIMIT_RTTIME, (_LOST_US, _LOST_US))
