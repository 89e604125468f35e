"""Latency: nothing that a node waited for in vain makes the figures look better."""

from __future__ import annotations

import pytest

from signer.supervisor.latency import BUCKETS_MS, RECENT, Latency

_TIMEOUT = 5_000


@pytest.mark.parametrize(
    ("micros", "bucket"), [(1, 0.25), (250, 0.25), (251, 0.5), (4600, 4.6), (5000, 5), (99_999, 100)]
)
def test_a_signature_counts_in_the_bucket_whose_bound_it_does_not_exceed(micros: int, bucket: float) -> None:
    latency = Latency()
    latency.add(micros, _TIMEOUT, late=False)
    assert latency.state()["counts"][BUCKETS_MS.index(bucket)] == 1
    assert latency.state()["worst_ms"] == latency.state()["sum_ms"] == micros / 1000


def test_what_came_too_late_is_above_every_bucket_and_lasted_the_whole_timeout() -> None:
    latency = Latency()
    latency.add(4_601, _TIMEOUT, late=True)
    state = latency.state()
    assert (state["counts"][-1], state["count"], state["above_timeout"]) == (1, 1, 1)
    assert state["p50_ms"] == state["p99_ms"] == state["worst_ms"] == 5.0


def test_a_signature_that_left_after_the_timeout_is_counted_as_of_no_use() -> None:
    latency = Latency()
    for micros in (4_999, 5_000, 5_001):
        latency.add(micros, _TIMEOUT, late=False)
    assert latency.state()["above_timeout"] == 1


def test_percentiles_are_of_the_newest_and_exact() -> None:
    latency = Latency()
    for _ in range(RECENT):
        latency.add(90_000, _TIMEOUT, late=False)
    for micros in range(1, RECENT + 1):
        latency.add(micros, _TIMEOUT, late=False)
    state = latency.state()
    assert (state["p50_ms"], state["p99_ms"]) == (RECENT // 2 / 1000, RECENT * 99 // 100 / 1000)
    assert (state["count"], state["worst_ms"]) == (2 * RECENT, 90.0)
