"""The follower against API nodes and a supervisor that answer, fall silent and come back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from rig.fake_rotations import KEY_A

from signer.antelope.name import Name
from signer.chain import slots
from signer.chain.client import UNKNOWN_BLOCK
from signer.chain.values import (
    Block,
    Consensus,
    Head,
    Info,
    Schedule,
    ScheduledProducer,
    Schedules,
)
from signer.control import follower as module
from signer.control.follower import Follower
from signer.control.supervisor import Issued
from signer.errors import AdminError, ChainRefusedError, ChainUnreachableError

if TYPE_CHECKING:
    from signer.chain.sighting import Sighting

OURS = Name("bp1")
FIRST_SLOT = 36 * 23_000_000


def moment(number: int) -> datetime:
    """Return when block `number` is."""
    return slots.moment(FIRST_SLOT + number)


def _refusal(code: int) -> ChainRefusedError:
    return ChainRefusedError(code, "name", "what nodeos says", api="api", status=500, final=True, words="")


class Chain:
    """API nodes of a chain whose every slot is ours and has a block, up to `head`; before `first` they have none."""

    def __init__(self) -> None:
        self.head = 1000
        self.first = 1
        self.answers = True
        self.asked = 0

    def _ask(self) -> None:
        self.asked += 1
        if not self.answers:
            raise ChainUnreachableError("nobody answers")

    def _head(self, number: int) -> Head:
        return Head(number, f"{number:064x}", moment(number))

    async def info(self) -> Info:
        """Tell the head; the last ten blocks are reversible."""
        self._ask()
        head, last = self._head(self.head), self._head(self.head - 10)
        return Info("api", "aa" * 32, head, last, Consensus.LEGACY, "v5", moment(0), 0.0, 0.0)

    async def schedules(self) -> Schedules:
        """Tell the schedule."""
        return Schedules(Schedule(1, (ScheduledProducer(OURS, (KEY_A,), ()),)), None, None)

    async def producer(self, _: Name) -> None:
        """There is no system contract."""
        raise _refusal(3060003)

    async def block(self, number: int) -> Block:
        """Show a block."""
        self._ask()
        if number < self.first:
            raise _refusal(UNKNOWN_BLOCK)
        return Block(
            number, f"{number:064x}", moment(number), OURS, f"SIG_R1_{number}", 1, f"{number - 1:064x}"
        )


class World:
    """A supervisor that knows the signatures of even blocks, and who asks it."""

    def __init__(self) -> None:
        self.chain = Chain()
        self.now = 100.0
        self.answers = True
        self.forgets: int | None = None
        self.signs = True
        self.seen: list[Sighting] = []
        self.suspects: list[int] = []
        self.alarms: list[tuple[str, str, str, bool]] = []
        self.follower = Follower(
            "eos",
            OURS,
            self.chain,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            clock=lambda: self.now + 1e9,
            monotonic=lambda: self.now,
        )

    async def issued(self, signature: str) -> Issued | None:
        """Tell how it was given."""
        if not self.answers:
            raise AdminError("the supervisor does not answer")
        number = int(signature.rpartition("_")[2])
        if number == self.forgets:
            raise AdminError("the supervisor does not answer")
        return Issued(signature, KEY_A, "a", datetime.now(UTC)) if number % 2 == 0 else None

    async def sighted(self, sighting: Sighting) -> bool:
        """Keep it."""
        self.seen.append(sighting)
        return self.signs

    async def alarm(self, name: str, subject: str, text: str, *, on: bool) -> None:
        """Keep it, if this supervisor answers."""
        if not self.answers:
            raise AdminError("the supervisor does not answer")
        self.alarms.append((name, subject, text, on))

    async def look(self, suspects: list[tuple[Block, Any]]) -> None:
        """Keep the numbers."""
        self.suspects += [block.number for block, _ in suspects]

    def turns(self, count: int = 1, *, every_s: float = 0.5) -> None:
        """Let it look some times."""
        for _ in range(count):
            asyncio.run(self.follower.turn())
            self.now += every_s

    def states(self, count: int) -> list[str]:
        """Return the states of the newest slots that have blocks, the newest first."""
        shown = [each for each in self.follower.slots(1000) if each.block is not None]
        return [each.state.value for each in shown[:count]]


def test_it_catches_up_judges_and_tells() -> None:
    """A signature that nobody knows is in question for three seconds, and then another's."""
    world = World()
    world.turns(3)
    assert world.states(4) == ["signed", "unknown", "signed", "unknown"]
    assert world.suspects == []
    world.turns(6)
    assert world.states(4) == ["signed", "other", "signed", "other"]
    assert world.suspects[-1] == 999
    assert len(world.suspects) == len(set(world.suspects))
    assert (world.seen[-1].head_number, world.seen[-1].producers, world.seen[-1].row) == (1000, 1, None)
    asked = world.chain.asked
    world.turns(2)
    assert world.chain.asked == asked + 2, "what is known is not asked for again"


def test_a_supervisor_that_falls_silent_among_blocks_hides_none() -> None:
    """Blocks that are asked for before it does are looked at all the same, once it answers."""
    world = World()
    world.turns(6)
    world.forgets = 951
    for _ in range(4):
        with pytest.raises(AdminError):
            world.turns()
        world.now += 0.5
    world.forgets = None
    world.turns(8)
    others = [
        each.block.number for each in world.follower.slots(1000) if each.block and each.state.value == "other"
    ]
    assert sorted(world.suspects) == sorted(others)
    assert len(others) > 10


def test_a_chain_that_does_not_answer_is_told_and_what_was_seen_stays_as_old_as_it_is() -> None:
    """`at` is when it was seen, not when somebody asks."""
    world = World()
    world.turns(2)
    before = world.follower.sighting()
    assert before is not None
    world.chain.answers = False
    with pytest.raises(ChainUnreachableError):
        world.turns()
    world.now += 100
    stale = world.follower.sighting()
    assert stale is not None
    assert stale.at == before.at
    world.chain.answers = True
    world.chain.head += 30
    world.turns()
    fresh = world.follower.sighting()
    assert fresh is not None
    assert (fresh.head_number, fresh.at > before.at) == (1030, True)


def test_a_supervisor_that_does_not_answer_leaves_blocks_in_question() -> None:
    """Nobody is accused for want of an answer."""
    world = World()
    world.answers = False
    for _ in range(10):
        with pytest.raises(AdminError):
            world.turns()
        world.now += 1
    assert set(world.states(10)) == {"unknown"}
    world.answers = True
    world.turns(8)
    assert world.states(2) == ["signed", "other"]


def test_a_control_unit_accuses_nobody() -> None:
    """Its supervisor knows of no block signature at all."""
    world = World()
    world.signs = False
    world.turns(10)
    assert set(world.states(10)) == {"unknown"}
    assert world.suspects == []


def test_blocks_that_the_api_nodes_have_no_more_are_left_out() -> None:
    """A node that began from a snapshot; but one that lacks a new block is asked again."""
    world = World()
    world.chain.first = 900
    world.turns(2)
    assert world.states(1) == ["signed"]
    assert 50 <= len(world.states(1000)) <= 101
    world.chain.head += 5
    world.chain.first = world.chain.head
    with pytest.raises(ChainRefusedError):
        world.turns()
    world.chain.first = 900
    world.turns(1)
    assert world.states(1) == ["unknown"]


def test_it_goes_on_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a fault of its own, and says so while it lasts."""
    monkeypatch.setattr(module, "_EVERY_S", 0.0)
    world = World()
    left = 3

    async def fault() -> Info:
        nonlocal left
        left -= 1
        if left == 1:
            raise ChainUnreachableError("nobody answers")
        if left:
            raise ZeroDivisionError
        monkeypatch.undo()
        raise ChainUnreachableError("still nobody")

    monkeypatch.setattr(world.chain, "info", fault)

    async def scenario() -> list[str]:
        running = asyncio.create_task(world.follower.run())
        troubles = []
        async with asyncio.timeout(20):
            while not world.seen:
                if world.follower.trouble not in troubles:
                    troubles.append(world.follower.trouble)
                await asyncio.sleep(0)
            while world.follower.trouble:  # noqa: ASYNC110 - what it waits for tells nobody
                await asyncio.sleep(0.01)
        running.cancel()
        return troubles

    troubles = asyncio.run(scenario())
    assert "a fault of the signer; its log has the place" in troubles
    assert "nobody answers" in troubles


def test_a_chain_that_is_silent_for_a_minute_is_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, until it speaks again; a supervisor that does not listen is told later."""
    monkeypatch.setattr(module, "_EVERY_S", 0.0)
    world = World()
    heard = world.chain.info
    silent_until, lost_until = world.now + 90, world.now + 75

    async def info() -> Info:
        world.now += 1
        world.answers = world.now > lost_until
        if world.now < silent_until:
            raise ChainUnreachableError("nobody answers")
        if world.now > silent_until + 10:
            raise AdminError("the supervisor does not answer")  # no fault of the chain's
        return await heard()

    monkeypatch.setattr(world.chain, "info", info)

    async def scenario() -> None:
        running = asyncio.create_task(world.follower.run())
        async with asyncio.timeout(20):
            while world.now < silent_until + 90:  # noqa: ASYNC110 - what it waits for tells nobody
                await asyncio.sleep(0)
        running.cancel()

    asyncio.run(scenario())
    text = "nothing is seen of chain eos: "
    assert world.alarms == [
        ("chain-silent", "eos", f"{text}nobody answers", True),
        ("chain-silent", "eos", text, False),
    ]


def test_it_ends_although_the_supervisor_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was cancelled while it asked for blocks. The process that it is in could not end otherwise."""
    world = World()

    async def hang(_: int) -> Block:
        world.answers = False
        await asyncio.Event().wait()
        raise AssertionError

    async def sighted(_: Sighting) -> bool:
        raise AdminError("the supervisor does not answer")

    monkeypatch.setattr(world.chain, "block", hang)
    monkeypatch.setattr(world, "sighted", sighted)

    async def scenario() -> None:
        running = asyncio.create_task(world.follower.run())
        async with asyncio.timeout(20):
            while world.answers:  # noqa: ASYNC110 - what it waits for tells nobody
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait({running})
        assert running.cancelled()

    asyncio.run(scenario())
