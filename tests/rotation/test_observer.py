"""What is seen of the chain: forks, gaps, whose signature it is, and when API nodes agree."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest
from rig import two_nodes
from rotation import signer_world, virtual_time
from rotation.http_api import FINALIZERS
from rotation.ledger import FIRST, PROPOSE_EVERY, START, US, Row, moment
from rotation.memory_desk import MemoryDesk
from rotation.signer_world import NEW, OLD, promote

from signer.chain.client import ChainClient
from signer.errors import AdminError, ChainError
from signer.rotation import observer
from signer.rotation.observer import Observer
from signer.rotation.rotation import Purpose, Rotation, SignedTransaction, State, VerifiedBlock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from rotation.ledger import Block
    from rotation.signer_world import World

    from signer.chain import values as chain
    from signer.chain.values import Schedules
    from signer.rotation.machine import Facts

TRANSACTION: Final = SignedTransaction(
    Purpose.REGISTER, b"", "", two_nodes.ROTATION, "ab" * 32, START, FIRST, START
)
REGISTERED: Final = Rotation(
    id=1,
    request=promote(),
    producer=US,
    permission="rotate",
    to_key=NEW,
    created_at=START,
    state=State.REGISTERED,
    state_since=START,
    from_keys=(OLD,),
    from_node="a",
    transactions=(TRANSACTION,),
    registered_head=FIRST,
)
ACTIVE: Final = replace(REGISTERED, state=State.ACTIVE)


class Eyes:
    """An observer of a world, and the time that passes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._site = world.site(None)  # type: ignore[arg-type]  # an observer has no use for a journal
        self._observer = Observer(self._site)

    async def look(self, rotation: Rotation = REGISTERED) -> Facts:
        """Take a look."""
        return await self._observer.look(rotation)

    async def at(self, slot: int) -> None:
        """Let time pass until the middle of a slot."""
        await asyncio.sleep(slot / 2 + 0.25 - self.world.monotonic())
        self.world.look()

    async def schedules(self) -> Schedules:
        """Ask for the schedules, without a look."""
        return await self._site.client.schedules()

    async def close(self) -> None:
        """Close the connections."""
        await self._site.client.aclose()
        for client in self._site.nodes.values():
            await client.aclose()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return signer_world.build(tmp_path, monkeypatch, propose_in=PROPOSE_EVERY)


def seen(world: World, test: Callable[[Eyes], Awaitable[None]]) -> None:
    """Let a test look at the world."""

    async def run() -> None:
        eyes = Eyes(world)
        try:
            await test(eyes)
        finally:
            await eyes.close()

    virtual_time.run(run())


async def new_key(eyes: Eyes) -> None:
    """Let somebody register the new key, and the system contract propose a schedule with it."""
    eyes.world.ledger.act(Row((NEW,)))
    await eyes.at(1)
    eyes.world.ledger.propose_now()


def proof_of(block: Block) -> VerifiedBlock:
    return VerifiedBlock(block.number, block.id, moment(block.slot), block.signature)


# -- blocks and gaps -------------------------------------------------------------------------------------------


def test_our_slots_without_a_block_are_counted(world: World) -> None:
    async def test(eyes: Eyes) -> None:
        await eyes.at(14)  # bravo's slots begin with 12
        assert (await eyes.look()).missed_slots == 0
        world.nodes["a"].up = False
        await eyes.at(17)
        world.nodes["a"].up = True
        await eyes.at(30)
        assert (await eyes.look()).missed_slots == 3 == world.ledger.missed(FIRST)

    seen(world, test)


def test_a_gap_over_a_schedule_change_is_counted_by_the_schedule_after_it(world: World) -> None:
    # The keys change, then the whole of our round has no block, because nobody has the new one.
    world.nodes["b"].keys.clear()

    async def test(eyes: Eyes) -> None:
        await new_key(eyes)
        await eyes.at(60)
        facts = await eyes.look()
        assert {block.schedule_version for block in world.ledger.blocks} == {1, 2}
        missed = world.ledger.missed(FIRST)
        assert facts.missed_slots == missed > 12
        # Somebody who begins to look only now finds the same.
        later = Eyes(world)
        assert (await later.look()).missed_slots == missed
        await later.close()

    seen(world, test)


def test_on_savanna_the_schedule_of_a_gap_is_that_of_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = signer_world.build(tmp_path, monkeypatch, savanna=True)

    async def test(eyes: Eyes) -> None:
        await eyes.at(14)
        world.nodes["a"].up = False
        await eyes.at(17)
        world.nodes["a"].up = True
        await eyes.at(40)
        facts = await eyes.look()
        assert facts.missed_slots == 3 == world.ledger.missed(FIRST)
        assert facts.hidden

    seen(world, test)


def test_a_gap_of_a_schedule_that_nobody_saw_is_unknown(world: World) -> None:
    # Another producer comes in and goes again, and only then somebody looks.
    async def test(eyes: Eyes) -> None:
        world.ledger.names = ("alpha", "charlie")
        world.ledger.propose_now()
        await eyes.at(40)
        assert world.ledger.head.schedule_version == 2
        world.nodes["a"].up = False
        await eyes.at(60)
        world.nodes["a"].up = True
        world.ledger.names = ("alpha",)
        world.ledger.propose_now()
        await eyes.at(100)
        assert world.ledger.head.schedule_version == 3
        assert world.ledger.missed(FIRST) > 0
        assert (await eyes.look()).missed_slots is None

    seen(world, test)


def test_a_count_of_less_than_all_blocks_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "_MAX_BLOCKS", 20)

    async def test(eyes: Eyes) -> None:
        await eyes.at(15)
        assert (await eyes.look()).missed_slots == 0
        await eyes.at(40)
        assert (await eyes.look()).missed_slots is None

    seen(world, test)


def test_before_a_transaction_no_block_is_asked_for(world: World) -> None:
    async def test(eyes: Eyes) -> None:
        await eyes.at(5)
        facts = await eyes.look(replace(REGISTERED, transactions=(), registered_head=0))
        assert facts.missed_slots is None
        assert facts.head_number == FIRST + 5

    seen(world, test)


# -- forks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "dropped"),
    [(0, False), (1, None), (3, True), (8, True)],
    ids=["only behind", "shorter", "as long", "longer"],
)
def test_a_fork_is_followed_from_its_first_block_on(
    world: World, *, later: int, dropped: bool | None
) -> None:
    """Without a block of another fork, a lower head is that of an API node which is behind."""
    world.ledger.lag = 30

    async def test(eyes: Eyes) -> None:
        await eyes.at(20)
        last = world.ledger.head
        verified = replace(ACTIVE, state=State.VERIFIED, verified=proof_of(last))
        assert (await eyes.look(verified)).verified_dropped is False
        kept = world.ledger.head.number - 3
        assert world.ledger.fork(3) == 3
        world.ledger.salt = "another fork"
        await eyes.at(20 + later)
        facts = await eyes.look(verified)
        assert facts.verified_dropped is dropped
        assert facts.head_number == kept + later == world.ledger.head.number

    seen(world, test)


def test_a_proof_on_a_fork_that_is_gone_is_no_proof(world: World) -> None:
    world.ledger.lag = 2

    async def test(eyes: Eyes) -> None:
        await new_key(eyes)
        await eyes.at(11)
        assert NEW in (await eyes.look()).active
        world.ledger.lag = 30
        await eyes.at(13)
        first = (await eyes.look(ACTIVE)).proof
        assert first is not None
        assert world.ledger.fork(2) == 2
        world.ledger.salt = "another fork"
        world.nodes["b"].up = False
        await eyes.at(25)
        assert world.ledger.head.number >= first.number
        assert (await eyes.look(ACTIVE)).proof is None
        world.nodes["b"].up = True
        await eyes.at(38)
        second = (await eyes.look(ACTIVE)).proof
        assert second is not None
        assert second.id != first.id

    seen(world, test)


def test_blocks_of_which_none_follows_the_other_are_no_chain(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A false API node, or two behind one address, do not keep the runner busy for ever."""
    ask = ChainClient.block

    async def unrelated(client: ChainClient, wanted: int | str) -> chain.Block:
        return replace(await ask(client, wanted), previous="00" * 32)

    monkeypatch.setattr(ChainClient, "block", unrelated)
    monkeypatch.setattr(observer, "_MAX_MISFITS", 5)

    async def test(eyes: Eyes) -> None:
        await eyes.at(5)
        with pytest.raises(ChainError, match="none follows the other"):
            await eyes.look()

    seen(world, test)


# -- the proof -------------------------------------------------------------------------------------------------


def test_the_proof_is_our_first_block_with_the_new_key_of_the_node(world: World) -> None:
    world.ledger.lag = 2

    async def test(eyes: Eyes) -> None:
        await new_key(eyes)
        await eyes.at(11)
        assert (await eyes.look(ACTIVE)).proof is None
        await eyes.at(20)
        first = next(block for block in world.ledger.blocks if block.producer == US)
        assert (await eyes.look(ACTIVE)).proof == proof_of(first)

    seen(world, test)


def test_blocks_before_the_registration_prove_nothing(world: World) -> None:
    world.ledger.lag = 2

    async def test(eyes: Eyes) -> None:
        await new_key(eyes)
        await eyes.at(11)
        await eyes.at(20)
        number = world.ledger.head.number
        later = replace(ACTIVE, registered_head=number)
        assert (await eyes.look(later)).proof is None
        assert (await eyes.look(replace(ACTIVE, registered_head=0))).proof is None
        await eyes.at(21)
        proof = (await eyes.look(later)).proof
        assert proof is not None
        assert proof.number == number + 1

    seen(world, test)


def test_the_new_key_at_another_node_is_no_proof(world: World) -> None:
    world.ledger.lag = 2
    world.nodes["b"].keys.clear()
    world.nodes["a"].keys.add(NEW)  # an accident: a lists the key of b

    async def test(eyes: Eyes) -> None:
        await new_key(eyes)
        await eyes.at(11)
        await eyes.at(22)
        facts = await eyes.look(ACTIVE)
        assert world.ledger.head.producer == US
        assert facts.proof is None
        assert facts.foreign is None  # we issued it, though not to whom we thought

    seen(world, test)


def test_a_signature_that_we_did_not_issue_is_foreign_and_no_proof(world: World) -> None:
    world.ledger.lag = 2
    world.nodes["b"].owns = True  # the private key is in the node's own configuration

    async def test(eyes: Eyes) -> None:
        await new_key(eyes)
        await eyes.at(11)
        await eyes.at(14)
        facts = await eyes.look(ACTIVE)
        assert (facts.proof, facts.foreign) == (None, None)  # the supervisor may not know of it yet
        await eyes.at(15)
        assert (await eyes.look(ACTIVE)).foreign is None
        await eyes.at(22)
        facts = await eyes.look(ACTIVE)
        assert facts.proof is None
        assert facts.foreign is not None
        assert world.ledger.blocks[facts.foreign - FIRST].producer == US

    seen(world, test)


def test_what_another_signer_signed_before_the_new_key_was_active_is_not_foreign(world: World) -> None:
    world.nodes["a"].owns = True  # as if by a signer of its own

    async def test(eyes: Eyes) -> None:
        for slot in (14, 22, 23):
            await eyes.at(slot)
            assert (await eyes.look(REGISTERED)).foreign is None
        assert (await eyes.look(ACTIVE)).foreign is None

    seen(world, test)


def test_a_supervisor_that_does_not_answer_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object) -> None:
        raise AdminError("the supervisor does not answer")

    async def test(eyes: Eyes) -> None:
        await new_key(eyes)
        await eyes.at(11)
        await eyes.at(13)
        with monkeypatch.context() as patch:
            patch.setattr(MemoryDesk, "issued", silent)
            with pytest.raises(AdminError):
                await eyes.look(ACTIVE)
        await eyes.at(30)  # long after a signature that is unknown would be foreign
        assert (await eyes.look(ACTIVE)).proof is not None

    world.ledger.lag = 2
    seen(world, test)


def test_a_signature_of_which_the_supervisor_hears_late_is_a_proof(world: World) -> None:
    world.ledger.lag = 2
    world.desk.issued_after_s = 2.0

    async def test(eyes: Eyes) -> None:
        await new_key(eyes)
        await eyes.at(11)
        await eyes.at(13)
        assert (await eyes.look(ACTIVE)).proof is None
        await eyes.at(18)
        facts = await eyes.look(ACTIVE)
        assert facts.proof is not None
        assert facts.foreign is None

    seen(world, test)


def test_a_return_is_proven_with_the_old_key_of_the_old_node(world: World) -> None:
    async def test(eyes: Eyes) -> None:
        await eyes.at(14)
        proof = (await eyes.look(replace(ACTIVE, state=State.RETURNING))).proof
        assert proof is not None
        assert world.desk.blocks[proof.producer_signature][:2] == (OLD, "a")
        assert (await eyes.look(ACTIVE)).proof is None

    seen(world, test)


# -- schedules -------------------------------------------------------------------------------------------------


def test_a_schedule_that_is_not_in_force_any_more_says_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from an API node that is behind the one that told the head."""
    world.ledger.lag = 2

    async def test(eyes: Eyes) -> None:
        past = await eyes.schedules()
        await new_key(eyes)
        await eyes.at(11)
        await eyes.at(20)
        assert (await eyes.look()).active == {NEW}

        async def schedules(_: ChainClient) -> Schedules:
            return past

        monkeypatch.setattr(ChainClient, "schedules", schedules)
        with pytest.raises(ChainError, match="not in force any more"):
            await eyes.look()

    seen(world, test)


# -- the row ---------------------------------------------------------------------------------------------------


def test_two_api_nodes_that_say_the_same_agree(world: World) -> None:
    async def test(eyes: Eyes) -> None:
        await eyes.at(3)
        facts = await eyes.look()
        assert (facts.row_keys, facts.row_agreed) == (frozenset({OLD}), True)

    seen(world, test)


def test_two_api_nodes_that_differ_say_nothing(world: World) -> None:
    world.ledger.lag = 30
    world.apis[1].lag = 2

    async def test(eyes: Eyes) -> None:
        await eyes.at(5)
        world.ledger.act(Row((NEW,)))
        await eyes.at(6)
        assert not (await eyes.look()).row_agreed
        await eyes.at(8)
        facts = await eyes.look()
        assert (facts.row_keys, facts.row_agreed) == (frozenset({NEW}), True)

    seen(world, test)


def test_one_of_two_counts_once_what_it_says_is_irreversible(world: World) -> None:
    world.ledger.lag = 6
    world.apis[1].up = False

    async def test(eyes: Eyes) -> None:
        await eyes.at(10)
        await eyes.look()
        world.ledger.act(Row((NEW,)))
        await eyes.at(12)
        facts = await eyes.look()
        assert (facts.row_keys, facts.row_agreed) == (frozenset({NEW}), False)
        await eyes.at(17)
        assert not (await eyes.look()).row_agreed
        await eyes.at(18)
        assert (await eyes.look()).row_agreed
        assert world.ledger.irreversible.row == Row((NEW,))

    seen(world, test)


def test_one_that_changes_its_word_begins_anew(world: World) -> None:
    world.ledger.lag = 6
    world.apis[1].up = False

    async def test(eyes: Eyes) -> None:
        await eyes.at(10)
        world.ledger.act(Row((NEW,)))
        await eyes.at(12)
        await eyes.look()
        world.ledger.act(Row((OLD,)))
        await eyes.at(16)
        await eyes.look()
        await eyes.at(18)
        facts = await eyes.look()
        assert (facts.row_keys, facts.row_agreed) == (frozenset({OLD}), False)

    seen(world, test)


def test_an_api_node_that_is_older_than_what_is_irreversible_has_no_say(world: World) -> None:
    world.ledger.lag = 3
    world.apis[1].lag = 8

    async def test(eyes: Eyes) -> None:
        await eyes.at(10)
        world.ledger.act(Row((NEW,)))
        await eyes.at(11)
        assert not (await eyes.look()).row_agreed  # alone, and not irreversible
        await eyes.at(15)
        facts = await eyes.look()
        assert world.apis[1].head.row == Row((OLD,))
        assert (facts.row_keys, facts.row_agreed) == (frozenset({NEW}), True)

    seen(world, test)


def test_the_only_one_is_believed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = signer_world.build(tmp_path, monkeypatch, apis=1)

    async def test(eyes: Eyes) -> None:
        await eyes.at(3)
        assert (await eyes.look()).row_agreed

    seen(world, test)


def test_an_unregistered_producer_has_a_row_of_no_keys_and_an_unknown_one_none(world: World) -> None:
    async def test(eyes: Eyes) -> None:
        world.ledger.act(Row(()))
        await eyes.at(3)
        facts = await eyes.look()
        assert (facts.row_keys, facts.row_agreed) == (frozenset(), True)
        world.ledger.act(None)
        await eyes.at(5)
        facts = await eyes.look()
        assert (facts.row_keys, facts.row_agreed) == (None, True)

    seen(world, test)


# -- silence ---------------------------------------------------------------------------------------------------


def test_slots_in_a_row_are_silent_until_a_block_of_ours(world: World) -> None:
    async def test(eyes: Eyes) -> None:
        world.nodes["a"].up = False
        await eyes.at(8)
        assert (await eyes.look(ACTIVE)).silent_slots == 0
        await eyes.at(24)  # alpha's block of slot 24 is the first after our round
        assert (await eyes.look(ACTIVE)).silent_slots == 12
        # Another state has no silence, and it is counted anew.
        assert (await eyes.look(REGISTERED)).silent_slots == 0
        world.nodes["a"].up = True
        await eyes.at(36)
        assert (await eyes.look(ACTIVE)).silent_slots == 0

    seen(world, test)


@pytest.mark.parametrize("stuck", [0, 1])
def test_an_api_node_whose_head_stands_still_makes_nobody_silent(world: World, stuck: int) -> None:
    """Its last block is alpha's last before our round, and it answers on."""
    world.apis[1 - stuck].up = False

    async def test(eyes: Eyes) -> None:
        await eyes.at(11)
        await eyes.look(ACTIVE)
        for slot in range(12, 60):
            world.apis[stuck].lag = slot - 11
            await eyes.at(slot)
            assert (await eyes.look(ACTIVE)).silent_slots == 0
        assert world.ledger.missed(FIRST) == 0

    seen(world, test)


def test_a_chain_that_waits_for_us_alone_counts_on_by_the_clock(world: World) -> None:
    world.ledger.names = ()

    async def test(eyes: Eyes) -> None:
        world.ledger.propose_now()
        await eyes.at(36)
        assert (await eyes.look(ACTIVE)).silent_slots == 0
        world.nodes["a"].up = False
        await eyes.at(40)
        few = (await eyes.look(ACTIVE)).silent_slots
        await eyes.at(60)
        assert 0 < few < 12 < (await eyes.look(ACTIVE)).silent_slots

    seen(world, test)


def test_the_target_is_silent_for_as_long_as_its_api_gives_no_answer(world: World) -> None:
    async def test(eyes: Eyes) -> None:
        await eyes.at(4)
        assert (await eyes.look()).target_silent_s == 0.0
        world.stop("b")
        await eyes.at(24)
        silent_s = (await eyes.look()).target_silent_s
        assert silent_s == pytest.approx(10.0, abs=0.1)
        world.restart("b")
        await eyes.at(100)  # the client has left it alone for a while
        assert (await eyes.look()).target_silent_s == 0.0

    seen(world, test)


def test_a_target_without_an_api_is_never_called_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = signer_world.build(tmp_path, monkeypatch, node_apis=False)

    async def test(eyes: Eyes) -> None:
        world.nodes["b"].up = False
        await eyes.at(60)
        assert (await eyes.look()).target_silent_s is None
        assert "no api" in (await eyes.look(replace(REGISTERED, state=State.RETURNING))).unfit

    seen(world, test)


# -- the way back ----------------------------------------------------------------------------------------------

RETURNING: Final = replace(REGISTERED, state=State.RETURNING)


@pytest.mark.parametrize("skew_h", [-1, 0, 1])
def test_a_node_that_answers_and_is_in_sync_is_fit_whatever_the_local_clock_says(
    world: World, skew_h: int
) -> None:
    world.skew = timedelta(hours=skew_h)

    async def test(eyes: Eyes) -> None:
        await eyes.at(40)
        assert (await eyes.look(RETURNING)).unfit == ""
        world.api_of("a").lag = 30
        await eyes.at(41)
        assert "behind" in (await eyes.look(RETURNING)).unfit

    seen(world, test)


def test_a_node_that_is_dead_or_whose_key_cannot_sign_is_unfit(world: World) -> None:
    async def test(eyes: Eyes) -> None:
        await eyes.at(4)
        world.desk.unable[OLD] = "its token is gone"
        assert (await eyes.look(RETURNING)).unfit == "its token is gone"
        world.desk.unable.clear()
        world.stop("a")
        assert "does not answer" in (await eyes.look(RETURNING)).unfit
        nobody = replace(RETURNING, from_node=None)
        assert "no node" in (await eyes.look(nobody)).unfit

    seen(world, test)


# -- finalizers ------------------------------------------------------------------------------------------------


def test_the_finalizer_half_is_the_target_nodes_key_in_the_active_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = signer_world.build(tmp_path, monkeypatch, savanna=True)

    async def test(eyes: Eyes) -> None:
        await eyes.at(3)
        assert (await eyes.look()).finalizer is False
        to_a = replace(REGISTERED, request=replace(REGISTERED.request, node="a"))
        assert (await eyes.look(to_a)).finalizer is True
        world.ledger.blocks[-1] = replace(world.ledger.head, finalizer=FINALIZERS["b"])
        assert (await eyes.look()).finalizer is True

    seen(world, test)


def test_on_a_legacy_chain_there_is_no_finalizer_half(world: World) -> None:
    async def test(eyes: Eyes) -> None:
        await eyes.at(3)
        facts = await eyes.look()
        assert facts.finalizer is None
        assert not facts.hidden

    seen(world, test)
