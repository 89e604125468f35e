"""What a process of ours does when its supervisor is gone and something in it hangs."""

from __future__ import annotations

import signal
import subprocess
import sys

from rig.condition import HANG_S

#: A thread that writes to a dead file system ends as little as this one, and Python waits for it.
_HANGS = """
import threading
from signer.inheritance import end_within
end_within(1)
threading.Thread(target=threading.Event().wait).start()
"""


def test_a_process_with_a_thread_that_hangs_ends() -> None:
    done = subprocess.run([sys.executable, "-c", _HANGS], timeout=HANG_S, check=False)
    assert done.returncode == -signal.SIGALRM
