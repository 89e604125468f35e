"""The latency of signatures as a picture: a bar for each bucket, and nodeos' timeout as a line. Pure geometry.

The x axis is logarithmic, because what matters lies between a fraction of a millisecond and the timeout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Of the picture, in its own units.
WIDTH: Final = 560
HEIGHT: Final = 125
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 18, 24
#: Where the axis begins, in ms: half of the lowest bucket.
_FROM_MS: Final = 0.125
#: What the bar above the last bucket gets, as a factor on the axis.
_BEYOND: Final = 2.0
_TICKS_MS: Final = (0.25, 0.5, 1, 2, 5, 10, 25, 100)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bucket: place and size in the picture; whether all of it is beyond the timeout; and its words."""

    x: float
    y: float
    width: float
    height: float
    late: bool
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """The picture of one node and curve.

    Attributes:
        title: what it shows, in words.
        bars: the buckets that hold anything.
        ticks: places on the axis and their labels.
        timeout_x: the place of the timeout.
        timeout_ms: the timeout.
        count: requests.
        late: requests that took longer than the timeout.
        p50_ms: of the newest requests; None: there are none.
        p99_ms: the same.
        worst_ms: of all.
    """

    title: str
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    timeout_x: float
    timeout_ms: float
    count: int
    late: int
    p50_ms: float | None
    p99_ms: float | None
    worst_ms: float | None


def plots(latency: Mapping[str, Any], timeouts_ms: Mapping[str, float]) -> list[Plot]:
    """Return a picture for each node and curve that signed.

    Args:
        latency: `latency` of the status (signer.supervisor.latency).
        timeouts_ms: nodeos' timeout of each node.
    """
    return [
        _plot(f"{node}, {curve}", histogram, timeouts_ms[node])
        for node, curves in latency.items()
        if node in timeouts_ms
        for curve, histogram in curves.items()
        if histogram["count"]
    ]


def _plot(title: str, histogram: Mapping[str, Any], timeout_ms: float) -> Plot:
    bounds, counts = histogram["buckets_ms"], histogram["counts"]
    last_ms = max(float(bounds[-1]), timeout_ms) * _BEYOND
    most = max(counts)
    bars = []
    edges = [_FROM_MS, *map(float, bounds), last_ms]
    for (low, high), count in zip(pairwise(edges), counts, strict=True):
        if not count:
            continue
        left, right = _x(low, last_ms), _x(high, last_ms)
        # The smallest bar can still be seen: one late request among a million matters.
        height = max(2.0, (HEIGHT - _TOP - _BOTTOM) * count / most)
        # What was not sent in time is counted above the last bucket: nobody knows how long it would have taken.
        span = f"above {bounds[-1]:g} ms or not sent" if high == last_ms else f"up to {high:g} ms"
        bars.append(
            Bar(
                x=round(left + 0.5, 1),
                y=round(HEIGHT - _BOTTOM - height, 1),
                width=round(right - left - 1, 1),
                height=round(height, 1),
                late=low >= timeout_ms,
                text=f"{span}: {count}",
            )
        )
    ticks = tuple(
        (round(_x(each, last_ms), 1), f"{each:g}") for each in _TICKS_MS if _FROM_MS < each < last_ms
    )
    return Plot(
        title,
        tuple(bars),
        ticks,
        round(_x(timeout_ms, last_ms), 1),
        timeout_ms,
        histogram["count"],
        histogram["above_timeout"],
        histogram.get("p50_ms"),
        histogram.get("p99_ms"),
        histogram.get("worst_ms"),
    )


def _x(ms: float, last_ms: float) -> float:
    """Return the place of a time on the axis."""
    share = math.log(max(ms, _FROM_MS) / _FROM_MS) / math.log(last_ms / _FROM_MS)
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * min(1.0, share)
