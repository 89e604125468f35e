"""What is claimed from samples."""

from __future__ import annotations

import math

import pytest

from bench.client import Samples
from bench.summary import percentile, summarise, upper_bound


def test_nothing_seen_in_n_is_bounded_by_the_nth_root() -> None:
    """With no event the bound has a closed form: (1 - p)^n = 0.05."""
    for trials in (1, 59, 3000):
        assert upper_bound(0, trials) == pytest.approx(1 - 0.05 ** (1 / trials), rel=1e-9)


def test_the_bound_is_where_the_binomial_tail_is_five_per_cent() -> None:
    bound = upper_bound(3, 3360)

    tail = math.fsum(
        math.comb(3360, count) * bound**count * (1 - bound) ** (3360 - count) for count in range(4)
    )
    assert tail == pytest.approx(0.05, rel=1e-6)


def test_when_everything_was_lost_nothing_is_excluded() -> None:
    assert upper_bound(7, 7) == 1.0


def test_percentiles_are_samples() -> None:
    times = [number * 1_000_000 for number in range(1, 101)]
    assert [percentile(times, part) for part in (0.5, 0.9, 0.99, 1.0)] == [50.0, 90.0, 99.0, 100.0]
    assert percentile([2_000_000], 0.5) == 2.0


def test_a_slow_refusal_is_lost_once() -> None:
    summary = summarise(Samples(ns=[1_000_000, 6_000_000, 2_000_000, 7_000_000], failed=[1, 2]))

    assert (summary.above_limit, summary.errors, summary.lost) == (2, 2, 3)


def test_the_firsts_of_rounds_stand_on_their_own() -> None:
    samples = Samples(ns=[9_000_000, 1_000_000, 3_000_000, 1_000_000], failed=[1], firsts=[0, 2])

    summary = summarise(samples, firsts_only=True)

    assert (summary.n, summary.worst, summary.lost) == (2, 9.0, 1)
