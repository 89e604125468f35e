"""How much of something may come: so much at once, then so much in a second. Pure: the time is given."""

from __future__ import annotations


class Allowance:
    """What is taken beyond the allowance is remembered as far as one second makes good again, however much it was.

    Args:
        per_s: what may come in a second, and at once.
        now_s: a clock that never goes back.
    """

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s = per_s
        self._left = per_s
        self._at_s = now_s

    def take(self, count: int, now_s: float) -> None:
        """Count what has come since the last time."""
        left = self._left + (now_s - self._at_s) * self._per_s - count
        self._left = min(self._per_s, max(-self._per_s, left))
        self._at_s = now_s

    def is_used_up(self, now_s: float) -> bool:
        """Return whether more has come than may."""
        if self._left < 0:
            self.take(0, now_s)
        return self._left < 0
