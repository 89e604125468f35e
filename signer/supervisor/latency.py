"""How long the signatures of one node and curve took, as nodeos sees it: from a request's first byte to its answer.

A request whose signature did not come in time is among them, and counts above the last bucket: nobody knows how long
it would have taken. Left out, a slow token would look like a fast one. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Any, Final

#: Upper bounds in ms. nodeos waits 5 ms (producer_plugin.cpp, keosd-provider-timeout); 4.6 is that less the margin
#: that the configuration has by default. The rest is for tokens that are given more.
BUCKETS_MS: Final = (0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.6, 5, 7.5, 10, 25, 100)
_BUCKETS_MICROS: Final = [round(bound * 1000) for bound in BUCKETS_MS]
#: Percentiles are of so many newest requests: about three hours of a producer of 21.
RECENT: Final = 1000


class Latency:
    """Counts since this signer started, and the newest requests one by one."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_MS) + 1)
        self._sum = 0
        self._worst = 0
        self._above = 0
        self._recent: deque[int] = deque(maxlen=RECENT)

    def add(self, micros: int, timeout_micros: int, *, late: bool) -> None:
        """Take a request that took `micros`. `late`: nothing was sent, and the node waited its whole timeout."""
        if late:
            micros = max(micros, timeout_micros)
        self._counts[len(BUCKETS_MS) if late else bisect_left(_BUCKETS_MICROS, micros)] += 1
        self._sum += micros
        self._worst = max(self._worst, micros)
        self._above += late or micros > timeout_micros
        self._recent.append(micros)

    def state(self) -> dict[str, Any]:
        """Return all of it, times in ms.

        `counts` has one number for each bucket and one for what is above the last; `above_timeout` are those that
        were of no use to the node. `p50_ms` and `p99_ms` are of the newest RECENT requests, all else since the start.
        """
        newest = sorted(self._recent)
        return {
            "buckets_ms": list(BUCKETS_MS),
            "counts": list(self._counts),
            "count": sum(self._counts),
            "sum_ms": self._sum / 1000,
            "p50_ms": _percentile(newest, 50),
            "p99_ms": _percentile(newest, 99),
            "worst_ms": self._worst / 1000,
            "above_timeout": self._above,
        }


def _percentile(ordered: list[int], percent: int) -> float:
    """Return the smallest of `ordered` (in microseconds, not empty) that so many per cent do not exceed, in ms."""
    return ordered[-(-len(ordered) * percent // 100) - 1] / 1000
