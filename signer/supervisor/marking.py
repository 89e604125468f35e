"""Sets and clears freeze markers where a disk may hang: in a thread, one after the other, each with a deadline.

A marker stops signatures from the moment in which it has a name, long before it is on a disk that hangs. So three
things are told apart: it is on the disk; it is there and a crash of the host may change that; it is not there.
"""

from __future__ import annotations

import asyncio
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
        self._thread.submit(
            lambda: None
        )  # it begins now: a freeze must not need a thread that there is none for

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
        task = await self._begin(lambda: self._markers.set(scope, name, by, reason))
        there = self._markers.has(scope, name)
        if task.done():
            error = task.exception()
            if error is not None and not there:
                raise error
            return error is None
        if task.cancel():
            raise _timeout("the disk does not answer")
        if not there:
            _tell_late(task, late)
            raise _timeout("the disk does not answer; the freeze may begin when it does")
        return False

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
        elif task.cancel():
            raise _timeout("the disk does not answer")
        elif there:
            _tell_late(task, late)
            raise _timeout("the disk does not answer; the freeze may end when it does")
        return Cleared(found=True, durable=False)

    async def _begin(self, act: Callable[[], T]) -> Future[T]:
        task = self._thread.submit(act)
        waiter = asyncio.wrap_future(task)
        waiter.add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )  # looked at by who asked, or nobody
        await asyncio.wait({waiter}, timeout=_DISK_S)
        return task


def _tell_late(task: Future[T], late: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()

    def ended(done: Future[T]) -> None:
        if done.exception() is None and done.result() is not False:  # False: there was none to remove
            loop.call_soon_threadsafe(late)

    task.add_done_callback(ended)


def _timeout(text: str) -> OSError:
    return OSError(errno.ETIMEDOUT, text)
