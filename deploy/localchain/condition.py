"""Waiting for a condition: the only place in the tests and the demo that sleeps."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

from localchain.errors import LocalChainError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

#: A deadline against a hang, in s: a slow machine with other work takes a minute for what takes two seconds elsewhere.
HANG_S: Final = 240.0
#: Seconds between two looks. Short against a block (0.5 s), long against the cost of a look.
INTERVAL_S: Final = 0.05


class NotInTimeError(LocalChainError):
    """A condition did not come true before its deadline."""


def until(
    probe: Callable[[], T | None],
    what: str,
    *,
    timeout_s: float = HANG_S,
    interval_s: float = INTERVAL_S,
    explain: Callable[[], str] = str,
) -> T:
    """Return the first truthy answer of `probe`.

    Args:
        probe: looked at every `interval_s`; whatever it raises is raised here.
        what: the condition in words, for the failure.
        timeout_s: s. A deadline against a hang, never a measurement.
        interval_s: s between two looks.
        explain: called on failure; its text is added to the message.

    Raises:
        NotInTimeError: the deadline passed.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise NotInTimeError(f"not within {timeout_s:g} s: {what}\n{explain()}".rstrip())
        time.sleep(interval_s)


async def until_here(probe: Callable[[], Awaitable[T | None]], what: str, *, timeout_s: float = HANG_S) -> T:
    """As `until`, for a probe in this event loop.

    Raises:
        NotInTimeError: the deadline passed.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = await probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise NotInTimeError(f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(INTERVAL_S)
