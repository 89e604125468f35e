"""Rotations carried out on a chain in memory: the whole way, and everything that comes between.

Held in every test, by `World.check`: only what is on disk is sent, no two transactions are live at once, and nothing is
sent any more once its successor is signed.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from rig import two_nodes
from rotation import signer_world, virtual_time
from rotation.http_api import FINALIZERS
from rotation.ledger import NO_CPU, NO_RAM, START, US, Row, moment
from rotation.signer_world import NEW, OLD, cycle, promote
from rotation.ways import WAYS, Way

from signer.antelope.transaction import ActFinKey, RegProducer, Transaction
from signer.errors import JournalError, RotationError
from signer.rotation import rotations as module
from signer.rotation.entry import Event
from signer.rotation.evidence import EvidenceKind
from signer.rotation.inspector import Inspector
from signer.rotation.machine import MAX_TRANSACTIONS
from signer.rotation.rotation import Purpose, Rotation, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from rotation.signer_world import World

    from signer.antelope.keys import PublicKey
    from signer.rotation.rotation import Request
    from signer.rotation.rotations import Rotations

EMERGENCY: Final = promote(emergency=True, reason="a is dead")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return signer_world.build(tmp_path, monkeypatch)


def go(world: World, way: Way) -> Rotation:
    """Go a way to its end."""
    rotation = virtual_time.run(way.go(world))
    world.check()
    assert rotation.state is way.ends, rotation.reason
    return rotation


def live(world: World, test: Callable[[Rotations], Awaitable[None]]) -> None:
    """Let a test have the rotations."""

    async def run() -> None:
        async with world.life() as rotations:
            await test(rotations)

    virtual_time.run(run())
    assert not world.faults


def actions(rotation: Rotation) -> list[Any]:
    """Return the actions of the last transaction."""
    assert rotation.transaction is not None
    return [action for action, _ in Transaction.unpack(rotation.transaction.packed).actions]


# -- the whole way ---------------------------------------------------------------------------------------------


def test_a_promotion_from_its_plan_to_its_proof(world: World) -> None:
    rotation = go(world, Way(State.DONE))
    assert world.writes == [
        *(Event.PLANNED, Event.CHECKING, Event.CHECKED, Event.SIGNED, Event.ACCEPTED, Event.REGISTERED),
        *(Event.PROPOSED, Event.PENDING, Event.ACTIVE, Event.VERIFIED, Event.DONE),
    ]
    assert (rotation.from_key, rotation.from_node, rotation.to_key) == (OLD, "a", NEW)
    assert (rotation.safe_to_stop, rotation.missed_slots) == ("a", 0)
    # The row has what it had, but for the key.
    assert world.ledger.head.row == Row((NEW,))
    assert actions(rotation) == [RegProducer(US, NEW, Row(()).url, Row(()).location)]
    assert rotation.transaction is not None
    assert rotation.transaction.signed_by == two_nodes.ROTATION
    # The proof is our first block under the new schedule, and irreversible.
    block = next(block for block in world.ledger.blocks if NEW in dict(block.active.producers)[US])
    while block.producer != US:
        block = world.ledger.blocks[world.ledger.blocks.index(block) + 1]
    assert rotation.verified is not None
    assert (rotation.verified.number, rotation.verified.id) == (block.number, block.id)
    assert rotation.verified.time == moment(block.slot)
    assert world.desk.blocks[rotation.verified.producer_signature][:2] == (NEW, "b")
    assert world.ledger.head.irreversible >= block.number
    assert [act[:2] for act in world.desk.acts] == [("rotation-promote", "alice")]


def test_on_savanna_the_finalizer_key_moves_in_the_same_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = signer_world.build(tmp_path, monkeypatch, savanna=True)
    rotation = go(world, Way(State.DONE))
    assert [type(action) for action in actions(rotation)] == [RegProducer, ActFinKey]
    assert world.ledger.head.finalizer == FINALIZERS["b"]
    assert State.PROPOSED not in rotation.reached  # Savanna shows no proposal
    assert (rotation.safe_to_stop, rotation.missed_slots) == ("a", 0)


def test_it_is_not_done_before_the_finalizer_key_is_active(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = signer_world.build(tmp_path, monkeypatch, savanna=True)
    world.ledger.finalizer_waits = True

    async def person(world: World, rotations: Rotations, rotation: Rotation) -> None:
        if world.monotonic() > 100:
            world.ledger.finalizer_waits = False
        elif rotation.reached.keys() & {State.VERIFIED}:
            assert (rotation.state, rotation.safe_to_stop) == (State.VERIFIED, None)

    rotation = go(world, Way(State.DONE, person=person))
    assert rotation.reached[State.DONE] > START + timedelta(seconds=100)
    assert rotation.safe_to_stop == "a"


@pytest.mark.parametrize("savanna", [False, True], ids=["legacy", "savanna"])
def test_a_cycle_gives_the_producing_node_a_fresh_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, savanna: bool
) -> None:
    world = signer_world.build(tmp_path, monkeypatch, savanna=savanna)
    rotation = go(world, Way(State.DONE, cycle()))
    assert rotation.to_key == two_nodes.A[2]
    assert rotation.safe_to_stop is None  # a goes on
    assert [type(action) for action in actions(rotation)] == [RegProducer]


def test_the_proof_is_evidence_that_the_node_lists_the_key(world: World) -> None:
    async def test(rotations: Rotations) -> None:
        rotation = await rotations.request(promote(), None, None)
        assert world.journal.evidence() == []
        await world.end_of(rotation.id)
        (evidence,) = world.journal.evidence()
        assert (evidence.node, evidence.kind, evidence.key) == ("b", EvidenceKind.SIGNED, NEW)
        # And back: a promotion returns to the key that was used last.
        back = await rotations.request(promote(node="a"), None, None)
        assert back.to_key == OLD
        end = await world.end_of(back.id)
        assert (end.state, end.from_node, end.safe_to_stop) == (State.DONE, "b", "b")

    live(world, test)


def test_missed_slots_are_those_without_a_block_since_the_push(world: World) -> None:
    async def person(world: World, _: Rotations, rotation: Rotation) -> None:
        world.nodes["a"].up = not (rotation.state is State.REGISTERED and world.slot in (14, 15, 16, 17))

    rotation = go(world, Way(State.DONE, person=person))
    assert rotation.transaction is not None
    missed = world.ledger.missed(rotation.transaction.head_number)
    assert rotation.missed_slots == missed > 0


# -- answers: lost, late, twice ----------------------------------------------------------------------------------


@pytest.mark.parametrize("losers", [(0,), (1,), (0, 1)])
def test_a_lost_answer_to_a_push_costs_nothing(world: World, losers: tuple[int, ...]) -> None:
    for each in losers:
        world.apis[each].loses.add("send_transaction2")
    rotation = go(world, Way(State.DONE))
    assert len(rotation.transactions) == len(world.included()) == 1
    accepted = Event.ACCEPTED in world.writes
    assert accepted == (len(losers) == 1)


def test_the_transaction_that_an_api_node_has_already_is_taken(world: World) -> None:
    world.ledger.lands = False

    async def person(world: World, _: Rotations, rotation: Rotation) -> None:
        world.ledger.lands = world.monotonic() > 10

    rotation = go(world, Way(State.DONE, person=person))
    assert len(world.pushed) > 4  # the same bytes, again and again
    assert len(rotation.transactions) == len(world.included()) == len(set(world.pushed)) == 1


def test_a_second_transaction_is_signed_when_the_first_is_dead(world: World) -> None:
    world.ledger.lands = False

    async def person(world: World, _: Rotations, rotation: Rotation) -> None:
        world.ledger.lands = len(rotation.transactions) == 2

    rotation = go(world, Way(State.DONE, person=person))
    first, second = rotation.transactions
    assert world.included() == [second.id]
    assert second.signed_at > first.expiration
    assert world.pushed.index(second.packed) > max(
        place for place, each in enumerate(world.pushed) if each == first.packed
    )


def test_what_never_enters_a_block_fails_after_some_transactions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = signer_world.build(tmp_path, monkeypatch, apis=1)
    world.ledger.lands = False
    rotation = go(world, Way(State.FAILED))
    assert len(rotation.transactions) == MAX_TRANSACTIONS
    assert "expired without effect" in rotation.reason


# -- refusals ----------------------------------------------------------------------------------------------------


def _when_signed(world: World, change: Callable[[], None]) -> None:
    """Let something happen when the first transaction is on disk."""

    def written(event: Event) -> None:
        if event is Event.SIGNED:
            change()

    world.written = written


def test_a_permission_that_is_removed_ends_it_at_once_with_the_reason(world: World) -> None:
    def remove() -> None:
        world.ledger.permission = None

    _when_signed(world, remove)
    rotation = go(world, Way(State.FAILED))
    assert "the account or its permission does not exist" in rotation.reason
    assert rotation.state_since - rotation.created_at < timedelta(seconds=1)
    assert not world.included()


def test_an_account_without_ram_ends_it_at_once_with_the_reason(world: World) -> None:
    """RAM does not come back by itself."""

    def use_up() -> None:
        world.ledger.refusal = NO_RAM

    _when_signed(world, use_up)
    rotation = go(world, Way(State.FAILED))
    assert "not enough RAM" in rotation.reason
    assert len(rotation.transactions) == 1


def test_an_account_without_cpu_is_tried_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = signer_world.build(tmp_path, monkeypatch, apis=1)

    def use_up() -> None:
        world.ledger.refusal = NO_CPU

    _when_signed(world, use_up)
    rotation = go(world, Way(State.FAILED))
    assert len(rotation.transactions) == MAX_TRANSACTIONS
    assert "not enough CPU" in rotation.reason


def test_a_refusal_is_no_end_while_somebody_may_have_taken_it(world: World) -> None:
    """One API node loses its answer after it took the transaction; the other one has an account without RAM."""
    world.apis[0].loses.add("send_transaction2")
    world.apis[1].refuses = NO_RAM
    rotation = go(world, Way(State.DONE))
    assert Event.REJECTED in world.writes
    assert len(world.included()) == 1
    assert len(rotation.transactions) == 1


def test_a_token_that_signs_at_the_third_try_is_waited_for(world: World) -> None:
    world.desk.sign_faults = 2
    go(world, Way(State.DONE))


def test_a_token_that_does_not_sign_ends_it(world: World) -> None:
    world.desk.sign_faults = 1000
    rotation = go(world, Way(State.FAILED))
    assert "the token is gone" in rotation.reason
    assert not rotation.transactions
    assert not world.pushed


def test_a_rotation_key_that_is_frozen_meanwhile_ends_it(world: World) -> None:
    def freeze() -> None:
        world.desk.states[two_nodes.ROTATION] = "frozen"

    world.desk.before_sign = freeze
    rotation = go(world, Way(State.FAILED))
    assert "frozen" in rotation.reason


# -- API nodes ---------------------------------------------------------------------------------------------------


def _behind(world: World) -> None:
    world.apis[0].lag = 30


def _liar(world: World) -> None:
    world.apis[0].chain_id = "bb" * 32


def _dead(world: World) -> None:
    world.apis[0].up = False


def _mad(world: World) -> None:
    world.apis[0].garbage = b'{"chain_id": '


def _slow(world: World) -> None:
    world.apis[0].delay_s = 5.0


def _a_little_behind(world: World) -> None:
    world.apis[1].lag = 2


@pytest.mark.parametrize("fault", [_behind, _liar, _dead, _mad, _slow, _a_little_behind])
def test_one_good_api_node_is_enough(world: World, fault: Callable[[World], None]) -> None:
    fault(world)
    rotation = go(world, Way(State.DONE))
    assert (rotation.missed_slots, rotation.safe_to_stop) == (0, "a")
    assert len(rotation.transactions) == 1


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        (State.SIGNED, _dead),
        (State.SIGNED, _liar),
        (State.PENDING, _behind),
        (State.PENDING, _mad),
        (State.VERIFIED, _dead),
    ],
)
def test_an_api_node_may_fail_midway(world: World, fault: Callable[[World], None], state: State) -> None:
    def written(event: Event) -> None:
        if event.value == state.value:
            fault(world)

    world.written = written
    rotation = go(world, Way(State.DONE))
    assert (rotation.missed_slots, rotation.safe_to_stop) == (0, "a")


def test_when_all_api_nodes_are_gone_for_a_while_it_goes_on_afterwards(world: World) -> None:
    async def person(world: World, _: Rotations, rotation: Rotation) -> None:
        gone = 5 < world.monotonic() < 30
        for api in world.apis:
            api.up = not gone

    rotation = go(world, Way(State.DONE, person=person))
    assert rotation.missed_slots == 0


def test_when_nobody_tells_of_the_chain_nothing_begins(world: World) -> None:
    for api in world.apis:
        api.chain_id = "bb" * 32
    rotation = go(world, Way(State.REFUSED))
    assert rotation.findings[0].rule == "chain"
    assert not world.desk.signed


@pytest.mark.parametrize("skew_h", [-1, 1])
def test_a_local_clock_that_is_an_hour_off_changes_nothing(world: World, skew_h: int) -> None:
    world.skew = timedelta(hours=skew_h)
    rotation = go(world, Way(State.DONE))
    assert rotation.transaction is not None
    # By the chain's time.
    assert rotation.transaction.expiration == START + timedelta(seconds=20)
    assert (rotation.missed_slots, rotation.safe_to_stop) == (0, "a")


# -- forks and other people ----------------------------------------------------------------------------------------


def test_a_fork_that_drops_the_registration_is_made_good_with_the_same_bytes(world: World) -> None:
    world.ledger.lag = 12
    forked: list[int] = []

    async def person(world: World, _: Rotations, rotation: Rotation) -> None:
        if rotation.state is State.REGISTERED and not forked:
            forked.append(world.ledger.fork(8))
            world.ledger.salt = "another fork"
            assert not world.included()

    rotation = go(world, Way(State.DONE, person=person))
    assert forked
    assert len(rotation.transactions) == len(world.included()) == 1


def test_whoever_registers_another_key_is_not_overruled(world: World) -> None:
    rotation = go(world, WAYS["superseded"])
    assert str(two_nodes.A[2]) in rotation.reason
    assert world.ledger.head.row == Row((two_nodes.A[2],))
    assert len(world.desk.signed) == 1


def test_a_block_that_we_did_not_sign_verifies_nothing(world: World) -> None:
    world.nodes["b"].owns = True

    async def test(rotations: Rotations) -> None:
        rotation = await rotations.request(promote(), None, None)
        await world.state(rotation.id, State.ACTIVE)
        await asyncio.sleep(60)
        seen = rotations.get(rotation.id)
        assert seen.state is State.ACTIVE
        assert seen.verified is None
        assert "did not issue" in seen.reason
        # From then on the signer signs for it.
        world.nodes["b"].owns = False
        assert (await world.end_of(rotation.id)).state is State.DONE

    live(world, test)


# -- return --------------------------------------------------------------------------------------------------------


def test_production_goes_back_when_the_target_does_not_produce(world: World) -> None:
    rotation = go(world, WAYS["returned"])
    assert world.ledger.head.row == Row((OLD,))
    assert [each.purpose for each in rotation.transactions] == [Purpose.REGISTER, Purpose.RETURN]
    assert rotation.verified is not None
    assert world.desk.blocks[rotation.verified.producer_signature][:2] == (OLD, "a")
    assert rotation.missed_slots == world.ledger.missed(rotation.transactions[0].head_number)
    assert rotation.safe_to_stop is None


def test_production_goes_back_when_the_target_dies_before_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = signer_world.build(tmp_path, monkeypatch, propose_in=100)

    async def person(world: World, _: Rotations, rotation: Rotation) -> None:
        if rotation.state is State.REGISTERED and world.nodes["b"].up:
            world.stop("b")

    rotation = go(world, Way(State.RETURNED, person=person))
    assert State.ACTIVE not in rotation.reached
    assert rotation.missed_slots == 0


def test_production_does_not_go_back_to_a_node_that_dies_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The return waits until the first transaction is dead, and the old node is not there any more by then."""
    world = signer_world.build(tmp_path, monkeypatch, lifetime_s=60)
    world.nodes["b"].keys.clear()

    async def test(rotations: Rotations) -> None:
        rotation = await rotations.request(promote(), None, None)
        await world.state(rotation.id, State.RETURNING)
        world.stop("a")
        seen = await world.state(rotation.id, State.REGISTERED, State.ACTIVE, State.RETURNED)
        assert seen.state is State.REGISTERED
        assert "the API of a does not answer" in seen.reason
        assert [each.purpose for each in seen.transactions] == [Purpose.REGISTER]

    live(world, test)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (EMERGENCY, "this is an emergency"),
        (promote(may_return=False), "the request forbids it"),
    ],
    ids=["emergency", "forbidden"],
)
def test_production_does_not_go_back_where_it_must_not(world: World, request_: Request, words: str) -> None:
    world.nodes["b"].keys.clear()

    async def test(rotations: Rotations) -> None:
        rotation = await rotations.request(request_, None, None)
        await world.state(rotation.id, State.ACTIVE)
        await asyncio.sleep(40)
        seen = rotations.get(rotation.id)
        assert seen.state is State.ACTIVE
        assert words in seen.reason
        # Somebody puts the key into its configuration and starts it again.
        world.nodes["b"].keys.add(NEW)
        assert (await world.end_of(rotation.id)).state is State.DONE

    live(world, test)


# -- people --------------------------------------------------------------------------------------------------------


def test_an_emergency_takes_the_place_of_what_is_under_way(world: World) -> None:
    async def test(rotations: Rotations) -> None:
        planned = await rotations.request(cycle(), None, None)
        await world.state(planned.id, State.REGISTERED)
        world.stop("a")
        with pytest.raises(RotationError) as caught:
            await rotations.request(promote(), None, None)
        assert caught.value.code == "live"
        emergency = await rotations.request(EMERGENCY, None, None)
        assert rotations.get(planned.id).state is State.SUPERSEDED
        end = await world.end_of(emergency.id)
        assert (end.state, end.to_key) == (State.DONE, NEW)
        assert world.ledger.head.row == Row((NEW,))
        assert (end.missed_slots or 0) > 0

    live(world, test)


def test_somebody_else_has_to_approve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = signer_world.build(tmp_path, monkeypatch, approval="promote")

    async def test(rotations: Rotations) -> None:
        rotation = await rotations.request(promote(), None, None)
        await world.state(rotation.id, State.APPROVAL)
        await asyncio.sleep(5)
        assert not world.desk.signed
        with pytest.raises(RotationError) as caught:
            await rotations.approve(rotation.id, "alice")
        assert caught.value.code == "same-person"
        approved = await rotations.approve(rotation.id, "bob")
        assert (approved.state, approved.approved_by) == (State.PREFLIGHT, "bob")
        with pytest.raises(RotationError) as caught:
            await rotations.approve(rotation.id, "carol")
        assert caught.value.code == "no-approval"
        assert (await world.end_of(rotation.id)).state is State.DONE
        assert [act[:2] for act in world.desk.acts] == [
            ("rotation-promote", "alice"),
            ("rotation-approve", "bob"),
        ]

    live(world, test)


async def _abort_in(world: World, rotations: Rotations, state: State) -> Rotation:
    rotation = await rotations.request(promote(), None, None)
    await world.state(rotation.id, state)
    return await rotations.abort(rotation.id, "carol")


@pytest.mark.parametrize("state", [State.APPROVAL, State.PREFLIGHT])
def test_it_is_aborted_at_once_before_anything_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    world = signer_world.build(
        tmp_path, monkeypatch, approval="always" if state is State.APPROVAL else "never"
    )
    for api in world.apis:
        api.delay_s = 0.5  # preflight takes its time

    async def test(rotations: Rotations) -> None:
        aborted = await _abort_in(world, rotations, state)
        assert (aborted.state, aborted.abort_by) == (State.ABORTED, "carol")
        assert world.desk.acts[-1][:2] == ("rotation-abort", "carol")
        await asyncio.sleep(30)
        assert rotations.get(aborted.id) == aborted
        assert not world.pushed
        with pytest.raises(RotationError) as caught:
            await rotations.abort(aborted.id, "carol")
        assert caught.value.code == "ended"

    live(world, test)


def test_an_abort_while_the_token_signs_throws_the_signature_away(world: World) -> None:
    async def test(rotations: Rotations) -> None:
        def abort() -> None:
            assert rotations.get(1).state is State.PREFLIGHT
            task = asyncio.ensure_future(rotations.abort(1, "carol"))
            tasks.append(task)

        tasks: list[asyncio.Future[Rotation]] = []
        world.desk.before_sign = abort
        world.desk.sign_takes_s = 0.3
        rotation = await rotations.request(promote(), None, None)
        end = await world.end_of(rotation.id)
        assert end.state is State.ABORTED
        await asyncio.sleep(30)
        assert len(world.desk.signed) == 1
        assert not world.pushed
        assert not rotations.get(rotation.id).transactions
        await asyncio.gather(*tasks)

    live(world, test)


def test_an_abort_after_the_signature_waits_until_the_transaction_is_dead(world: World) -> None:
    rotation = go(world, WAYS["aborted"])
    assert rotation.transaction is not None
    assert moment(world.ledger.irreversible.slot) > rotation.transaction.expiration
    assert world.ledger.head.row == Row((OLD,))


def test_an_abort_that_comes_too_late_for_the_chain_ends_in_the_new_key(world: World) -> None:
    world.ledger.lands = False

    async def test(rotations: Rotations) -> None:
        await _abort_in(world, rotations, State.SIGNED)
        with pytest.raises(RotationError) as caught:
            await rotations.abort(1, "dave")
        assert caught.value.code == "aborting"
        world.ledger.lands = True
        assert (await world.end_of(1)).state is State.DONE

    live(world, test)


@pytest.mark.parametrize("state", [State.REGISTERED, State.PROPOSED, State.PENDING, State.VERIFIED])
def test_nothing_is_aborted_once_the_key_is_registered(world: World, state: State) -> None:
    async def test(rotations: Rotations) -> None:
        with pytest.raises(RotationError) as caught:
            await _abort_in(world, rotations, state)
        assert caught.value.code == "too-late"
        assert (await world.end_of(1)).state is State.DONE

    live(world, test)


def test_warnings_that_nobody_accepted_refuse_it(world: World) -> None:
    rotation = go(world, Way(State.REFUSED, promote(accept_warnings=False)))
    assert "evidence" in {each.rule for each in rotation.findings}
    assert not world.desk.signed


# -- the disk --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WAYS)
def test_a_full_disk_stops_it_at_every_write_and_it_goes_on_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    way = WAYS[name]
    world = way.world(tmp_path, monkeypatch)
    failures: dict[Event, int] = {}

    def failing(event: Event) -> bool:
        failures[event] = failures.get(event, 0) + 1
        return failures[event] <= 2

    world.failing = failing
    rotation = go(world, way)
    assert set(failures) >= set(world.writes)
    assert len(set(world.included())) == len(world.included())
    assert len(world.included()) <= len({each.purpose for each in rotation.transactions})


def test_while_the_disk_is_full_nothing_is_sent(world: World) -> None:
    async def test(rotations: Rotations) -> None:
        world.failing = lambda event: event is Event.SIGNED
        rotation = await rotations.request(promote(), None, None)
        await asyncio.sleep(10)
        # Signed and thrown away, about once in a second: a disk that is full is no reason to hurry.
        assert 1 < len(world.desk.signed) <= 11
        assert not world.pushed
        assert rotations.get(rotation.id).state is State.PREFLIGHT
        world.failing = lambda _: False
        assert (await world.end_of(rotation.id)).state is State.DONE
        assert len(world.included()) == 1

    live(world, test)


def test_a_person_is_told_that_the_disk_is_full(world: World) -> None:
    async def test(rotations: Rotations) -> None:
        world.failing = lambda _: True
        with pytest.raises(JournalError):
            await rotations.request(promote(), None, None)
        world.failing = lambda _: False
        assert rotations.list(10, None) == []

    live(world, test)


# -- what is asked for -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "key", "code"),
    [
        (promote(chain="elsewhere"), None, "not-configured"),
        (promote(node="c"), None, "unknown-node"),
        (promote(), OLD, "key"),
        (promote(), two_nodes.ROTATION, "key"),
        (promote(node="a"), None, "ring-empty"),
        (promote(emergency=True), None, "reason"),
        (promote(emergency=True, reason=" "), None, "reason"),
        (promote(reason="x" * 401), None, "reason"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_its_code(
    world: World, request_: Request, key: PublicKey | None, code: str
) -> None:
    async def test(rotations: Rotations) -> None:
        with pytest.raises(RotationError) as caught:
            await rotations.request(request_, key, None)
        assert caught.value.code == code
        assert rotations.list(10, None) == []
        with pytest.raises(RotationError) as caught:
            await rotations.dry_run(request_, key)
        assert caught.value.code == code

    live(world, test)


def test_a_named_key_of_the_node_is_taken(world: World) -> None:
    async def test(rotations: Rotations) -> None:
        rotation = await rotations.request(promote(), two_nodes.B[2], None)
        assert (await world.end_of(rotation.id)).to_key == two_nodes.B[2]

    live(world, test)


def test_a_dry_run_writes_and_signs_nothing(world: World) -> None:
    async def test(rotations: Rotations) -> None:
        found = await rotations.dry_run(promote(), None)
        assert (found.to_key, found.from_node, found.node) == (NEW, "a", "b")
        assert found.transaction is not None
        assert found.transaction["actions"][0]["data"]["producer_key"] == NEW.fc
        assert (found.expected_s or 0) > 60
        assert rotations.list(10, None) == []
        assert not world.desk.signed
        assert not world.pushed
        assert not world.desk.acts

    live(world, test)


def test_each_change_is_told_to_whoever_listens_until_the_end(world: World) -> None:
    async def test(rotations: Rotations) -> None:
        rotation = await rotations.request(promote(), None, None)
        states = [each.state async for each in rotations.changes(rotation.id)]
        assert (states[0], states[-1]) == (State.PLANNED, State.DONE)
        # What two changes in one go lead to is told once.
        way = list(rotations.get(rotation.id).reached)
        assert sorted(states, key=way.index) == states
        assert set(way) - set(states) <= {State.PREFLIGHT, State.ACTIVE}
        # Who comes later hears of the end.
        assert [each.state async for each in rotations.changes(rotation.id)] == [State.DONE]
        with pytest.raises(RotationError) as caught:
            await anext(rotations.changes(99))
        assert caught.value.code == "unknown"

    live(world, test)


def test_a_producer_is_shown_with_its_live_and_its_last_rotation(world: World) -> None:
    async def test(rotations: Rotations) -> None:
        rotation = await rotations.request(promote(), None, None)
        view = await rotations.producer("local")
        assert view.rotation is not None
        assert view.rotation.id == rotation.id
        await world.end_of(rotation.id)
        view = await rotations.producer("local")
        assert view.rotation is None
        assert view.last is not None
        assert view.last.state is State.DONE
        assert view.chain_view is not None
        assert view.chain_view.row_keys == (NEW,)
        for api in world.apis:
            api.up = False
        view = await rotations.producer("local")
        assert view.chain_view is None

    live(world, test)


# -- how things stand ------------------------------------------------------------------------------------------


def test_who_asks_how_things_stand_is_not_kept_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """API nodes that answer each question late: what is not known in five seconds is said to be unknown."""

    async def late(_: object) -> None:
        await asyncio.sleep(18)

    async def ask(rotations: Rotations) -> None:
        well = await rotations.producer("local")
        assert (well.chain_view is not None, well.problem) == (True, "")
        monkeypatch.setattr(Inspector, "permission", late)
        began = asyncio.get_running_loop().time()
        view = await rotations.producer("local")
        assert view.findings is None
        assert view.chain_view is not None  # what came in time is shown
        monkeypatch.setattr(module, "chain_view", late)
        view = await rotations.producer("local")
        assert (view.chain_view, view.problem) == (None, "no API node has told it all within 5 s")
        assert len(view.apis) == len(well.apis)
        assert asyncio.get_running_loop().time() - began < 11

    live(world, ask)
