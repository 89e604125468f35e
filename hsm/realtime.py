"""Going before everything else on the machine, where the system allows it.

With the usual scheduler a process that wakes up may wait for the slice of another one, 2 to 3 ms of nodeos' 5, even
with a high nice value (tests/bench has both figures; sched(7), SCHED_FIFO). What takes part in it sleeps almost always.
"""

from __future__ import annotations

import os
import resource
from typing import Final

#: A lane goes before every usual process.
LANE: Final = 1
#: Who reads requests and answers goes before lanes too: a signature that is found ends their work.
SIGNING: Final = 2
#: A lane that computes for so long without a pause has lost its way; the kernel ends it then (setrlimit(2),
#: RLIMIT_RTTIME), in us. A signature takes some hundred.
_LOST_US: Final = 2_000_000


def enter(priority: int) -> str:
    """Put the calling thread under SCHED_FIFO; threads that it starts later are not. Return why it cannot, or nothing.

    Args:
        priority: LANE or SIGNING.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        return f"{error.strerror}; let the service have RLIMIT_RTPRIO {SIGNING} (LimitRTPRIO={SIGNING} in its unit)"
    return ""


def bound() -> None:
    """Let the kernel end this process if it computes for 2 s without a pause. Only real-time threads are counted."""
    resource.setrlimit(resource.RLIMIT_RTTIME, (_LOST_US, _LOST_US))
