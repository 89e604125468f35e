"""Sets and clears freeze markers where a disk may hang: in a thread, one after the other, each with a deadline.

A marker stops signatures from the moment in which it has a name, long before it is on a disk that hangs. So three
things are told apart: it is on the disk; it is there and a crash of the host may change that; it is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from signer.supervisor.thread import one

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from signer.signing.freeze import FreezeMarkers

T = TypeVar("T")

#: A disk has this long for a marker, in s: less than `signer freeze` waits for an answer.
_DISK_S: Final = 0.5


class Cleared(NamedTuple):
    """Whether there was a marker, and whether that it is gone is on the disk."""

    found: bool
    durable: bool


class Marking:
    """Writes the markers of one folder."""

    def __init__(self, markers: FreezeMarkers) -> None:
        self._markers = markers
        self._thread = one("marking")
        # It begins now: a freeze must not need a thread that there is none for.
        self._thread.submit(lambda: None)

    async def set(self, scope: str, name: str, by: str, reason: str, late: Callable[[], object]) -> bool:
        """Set a marker; return whether it is on the disk. If it is not, it is there all the same.

        Args:
            scope: as FreezeMarkers.
            name: as FreezeMarkers.
            by: as FreezeMarkers.
            reason: as FreezeMarkers.
            late: called in the event loop if the marker is set after this has raised.

        Raises:
            OSError: there is no marker.
        """
        was_there = self._markers.has(scope, name)
        task = await self._begin(lambda: self._markers.set(scope, name, by, reason))
        there = self._markers.has(scope, name)
        if task.done():
            error = task.exception()
            if error is not None and (was_there or not there):
                raise error
            return error is None
        if task.running() and there:
            return False
        # Its name hangs, or it waits for another one, after which it is done all the same: things stay in order.
        self._tell_late(task, late, lambda: self._markers.has(scope, name))
        raise _timeout("the disk does not answer; the freeze may begin when it does")

    async def clear(self, scope: str, name: str, late: Callable[[], object]) -> Cleared:
        """Remove a marker. `late` is called in the event loop if it is removed after this has raised.

        Raises:
            OSError: it is still there.
        """
        task = await self._begin(lambda: self._markers.clear(scope, name))
        there = self._markers.has(scope, name)
        if task.done():
            error = task.exception()
            if error is None:
                return Cleared(task.result(), durable=True)
            if there:
                raise error
        elif there or not task.running():
            self._tell_late(task, late, lambda: not self._markers.has(scope, name))
            raise _timeout("the disk does not answer; the freeze may end when it does")
        return Cleared(found=True, durable=False)

    async def settle(self) -> None:
        """Wait for what is being written, but not for a disk that hangs: what is told late is told before this ends."""
        await self._begin(lambda: None)
        await asyncio.sleep(0)

    async def _begin(self, act: Callable[[], T]) -> Future[T]:
        task = self._thread.submit(act)
        waiter = asyncio.wrap_future(task)
        # What became of it is looked at by who asked, or by nobody.
        waiter.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({waiter}, timeout=_DISK_S)
        return task

    @staticmethod
    def _tell_late(task: Future[T], late: Callable[[], object], holds: Callable[[], bool]) -> None:
        """Call `late` once the task has ended and what it wanted holds: a disk may do it and say that it failed."""
        loop = asyncio.get_running_loop()

        def tell() -> None:
            with contextlib.suppress(OSError):  # a folder that cannot be looked up
                if holds():
                    late()

        def ended(_: Future[T]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is there to tell
                loop.call_soon_threadsafe(tell)

        task.add_done_callback(ended)


def _timeout(text: str) -> OSError:
    return OSError(errno.ETIMEDOUT, text)
