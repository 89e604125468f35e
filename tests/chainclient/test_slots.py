"""Whose slot is whose, and which of ours have no block: held against a count that looks at every slot by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.antelope.name import Name
from signer.chain import slots
from signer.chain.values import SAVANNA_SCHEDULE_VERSION, Block

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
HALF = timedelta(milliseconds=500)
#: A round of the first producer of three begins here.
FIRST = 36 * 23_000_000
ORDER = ("alpha", "bravo", "charlie")


def moment(number: int) -> datetime:
    return EPOCH + number * HALF


def block(number: int, version: int = 1, producer: str = "alpha") -> Block:
    return Block(number, "", moment(number), Name(producer), "SIG_K1_x", version, "")


def test_a_slot_is_half_a_second_since_2000() -> None:
    # The block of slot 1 has the time 2000-01-01T00:00:00.500.
    assert slots.slot(EPOCH) == 0
    assert slots.slot(EPOCH + HALF) == 1
    assert slots.slot(datetime(2026, 1, 1, tzinfo=UTC)) == 2 * 86_400 * (26 * 365 + 7)


@given(st.integers(0, 2**34), st.integers(0, 499_999))
def test_a_moment_lies_in_the_slot_that_began_before_it(number: int, later_us: int) -> None:
    assert slots.slot(moment(number) + timedelta(microseconds=later_us)) == number


def test_each_producer_has_twelve_slots_in_a_row_in_the_order_of_the_schedule() -> None:
    owners = [slots.owner(FIRST + each, ORDER) for each in range(48)]
    assert owners == ["alpha"] * 12 + ["bravo"] * 12 + ["charlie"] * 12 + ["alpha"] * 12


def test_a_chain_without_gaps_misses_nothing() -> None:
    # An unknown schedule is no obstacle where no slot is without a block.
    assert slots.missed([block(FIRST + each, 9) for each in range(40)], {}, "bravo") == 0


def test_our_slots_in_a_gap_are_missed_and_those_of_others_are_not() -> None:
    gap = [block(FIRST + 10), block(FIRST + 15)]  # 11 is alpha's; 12, 13 and 14 are bravo's
    orders = {1: ORDER}
    assert slots.missed(gap, orders, "alpha") == 1
    assert slots.missed(gap, orders, "bravo") == 3
    assert slots.missed(gap, orders, "charlie") == 0
    assert slots.missed(gap, orders, "nobody") == 0


def test_a_gap_across_a_schedule_change_is_judged_by_the_block_after_it() -> None:
    # bravo leaves the schedule with version 2: its slots in the gap were nobody's but the others'.
    orders = {1: ORDER, 2: ("alpha", "charlie")}
    before, after = block(FIRST + 11, 1), block(FIRST + 24, 2)
    assert slots.missed([before, after], orders, "bravo") == 0
    assert slots.missed([before, after], orders, "charlie") == 12
    assert slots.missed([before, block(FIRST + 24, 1)], orders, "bravo") == 12


def test_a_gap_of_an_unknown_schedule_makes_the_count_unknown() -> None:
    # Version 2 has charlie where bravo was: no order that is known has that.
    blocks = [block(FIRST), block(FIRST + 12, 2, "charlie"), block(FIRST + 14, 2, "charlie")]
    assert slots.missed(blocks, {1: ORDER}, "bravo") is None
    assert slots.missed(blocks, {}, "bravo") is None
    assert slots.missed(blocks, {1: ORDER, 2: ()}, "bravo") is None
    # A known gap does not make up for it.
    assert slots.missed([block(FIRST - 30), *blocks], {1: ORDER}, "bravo") is None


@pytest.mark.parametrize("version", [1, SAVANNA_SCHEDULE_VERSION])
def test_a_gap_is_judged_by_the_order_that_every_block_of_its_version_has(version: int) -> None:
    # Version 2 is the one in force now. What was before is known by its blocks.
    blocks = [
        block(FIRST, version, "alpha"),
        block(FIRST + 15, version, "bravo"),
        block(FIRST + 24, version, "charlie"),
    ]
    assert slots.missed(blocks, {2: ORDER}, "bravo") == 11


def test_two_orders_that_fit_decide_nothing() -> None:
    blocks = [block(FIRST, 1, "alpha"), block(FIRST + 13, 1, "bravo")]
    assert slots.missed(blocks, {2: ORDER, 3: ("alpha", "bravo", "delta")}, "bravo") is None
    assert slots.missed(blocks, {2: ORDER, 3: ORDER}, "bravo") == 1


def test_one_block_or_none_tells_of_no_gap() -> None:
    assert slots.missed([], {}, "bravo") == 0
    assert slots.missed([block(FIRST)], {}, "bravo") == 0


@dataclass(frozen=True)
class History:
    """Slots with a block and with which schedule version, and the orders of the versions."""

    made: dict[int, int]
    orders: dict[int, tuple[str, ...]]


@st.composite
def histories(draw: st.DrawFn) -> History:
    names = ("alpha", "bravo", "charlie", "delta")
    orders = {
        version: tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True)))
        for version in (1, 2, 3)
    }
    made = sorted(draw(st.sets(st.integers(FIRST, FIRST + 120), min_size=1)))
    versions = sorted(draw(st.lists(st.integers(1, 3), min_size=len(made), max_size=len(made))))
    return History(dict(zip(made, versions, strict=True)), orders)


@given(histories())
def test_the_count_is_that_of_slot_by_slot(history: History) -> None:
    blocks = [block(number, version) for number, version in history.made.items()]
    expected = 0
    for number in range(blocks[0].number, blocks[-1].number):
        if number not in history.made:
            version = next(each.schedule_version for each in blocks if each.number > number)
            order = history.orders[version]
            expected += order[number // 12 % len(order)] == "bravo"
    assert slots.missed(blocks, history.orders, "bravo") == expected


@given(st.integers(FIRST, FIRST + 80), st.integers(-3, 80), st.integers(1, 3))
def test_silent_slots_are_those_of_ours_strictly_between_two_moments(
    since: int, length: int, count: int
) -> None:
    order = ORDER[:count]
    expected = sum(order[each // 12 % count] == "bravo" for each in range(since + 1, since + length))
    assert slots.silent(moment(since), moment(since + length), order, "bravo") == expected
    # A moment within a slot is that slot.
    assert slots.silent(moment(since) + HALF / 2, moment(since + length), order, "bravo") == expected


def test_without_a_schedule_nobody_is_silent() -> None:
    assert slots.silent(moment(0), moment(100), [], "bravo") == 0
