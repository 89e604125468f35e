"""The laws of an allowance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signer.signing.allowance import Allowance


def test_what_is_within_it_may_come_at_once() -> None:
    allowance = Allowance(100, 5.0)
    allowance.take(100, 5.0)
    assert not allowance.is_used_up(5.0)
    allowance.take(1, 5.0)
    assert allowance.is_used_up(5.0)


@given(st.lists(st.floats(0.0, 10.0), max_size=50))
def test_what_comes_at_its_pace_never_uses_it_up(pauses: list[float]) -> None:
    allowance, now_s = Allowance(100, 0.0), 0.0
    for pause_s in pauses:
        now_s += pause_s
        allowance.take(int(pause_s * 100), now_s)
        assert not allowance.is_used_up(now_s)


@given(st.integers(101, 10**9), st.integers(1, 5))
def test_a_crowd_is_over_a_second_later_however_large_it_was(count: int, times: int) -> None:
    allowance = Allowance(100, 0.0)
    for _ in range(times):
        allowance.take(count, 0.0)
    assert allowance.is_used_up(0.0)
    assert not allowance.is_used_up(1.001)


def test_a_crowd_that_stays_keeps_it_used_up() -> None:
    allowance = Allowance(100, 0.0)
    allowance.take(1000, 0.0)
    for tenth in range(1, 100):
        allowance.take(20, tenth / 10)
        assert allowance.is_used_up(tenth / 10)
