"""What samples say: percentiles, and how rare the slow and failed ones can be claimed to be. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.client import Samples

#: ns. nodeos' default keosd-provider-timeout (signature_provider_plugin.cpp:33-37).
LIMIT_NS: Final = 5_000_000
_NS_PER_MS: Final = 1e6
_CONFIDENCE: Final = 0.95
#: Halvings of the interval (0, 1): past the precision of a float.
_HALVINGS: Final = 60


@dataclass(frozen=True)
class Summary:
    """One series. Times in ms; percentiles are nearest rank, of all requests, failed ones included.

    Attributes:
        n: requests.
        limit_ms: nodeos' timeout.
        above_limit: slower than that.
        errors: answered with anything but a signature.
        lost: slower or without a signature: what nodeos would have lost.
        lost_upper: the part of requests that is lost at most, with 95 % confidence (Clopper-Pearson, one-sided).
        fresh: requests that had to connect.
        delayed: requests that began late, because an answer before them took so long.
        reasons: some of the errors, in words.
    """

    n: int
    p50: float
    p90: float
    p99: float
    worst: float
    limit_ms: float
    above_limit: int
    errors: int
    lost: int
    lost_upper: float
    fresh: int
    delayed: int
    reasons: tuple[str, ...]


def summarise(samples: Samples, *, limit_ns: int = LIMIT_NS, firsts_only: bool = False) -> Summary:
    """Return what the samples say, of the first requests of rounds alone if asked.

    Raises:
        ValueError: there are none.
    """
    chosen = samples.firsts if firsts_only else range(len(samples.ns))
    if not chosen:
        raise ValueError("no samples")
    failed = set(samples.failed)
    times = sorted(samples.ns[index] for index in chosen)
    slow = sum(time > limit_ns for time in times)
    errors = sum(index in failed for index in chosen)
    lost = sum(index in failed or samples.ns[index] > limit_ns for index in chosen)
    return Summary(
        n=len(times),
        p50=percentile(times, 0.5),
        p90=percentile(times, 0.9),
        p99=percentile(times, 0.99),
        worst=times[-1] / _NS_PER_MS,
        limit_ms=limit_ns / _NS_PER_MS,
        above_limit=slow,
        errors=errors,
        lost=lost,
        lost_upper=upper_bound(lost, len(times)),
        fresh=samples.fresh,
        delayed=samples.delayed,
        reasons=tuple(samples.reasons),
    )


def percentile(times: Sequence[int], part: float) -> float:
    """Return the nearest-rank percentile in ms of ascending times in ns; `part` above 0, at most 1."""
    return times[math.ceil(part * len(times)) - 1] / _NS_PER_MS


def upper_bound(events: int, trials: int) -> float:
    """Return the one-sided 95 % upper bound of a probability after `events` in `trials` (Clopper and Pearson, 1934).

    It is the probability at which so few events or fewer have a chance of 5 %, found by bisection.
    """
    if events >= trials:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _at_most(events, trials, middle) > 1 - _CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _at_most(events: int, trials: int, probability: float) -> float:
    """Return the chance of `events` or fewer in `trials` (binomial); 0 < probability < 1."""
    log_p, log_q = math.log(probability), math.log1p(-probability)
    return math.fsum(
        math.exp(
            math.lgamma(trials + 1)
            - math.lgamma(count + 1)
            - math.lgamma(trials - count + 1)
            + count * log_p
            + (trials - count) * log_q
        )
        for count in range(events + 1)
    )
