"""`signer upgrade`: the code that is on disk now takes the place of the code that runs, in the same process.

What it guarantees:
- The new code is started once beside the running signer before anything is handed over, and must understand the
  configuration and what it would be given. If it does not, nothing has happened.
- The signing process, its lanes and the listening sockets are never without an owner: they are children and
  descriptors of a process that goes on. What the signing process reports meanwhile waits in the kernel.
- The lock of the state folder is never let go; the audit log is closed before the next image opens it.

What it leaves to others: a new signing process comes from an ordinary reload in the next image (signer.supervisor.run).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hsm import beginning
from signer import logs
from signer.errors import AdminError
from signer.supervisor.estate import VARIABLE

if TYPE_CHECKING:
    from signer.supervisor.estate import Estate
    from signer.supervisor.expected import Expected

#: What a next image starts besides itself: each must at least be there.
_MODULES: Final = (
    "signer.signing.process",
    "signer.control.process",
    "hsm.lane",
    "hsm.keymaker",
    "hsm.beginning",
)
#: The start of a Python program takes tenths of a second, and many on a busy machine.
_REHEARSAL_S: Final = 60.0
#: A rehearsal makes way for nodeos (nice(2)): beside others that never rest it still gets a tenth of a processor. With
#: 19 it gets a hundredth, and is not done in time.
_NICE: Final = 10
#: Children that were killed are gone after this long, in s.
_REAP_S: Final = 2.0
_POLL_S: Final = 0.01
#: Held back while one image has gone and the next has no handlers yet: they would end the process.
SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_MAX_REASON: Final = 500


async def rehearse(estate: Estate, expected: Expected) -> None:
    """Start the code that is on disk and let it say whether it could take `estate`.

    Args:
        estate: of this moment.
        expected: when it is not to begin or work.

    Raises:
        AdminError: it could not. The message has what it said.
    """
    await expected.quiet()
    descriptor = estate.model_copy(update={"rehearsal": True}).write()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *sys.orig_argv[1:],
            pass_fds=(descriptor,),
            env=os.environ | {VARIABLE: str(descriptor)} | beginning.environment(expected.soon()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise AdminError(f"the new code does not start: {error.strerror}; the old one serves on") from None
    finally:
        os.close(descriptor)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
    try:
        async with asyncio.timeout(_REHEARSAL_S):
            _, said = await process.communicate()
    except TimeoutError:
        raise AdminError(
            f"the new code did not come up within {_REHEARSAL_S:g} s; the old one serves on"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = said.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
        raise AdminError(f"the new code does not start: {lines[-1][:_MAX_REASON]}; the old one serves on")


def play() -> None:
    """Be the rehearsal: load what an image needs later.

    Raises:
        ImportError: a part is not there.
    """
    for module in _MODULES:
        importlib.import_module(module)


async def reaped(kept: set[int]) -> None:
    """Wait until no child is left but `kept`: the next image knows of no other, and could not reap it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _REAP_S
    while _children() - kept and loop.time() < end:  # noqa: ASYNC110 - the loop reaps some that nobody waits for
        await asyncio.sleep(_POLL_S)


def _children() -> set[int]:
    """Return the processes that the main thread has started and nobody has reaped (proc(5)); none if /proc is away."""
    try:
        return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))
    except OSError:
        return set()


def hold_signals() -> None:
    """From here on what is sent to us is delivered to the next image, when it has its handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def take_signals() -> None:
    """End `hold_signals`, in this image or the next."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def replace(estate: Estate, expected: list[float]) -> None:
    """Become the code that is on disk. Returns never, or raises and has changed nothing. After `hold_signals`.

    Args:
        estate: what the next image needs.
        expected: when that is not to work, as in hsm.beginning.

    Raises:
        OSError: the program cannot be executed.
    """
    descriptor = estate.write()
    kept = [descriptor, *estate.descriptors]
    logs.drain()
    try:
        for each in kept:
            os.set_inheritable(each, True)
        environment = os.environ | {VARIABLE: str(descriptor)} | beginning.environment(expected)
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 - no shell is wanted
    except OSError:
        for each in kept:
            os.set_inheritable(each, False)
        os.close(descriptor)
        raise
