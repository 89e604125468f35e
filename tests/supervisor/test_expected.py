"""When requests are expected, learned from the decisions of the signing process."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from signer.signing.pace import Pace
from signer.supervisor.expected import Expected

#: s since 1970 and of CLOCK_MONOTONIC at the same instant.
_WALL, _MONOTONIC = 1_800_000_000.0, 5_000.0
_BEAT = 0.5


class _Clock:
    def __init__(self) -> None:
        self.passed = 0.0

    def expected(self) -> Expected:
        return Expected(lambda: _MONOTONIC + self.passed, lambda: _WALL + self.passed)


def _decision(at: float, **other: object) -> dict[str, Any]:
    """Return a decision, `at` s after the beginning, on a request that took 1 ms."""
    return {
        "at": _WALL + at + 0.001,
        "micros": 1_000,
        "verdict": "signed",
        "role": "block",
        "node": "primary",
        **other,
    }


def test_a_beat_is_expected_at_the_instants_of_the_first_bytes() -> None:
    """Decisions come some ms later, and together."""
    clock = _Clock()
    expected = clock.expected()
    clock.passed = 1.013
    for number in range(3):
        expected.note(_decision(number * _BEAT))

    found = expected.soon()
    assert found[:2] == pytest.approx([_MONOTONIC + 1.5, _MONOTONIC + 2.0], abs=1e-4)
    assert found[-1] <= _MONOTONIC + clock.passed + 5.0


def test_what_was_learned_goes_to_the_next_image() -> None:
    """Through the estate, which is JSON."""
    clock = _Clock()
    expected, other = clock.expected(), clock.expected()
    clock.passed = 1.013
    for number in range(3):
        expected.note(_decision(number * _BEAT))
    paces = TypeAdapter(dict[str, Pace])
    other.adopt(paces.validate_json(paces.dump_json(expected.remains())))

    assert other.soon() == expected.soon() != []


def test_each_node_has_a_pace_of_its_own() -> None:
    clock = _Clock()
    expected = clock.expected()
    for number in range(3):
        expected.note(_decision(number * _BEAT))
        expected.note(_decision(number * _BEAT + 0.2, node="standby"))
    clock.passed = 1.3

    assert expected.soon()[:3] == pytest.approx(
        [_MONOTONIC + 1.5, _MONOTONIC + 1.7, _MONOTONIC + 2.0], abs=1e-4
    )


@pytest.mark.parametrize("other", [{"verdict": "refused"}, {"role": "account"}])
def test_only_block_signatures_make_a_pace(other: dict[str, Any]) -> None:
    clock = _Clock()
    expected = clock.expected()
    for number in range(5):
        expected.note(_decision(number * _BEAT, **other))

    assert expected.soon() == []


def test_a_hand_over_waits_for_a_request_that_is_near() -> None:
    """From 60 ms before it until 10 ms after it."""
    clock = _Clock()
    expected = clock.expected()
    assert expected.quiet_in() == 0.0
    for number in range(3):
        expected.note(_decision(number * _BEAT))

    waits = {}
    for clock.passed in (1.2, 1.43, 1.45, 1.5, 1.505, 1.52):
        waits[clock.passed] = expected.quiet_in()
    assert waits == pytest.approx(
        {1.2: 0.0, 1.43: 0.0, 1.45: 0.06, 1.5: 0.01, 1.505: 0.005, 1.52: 0.0}, abs=1e-4
    )


def test_a_hand_over_never_waits_for_more_than_a_few_requests() -> None:
    """Nodes at many different instants leave no room, and a reload must go on."""
    clock = _Clock()
    expected = clock.expected()
    for node in range(20):
        for number in range(3):
            expected.note(_decision(number * _BEAT + node / 40, node=f"node-{node}"))
    clock.passed = 1.55

    assert 0.4 < expected.quiet_in() < 0.6
