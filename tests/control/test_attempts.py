"""The laws of the limit on failures: some at once, then one each few seconds, for each caller."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signer.control.attempts import BURST, MAX_CALLERS, REFILL_S, Attempts


def test_five_at_once_then_one_each_five_seconds() -> None:
    """The answer is the time to wait."""
    attempts = Attempts()
    assert [attempts.fail("a", 0.0) for _ in range(BURST + 1)] == [0] * BURST + [5]
    assert attempts.fail("a", 3.0) == 2
    assert attempts.fail("a", 5.0) == 0
    assert attempts.fail("a", 5.0) == 5
    assert [attempts.fail("a", 1000.0) for _ in range(BURST + 1)] == [0] * BURST + [5]


def test_callers_do_not_share() -> None:
    """But the addresses of one IPv6 network do: one person has them all."""
    attempts = Attempts()
    for number in range(BURST):
        assert attempts.fail(f"2001:db8::{number}", 0.0) == 0
    assert attempts.fail("2001:db8::ffff", 0.0) > 0
    assert attempts.fail("2001:db8:0:1::", 0.0) == 0
    assert attempts.fail("192.0.2.1", 0.0) == 0
    assert attempts.fail("192.0.2.2", 0.0) == 0
    assert attempts.fail("unix", 0.0) == 0


def test_the_addresses_of_this_machine_are_one_caller() -> None:
    """Any program here can call from all sixteen million."""
    attempts = Attempts()
    assert [attempts.fail(f"127.0.{number}.1", 0.0) for number in range(BURST)] == [0] * BURST
    assert attempts.fail("127.77.1.2", 0.0) > 0


def test_memory_is_bounded() -> None:
    """The caller longest silent is forgotten."""
    attempts = Attempts()
    for number in range(MAX_CALLERS + 100):
        attempts.fail(f"caller {number}", 0.0)
    assert len(attempts._buckets) == MAX_CALLERS  # noqa: SLF001 - the bound itself


@given(st.lists(st.floats(-10, 20), min_size=1, max_size=60))
def test_whatever_the_clock_does_no_more_than_the_rate(steps: list[float]) -> None:
    """Also if it went back: the allowed failures are within burst and refill."""
    attempts = Attempts()
    now = forward = 0.0
    allowed = 0
    for step in steps:
        now += step
        forward += max(0.0, step)
        allowed += attempts.fail("a", now) == 0
    assert allowed <= BURST + forward / REFILL_S + 1e-6
