"""The watcher held against a chain in memory whose every slot is known, and which shares no code with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.antelope.keys import Curve, PublicKey
from signer.antelope.name import Name
from signer.chain.sighting import Sighting
from signer.chain.values import (
    SAVANNA_SCHEDULE_VERSION,
    Block,
    Consensus,
    Head,
    Info,
    Schedule,
    ScheduledProducer,
    Schedules,
)
from signer.chain.watcher import MAX_BLOCKS, MAX_SILENCE, Origin, SlotState, Watcher
from signer.errors import FormatError

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
#: A round of the first of three producers begins here.
FIRST = 36 * 23_000_000
ORDER = ("alpha", "ours", "zulu")
KEY = PublicKey(
    Curve.R1, bytes.fromhex("02" + "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
)
OURS = Name("ours")


def moment(slot: int) -> datetime:
    return EPOCH + timedelta(seconds=slot / 2)


def schedule(order: tuple[str, ...] = ORDER, version: int = 1) -> Schedule:
    return Schedule(version, tuple(ScheduledProducer(Name(each), (KEY,), ()) for each in order))


@dataclass
class World:
    """A chain: `slots` of its blocks, by number from 1 on. Every fork has ids of its own."""

    slots: list[int] = field(default_factory=list)
    order: tuple[str, ...] = ORDER
    version: int = 1
    forks: dict[int, int] = field(default_factory=dict)

    def id(self, number: int) -> str:
        """Of the fork that the block is in."""
        fork = max((mark for start, mark in self.forks.items() if start <= number), default=0)
        return f"{number:08x}{fork:056x}"

    def owner(self, slot: int) -> str:
        """Whose slot it is."""
        return self.order[slot // 12 % len(self.order)]

    def block(self, number: int) -> Block:
        """As an API node shows it."""
        slot = self.slots[number - 1]
        name = self.id(number)
        return Block(
            number,
            name,
            moment(slot),
            Name(self.owner(slot)),
            f"SIG_{name}",
            self.version,
            self.id(number - 1),
        )

    @property
    def head(self) -> Head:
        """The newest block."""
        number = len(self.slots)
        return Head(number, self.id(number), moment(self.slots[-1]))

    def info(self, lag: int = 5) -> Info:
        """get_info: the last `lag` blocks are reversible."""
        last = max(1, len(self.slots) - lag)
        final = Head(last, self.id(last), moment(self.slots[last - 1]))
        savanna = self.version == SAVANNA_SCHEDULE_VERSION
        consensus = Consensus.SAVANNA if savanna else Consensus.LEGACY
        return Info("api", "aa" * 32, self.head, final, consensus, "v5", moment(0), 0.0, 0.0)


def follow(watcher: Watcher, world: World, now_s: float = 0.0, *, judge: bool = True) -> None:
    """Do what the follower does, without its waiting."""
    watcher.learn_info(world.info(), now_s)
    watcher.learn_schedules(Schedules(schedule(world.order), None, None))
    for _ in range(2 * MAX_BLOCKS):
        numbers = watcher.wanted(world.head)
        if not numbers:
            break
        watcher.take([world.block(number) for number in numbers])
    else:
        raise AssertionError("it never has all blocks")
    for block in watcher.unjudged() if judge else ():
        watcher.judge(block.producer_signature, Origin(KEY, "primary"))
    watcher.count()


@settings(deadline=None, max_examples=60)
@given(
    st.sets(st.integers(0, 300)),
    st.sampled_from([1, SAVANNA_SCHEDULE_VERSION]),
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=3),
)
def test_every_slot_is_what_it_was(missing: set[int], version: int, forks: list[tuple[int, int]]) -> None:
    """Whatever slots are missed and whatever forks there were: what is seen in the end is the chain as it is."""
    world = World([FIRST + each for each in range(300) if each not in missing or each == 0], version=version)
    watcher = Watcher("local", OURS)
    for mark, (depth, grow) in enumerate(forks, 1):
        follow(watcher, world)
        keep = max(1, len(world.slots) - depth)
        last = world.slots[-1]
        world.forks[keep + 1] = mark
        del world.slots[keep:]
        world.slots += range(last + 1, last + 1 + grow)
    follow(watcher, world)

    made = set(world.slots)
    every = range(world.slots[1], world.slots[-1] + 1)
    expected = {
        slot: SlotState.SIGNED if slot in made else SlotState.MISSED
        for slot in every
        if world.owner(slot) == "ours"  # the genesis block is nobody's
    }
    found = watcher.slots(13)
    assert {each.number: each.state for each in found} == expected
    assert [each.number for each in found] == sorted(expected, reverse=True)
    final = world.slots[max(1, len(world.slots) - 5) - 1]
    assert all(each.irreversible == (each.number <= final) for each in found if each.block is not None)


def test_whose_signature_it_is() -> None:
    """A block of ours is unknown until somebody says whose signature it has; then signed, or another's."""
    world = World(list(range(FIRST, FIRST + 30)))
    watcher = Watcher("local", OURS)
    follow(watcher, world, judge=False)
    first, second, *_ = watcher.unjudged()
    watcher.judge(first.producer_signature, Origin(KEY, "primary"))
    watcher.judge(second.producer_signature, None)

    states = [each.state for each in reversed(watcher.slots(1))]
    assert states[:3] == [SlotState.SIGNED, SlotState.OTHER, SlotState.UNKNOWN]
    assert watcher.slots(1)[-1].origin == Origin(KEY, "primary")
    assert watcher.authority(first) == (str(KEY),)


def test_missed_in_a_row_end_with_a_block() -> None:
    """The newest slots of ours without a block, seen as soon as somebody else has made the next one."""
    world = World([*range(FIRST, FIRST + 18), FIRST + 24])
    watcher = Watcher("local", OURS)
    assert watcher.sighting(7.0) is None
    follow(watcher, world)

    seen = watcher.sighting(7.0)
    assert seen is not None
    assert (seen.missed_in_row, seen.producers, seen.active) == (6, 3, (str(KEY),))
    assert seen.last_block_at == moment(FIRST + 17).timestamp()
    assert Sighting.from_fields(seen.to_fields()) == seen

    world.slots += range(FIRST + 25, FIRST + 50)
    follow(watcher, world)
    seen = watcher.sighting(8.0)
    assert seen is not None
    assert seen.missed_in_row == 0


def test_a_chain_that_waits_for_us_alone_has_missed_slots_by_the_clock() -> None:
    """Nobody else will ever make the block that shows them."""
    world = World(list(range(FIRST, FIRST + 5)), order=("ours",))
    watcher = Watcher("local", OURS)
    follow(watcher, world, 100.0)
    follow(watcher, world, 110.0)

    seen = watcher.sighting(0.0)
    assert seen is not None
    assert seen.missed_in_row == 17  # 20 slots, less what a block needs to get here
    assert watcher.totals.missed == 0


def test_totals_count_each_slot_once_when_it_is_irreversible() -> None:
    """And none from before the watcher began."""
    world = World(list(range(FIRST, FIRST + 15)))
    watcher = Watcher("local", OURS)
    follow(watcher, world)
    assert watcher.totals.signed == 0
    world.slots += [*range(FIRST + 15, FIRST + 20), *range(FIRST + 24, FIRST + 40)]
    for _ in range(2):
        follow(watcher, world)

    # Three blocks of ours were there at the beginning: the first slots of the round.
    assert (watcher.totals.signed, watcher.totals.missed, watcher.totals.other) == (5, 4, 0)


def test_a_block_of_a_fork_that_lost_is_counted_when_that_is_final() -> None:
    """Signed by us and on the chain no more; one that comes back is not lost."""
    world = World(list(range(FIRST, FIRST + 18)))
    watcher = Watcher("local", OURS)
    follow(watcher, world)
    world.forks[16] = 1
    del world.slots[15:]
    world.slots += range(FIRST + 20, FIRST + 22)
    follow(watcher, world)
    assert watcher.totals.lost == 0
    world.slots += range(FIRST + 22, FIRST + 40)
    for _ in range(2):
        follow(watcher, world)
    assert watcher.totals.lost == 3


def test_too_far_behind_it_goes_on_near_the_head() -> None:
    """A day without an API node is not read back block by block, and memory stays bounded."""
    world = World(list(range(FIRST, FIRST + 100)))
    watcher = Watcher("local", OURS)
    follow(watcher, world)
    world.slots += range(FIRST + 100, FIRST + 20_000)
    assert watcher.wanted(world.head).start > 19_000
    follow(watcher, world)
    assert len(watcher.slots(1000)) <= 13 * 12


def test_blocks_that_no_node_has_any_more_are_left_out() -> None:
    """A node that began from a snapshot: the watch begins nearer to the head, in few steps."""
    world = World(list(range(FIRST, FIRST + 300)))
    watcher = Watcher("local", OURS)
    watcher.learn_info(world.info(), 0.0)
    watcher.learn_schedules(Schedules(schedule(), None, None))
    steps = 0
    while watcher.wanted(world.head).start < 280:
        watcher.skip(world.head)
        steps += 1
    assert steps < 10
    follow(watcher, world)
    assert watcher.wanted(world.head) == range(301, 301)


def test_a_schedule_of_a_node_that_is_behind_is_not_believed() -> None:
    """It would turn the order back."""
    world = World(list(range(FIRST, FIRST + 30)))
    watcher = Watcher("local", OURS)
    watcher.learn_schedules(Schedules(schedule(version=4), None, None))
    watcher.learn_schedules(Schedules(schedule(("ours",), version=3), None, None))
    watcher.learn_info(world.info(), 0.0)
    seen = watcher.sighting(0.0)
    assert seen is not None
    assert seen.producers == 3


def test_a_schedule_that_stays_older_is_believed_in_the_end() -> None:
    """The newer one was of a node that was wrong, and nothing would be right any more until a restart."""
    world = World(list(range(FIRST, FIRST + 30)))
    watcher = Watcher("local", OURS)
    watcher.learn_info(world.info(), 0.0)
    watcher.learn_schedules(Schedules(schedule(("zulu",), version=2**32 - 1), None, None))
    for now_s in range(0, 61, 5):
        follow(watcher, world, float(now_s))
    seen = watcher.sighting(0.0)
    assert seen is not None
    assert seen.producers == 3
    assert watcher.authority(world.block(25)) == (str(KEY),)


@pytest.mark.parametrize("blocks", [True, False])
def test_a_head_that_never_was_does_not_end_the_watch(blocks: bool) -> None:  # noqa: FBT001 - a parameter
    """An API node names one far beyond the chain, with blocks or without."""
    world = World(list(range(FIRST, FIRST + 300)))
    watcher = Watcher("local", OURS)
    follow(watcher, world)
    number = 4_000_000_000
    lie = Head(number, f"{number:08x}{1:056x}", moment(FIRST + 301))
    start = watcher.wanted(lie).start
    if blocks:
        watcher.take([replace(world.block(2), number=start, id=f"{start:08x}{0:056x}")])
    else:
        watcher.skip(lie)
    world.slots += range(FIRST + 300, FIRST + 320)
    follow(watcher, world)
    assert watcher.wanted(world.head) == range(321, 321)
    assert {each.state for each in watcher.slots(13)} == {SlotState.SIGNED}


def test_times_that_are_invented_cost_no_more_than_others() -> None:
    """Slots of eight thousand years between two blocks would take for ever to look at."""
    world = World([*range(FIRST, FIRST + 30), (9999 - 2000) * 365 * 24 * 7200])
    watcher = Watcher("local", OURS)
    follow(watcher, world)
    assert len(watcher.slots(1000)) <= MAX_SILENCE + 30


def test_a_chain_that_stands_still_for_days_costs_no_more_each_day() -> None:
    world = World(list(range(FIRST, FIRST + 5)), order=("ours",))
    watcher = Watcher("local", OURS)
    follow(watcher, world, 0.0)
    follow(watcher, world, 1e9)
    seen = watcher.sighting(0.0)
    assert seen is not None
    assert seen.missed_in_row == MAX_SILENCE
    assert seen.missed_since == moment(FIRST + 5).timestamp()


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"at": "now"},
        {"savanna": 1},
        {"producers": True},
        {"active": None},
        {"row": [1]},
        {"pending": ["x" * 256]},
        {"missed_in_row": None},
    ],
)
def test_a_sighting_of_another_form_is_refused(change: dict[str, object]) -> None:
    """It comes from a process that talks to the network."""
    fields = Sighting(
        "local", "ours", 1.0, 1, 1.0, 1, False, 3, (), None, None, None, (), 0, None, None
    ).to_fields()
    assert Sighting.from_fields(fields).chain == "local"
    with pytest.raises(FormatError, match="sighting"):
        Sighting.from_fields(fields | change)
