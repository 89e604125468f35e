"""How many signatures were given in any stretch of time. Pure.

Signatures that were given, never requests and never failures: a token that fails for seconds under the retries of a
nodeos must not use up what the first good signature needs.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Rate:
    """The newest signatures of one producer.

    Args:
        limit: the most in any `window_ns`, at least 1.
        window_ns: in ns.
    """

    __slots__ = ("_given", "_window_ns", "limit")

    def __init__(self, limit: int, window_ns: int) -> None:
        self.limit = limit
        self._window_ns = window_ns
        self._given: deque[int] = deque(maxlen=limit)

    def exceeded(self, now_ns: int) -> bool:
        """Return whether one more signature would be too many. Times are of CLOCK_MONOTONIC, in ns."""
        given = self._given
        return len(given) == self.limit and now_ns - given[0] < self._window_ns

    def give(self, now_ns: int) -> None:
        """Count a signature."""
        self._given.append(now_ns)

    def before(self, given: Iterable[int]) -> None:
        """Count signatures of an earlier process; those that were counted already are the same ones."""
        every = {*given, *self._given}
        self._given.clear()
        self._given.extend(sorted(every))
