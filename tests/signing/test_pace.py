"""The laws of the pace: what repeats is expected, what does not is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.signing.pace import Pace

_BEAT = 0.4625
_ROUND = 126.0
_TURN = 6.0


def _found(pace: Pace, begin: float, end: float) -> list[float]:
    """Return what is expected, without the points at which rounds of anybody begin."""
    return [at for at in pace.between(begin, end) if at % _TURN != pytest.approx(100.0 % _TURN)]


def _round(pace: Pace, began: float) -> float:
    """Ask 12 times, as a producer does; return the time of the last request."""
    for block in range(12):
        pace.observe(began + block * _BEAT)
    return began + 11 * _BEAT


def test_nothing_is_expected_before_anything_was_asked() -> None:
    assert Pace().due(0.0) is None


def test_one_request_makes_no_beat() -> None:
    pace = Pace()
    pace.observe(10.0)

    assert pace.due(10.0) is None


def test_two_requests_make_a_beat() -> None:
    pace = Pace()
    pace.observe(10.0)
    pace.observe(10.0 + _BEAT)

    assert pace.due(10.5) == pytest.approx(10.0 + 2 * _BEAT)


def test_a_beat_that_passed_without_a_request_is_not_expected_again() -> None:
    pace = Pace()
    last = _round(pace, 100.0)

    assert pace.due(last + 1.1 * _BEAT) is None


def test_the_next_round_is_expected_one_round_after_the_last() -> None:
    pace = Pace()
    _round(pace, 1000.0)
    last = _round(pace, 1000.0 + _ROUND)

    assert pace.due(last + 1.0) == pytest.approx(1000.0 + 2 * _ROUND)


def test_one_odd_interval_does_not_change_the_beat() -> None:
    """Leap asks again within the slot when a signature failed."""
    pace = Pace()
    last = _round(pace, 100.0)
    pace.observe(last + 0.02)

    assert pace.due(last + 0.03) == pytest.approx(last + 0.02 + _BEAT)


def test_a_new_beat_is_believed_when_it_repeats() -> None:
    pace = Pace()
    last = _round(pace, 100.0)
    for _ in range(3):
        last += 0.5
        pace.observe(last)

    assert pace.due(last) == pytest.approx(last + 0.5)


@given(st.lists(st.floats(min_value=0.0, max_value=400.0), max_size=60))
def test_what_is_due_is_never_in_the_past_nor_further_than_a_round(gaps: list[float]) -> None:
    pace, now = Pace(), 0.0
    for gap in gaps:
        now += gap
        pace.observe(now)
        due = pace.due(now)
        assert due is None or now <= due <= now + 750.0


def test_a_beat_goes_on_until_the_end_that_is_asked_about() -> None:
    pace = Pace()
    last = _round(pace, 100.0)

    expected = [last + number * _BEAT for number in (1, 2, 3)]
    assert _found(pace, last + 0.1, last + 3.5 * _BEAT) == pytest.approx(expected)


def test_after_a_request_that_did_not_come_the_next_beat_is_expected() -> None:
    """Who looks ahead does not know yet what came a moment ago, and the round may go on."""
    pace = Pace()
    last = _round(pace, 100.0)

    found = _found(pace, last + 1.1 * _BEAT, last + 2.5 * _BEAT)
    assert found == pytest.approx([last + 2 * _BEAT])


def test_in_the_silence_between_rounds_the_next_round_is_expected() -> None:
    pace = Pace()
    _round(pace, 1000.0)
    last = _round(pace, 1000.0 + _ROUND)
    begins = 1000.0 + 2 * _ROUND

    assert _found(pace, last + 5.0, last + 10.0) == []
    found = sorted(set(pace.between(begins - 1.0, begins + 1.5 * _BEAT)))
    assert found == pytest.approx([begins, begins + _BEAT])


def test_a_sole_producers_next_round_is_expected_after_its_pause() -> None:
    """12 blocks of 6 s are made in 5.4 s. The pause is no beat, and the first request after it is due."""
    pace = Pace()
    for number in range(2):
        for block in range(12):
            pace.observe(100.0 + number * _TURN + block * 0.45)
    last, begins = 106.0 + 11 * 0.45, 112.0

    assert begins in list(pace.between(last + 0.5, last + 1.2))
    assert list(pace.between(begins - 0.05, begins + 0.05)) == pytest.approx([begins])


def test_nothing_is_expected_of_who_never_asked_or_asks_without_a_pause() -> None:
    pace = Pace()
    assert list(pace.between(0.0, 100.0)) == []
    for number in range(100):
        pace.observe(number * 0.002)

    assert list(pace.between(0.2, 5.0)) == []
