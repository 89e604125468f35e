"""An event loop whose time passes only when nothing is left to be done: a wait of an hour takes no time and all of it.

Nothing that runs on it knows the difference: `asyncio.sleep`, `wait_for` and `timeout` measure by the loop. What talks
to the outside (a socket, a thread) has no place on it, since the loop would not wait for it.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Waits by moving the time."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. It begins at 0 s."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """As BaseEventLoop.time, but virtual: s."""
        return self._virtual.now


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, however long it waits."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
