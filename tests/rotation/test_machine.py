"""The machine of a rotation: each legal way by example, each illegal order, and the table of all its changes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rig import two_nodes

from signer.errors import RotationError
from signer.rotation import machine
from signer.rotation.entry import Event
from signer.rotation.finding import Finding, Level
from signer.rotation.machine import (
    ELECTION_BLOCKS,
    HIDDEN_BLOCKS,
    MAX_TRANSACTIONS,
    SILENT_NODE_S,
    SILENT_SLOTS,
    Effect,
    Facts,
)
from signer.rotation.rotation import (
    SUCCESS,
    TERMINAL,
    Kind,
    Purpose,
    Request,
    Rotation,
    SignedTransaction,
    State,
    VerifiedBlock,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.antelope.keys import PublicKey
    from signer.rotation.entry import Entry
    from signer.rotation.machine import Change

OLD, NEW, OTHER = two_nodes.A[1], two_nodes.B[1], two_nodes.A[2]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
#: Blocks: when the transaction is signed, until when a block takes it, and how far irreversibility is behind the head.
SIGNED_AT, LIFETIME, LAG = 1000, 100, 10
REQUEST = Request(Kind.PROMOTE, "local", "b", "alice")
WARNING = Finding("behind", Level.WARNING, "b is 3 blocks behind", "wait")
BLOCKER = Finding("probe", Level.BLOCKER, "the target key cannot sign", "look at the token")


def time_of(block: int) -> datetime:
    """Return the timestamp of a block of a chain that misses none."""
    return NOW + timedelta(milliseconds=500) * block


def keys(*names: PublicKey) -> frozenset[PublicKey]:
    return frozenset(names)


def block(number: int) -> VerifiedBlock:
    return VerifiedBlock(number, f"{number:064x}", time_of(number), f"SIG_R1_{number}")


def look(head: int, row: PublicKey | frozenset[PublicKey] | None = OLD, **more: Any) -> Facts:  # noqa: ANN401 - any field
    """What a healthy chain shows at block `head`."""
    plain = {"active": keys(OLD), "unfit": "", "target_silent_s": 0.0}
    return Facts(
        now=time_of(head),
        head_number=head,
        irreversible_number=head - LAG,
        irreversible_time=time_of(head - LAG),
        row_keys=row if row is None or isinstance(row, frozenset) else keys(row),
        **{"row_agreed": True, **plain, **more},
    )


def transaction(head: int, purpose: Purpose = Purpose.REGISTER) -> SignedTransaction:
    return SignedTransaction(
        purpose,
        b"",
        "SIG_R1_",
        two_nodes.ROTATION,
        f"{head:064x}",
        time_of(head + LIFETIME),
        head,
        time_of(head),
    )


#: The first block whose irreversibility shows that the first transaction is in no later one.
EXPIRED = SIGNED_AT + LIFETIME + LAG + 1


#: The state before, on the shortest way.
_BEFORE: dict[State, State] = {
    State.PREFLIGHT: State.PLANNED,
    State.REFUSED: State.PREFLIGHT,
    State.SIGNED: State.PREFLIGHT,
    State.ABORTED: State.SIGNED,
    State.FAILED: State.SIGNED,
    State.SUPERSEDED: State.SIGNED,
    State.REGISTERED: State.SIGNED,
    State.UNSCHEDULED: State.REGISTERED,
    State.RETURNING: State.REGISTERED,
    State.RETURNED: State.RETURNING,
    State.PROPOSED: State.REGISTERED,
    State.PENDING: State.PROPOSED,
    State.ACTIVE: State.PENDING,
    State.VERIFIED: State.ACTIVE,
    State.DONE: State.VERIFIED,
}
#: What is seen then.
_SHOWN: dict[State, Facts] = {
    State.SUPERSEDED: look(EXPIRED, OTHER),
    State.REGISTERED: look(1001, NEW),
    State.UNSCHEDULED: look(1001 + LAG, NEW, active=keys()),
    State.RETURNING: look(1002, NEW, target_silent_s=SILENT_NODE_S),
    State.PROPOSED: look(1002, NEW, proposed=keys(NEW)),
    State.PENDING: look(1003, NEW, pending=keys(NEW)),
    State.ACTIVE: look(1004, NEW, active=keys(NEW)),
    State.VERIFIED: look(1005, NEW, active=keys(NEW), proof=block(1005)),
    State.DONE: look(1005 + LAG, NEW, active=keys(NEW), verified_dropped=False),
}


@dataclass
class Story:
    """A rotation and what has happened to it."""

    rotation: Rotation
    entries: list[Entry] = field(default_factory=list)

    @classmethod
    def planned(cls, *, needs_approval: bool = False, **request: Any) -> Story:  # noqa: ANN401 - any field
        """Return a rotation that was just asked for."""
        return cls(
            Rotation(
                7,
                replace(REQUEST, **request),
                two_nodes.PRODUCER,
                "rotate",
                NEW,
                NOW,
                State.PLANNED,
                NOW,
                needs_approval=needs_approval,
                reached={State.PLANNED: NOW},
            )
        )

    @classmethod
    def at(cls, state: State, **request: Any) -> Story:  # noqa: ANN401 - any field
        """Return a rotation that came to `state` by the shortest way, at block 1010 at most if it is live."""
        if state is State.PLANNED:
            return cls.planned(**request)
        if state is State.APPROVAL:
            return cls.planned(needs_approval=True, **request).go(state)
        return cls.at(_BEFORE[state], **request).go(state)

    def go(self, state: State) -> Story:  # noqa: PLR0911 - one for each way
        """Take the shortest way from the state before."""
        rotation = self.rotation
        match state:
            case State.APPROVAL | State.PREFLIGHT:
                return self.take(machine.begin(rotation, NOW))
            case State.REFUSED:
                return self.take(machine.checked(rotation, [BLOCKER], (OLD,), "a", NOW))
            case State.SIGNED:
                return self.take(machine.checked(rotation, [], (OLD,), "a", NOW)).sign(SIGNED_AT)
            case State.ABORTED:
                return self.abort().see(look(EXPIRED))
            case State.FAILED:
                return self.take(machine.hopeless(rotation, "no such permission", NOW))
            case State.RETURNED:
                self.sign(EXPIRED, Purpose.RETURN).see(look(1200))
                return self.see(look(1400, proof=block(1399)))
            case _:
                return self.see(_SHOWN[state])

    def take(self, change: Change | None) -> Story:
        """Take what a function of the machine returned: a change."""
        assert change is not None
        assert change.rotation.state is change.entry.state
        assert change.entry.text
        self.rotation = change.rotation
        self.entries.append(change.entry)
        return self

    def sign(self, head: int, purpose: Purpose = Purpose.REGISTER) -> Story:
        """Sign a transaction at block `head`."""
        return self.take(machine.signed(self.rotation, transaction(head, purpose), time_of(head)))

    def see(self, facts: Facts) -> Story:
        """Take a look until nothing changes any more."""
        for _ in State:  # each at most once
            if (change := machine.observe(self.rotation, facts)) is None:
                return self
            self.take(change)
        raise AssertionError(f"changes without end in {self.rotation.state}")

    def abort(self) -> Story:
        """Let a person ask for the end."""
        return self.take(machine.ask_abort(self.rotation, "carol", NOW))

    @property
    def state(self) -> State:
        """How far it is."""
        return self.rotation.state

    @property
    def events(self) -> list[Event]:
        """What was written down."""
        return [entry.event for entry in self.entries]

    @property
    def effect(self) -> Effect:
        """What is to be done."""
        return machine.effect(self.rotation)


# -- the way of a promotion -------------------------------------------------------------------------------


_WAY = {
    State.PLANNED, State.PREFLIGHT, State.SIGNED, State.REGISTERED, State.PROPOSED, State.PENDING, State.ACTIVE,
    State.VERIFIED, State.DONE,
}  # fmt: skip


def test_promotion() -> None:
    """Each state, what is to be done in it, and what follows."""
    story = Story.planned()
    assert story.effect is Effect.BEGIN
    story.take(machine.begin(story.rotation, NOW))
    assert (story.state, story.effect) == (State.PREFLIGHT, Effect.CHECK)
    story.take(machine.checked(story.rotation, [], (OLD,), "a", NOW))
    assert (story.state, story.effect) == (State.PREFLIGHT, Effect.CHECK)
    story.sign(SIGNED_AT)
    assert (story.state, story.effect) == (State.SIGNED, Effect.PUSH)
    story.take(machine.answered(story.rotation, accepted=True, text="taken", now=time_of(1001)))
    story.see(look(1001, OLD))
    assert (story.state, story.effect) == (State.SIGNED, Effect.PUSH)
    story.see(look(1002, NEW))
    assert (story.state, story.effect) == (State.REGISTERED, Effect.OBSERVE)
    story.see(look(1060, NEW, proposed=keys(NEW)))
    assert (story.state, story.effect) == (State.PROPOSED, Effect.OBSERVE)
    story.see(look(1070, NEW, pending=keys(NEW)))
    assert (story.state, story.effect) == (State.PENDING, Effect.OBSERVE)
    story.see(look(1080, NEW, active=keys(NEW)))
    assert (story.state, story.effect) == (State.ACTIVE, Effect.OBSERVE)
    story.see(look(1081, NEW, active=keys(NEW), proof=block(1081)))
    assert (story.state, story.effect) == (State.VERIFIED, Effect.OBSERVE)
    assert (
        story.see(look(1081 + LAG - 1, NEW, active=keys(NEW), verified_dropped=False)).state is State.VERIFIED
    )
    story.see(look(1081 + LAG, NEW, active=keys(NEW), verified_dropped=False, missed_slots=0))
    assert (story.state, story.effect) == (State.DONE, Effect.NONE)

    assert story.events == [
        Event.CHECKING, Event.CHECKED, Event.SIGNED, Event.ACCEPTED, Event.REGISTERED, Event.PROPOSED,
        Event.PENDING, Event.ACTIVE, Event.VERIFIED, Event.DONE,
    ]  # fmt: skip
    assert {entry.by for entry in story.entries} == {machine.SIGNER}
    assert story.rotation.verified == block(1081)
    assert story.rotation.safe_to_stop == "a"
    assert story.rotation.missed_slots == 0
    assert list(story.rotation.reached) == [each for each in State if each in _WAY]
    assert story.rotation.reached[State.ACTIVE] == time_of(1080)


def test_cycle_has_no_node_to_stop() -> None:
    story = Story.planned(kind=Kind.CYCLE, node="a")
    story.take(machine.begin(story.rotation, NOW))
    story.take(machine.checked(story.rotation, [], (OLD,), "a", NOW)).sign(SIGNED_AT)
    story.see(look(1001, NEW)).see(look(1002, NEW, pending=keys(NEW)))
    story.see(look(1003, NEW, active=keys(NEW), proof=block(1003)))
    assert story.see(look(1020, NEW, active=keys(NEW), verified_dropped=False)).state is State.DONE
    assert story.rotation.safe_to_stop is None


def test_straight_to_active() -> None:
    """A runner that was away sees only the end; the proof is a block after the one at which it looked."""
    story = Story.at(State.SIGNED)
    late = look(2000, NEW, active=keys(NEW), proof=block(1990))
    assert story.see(late).state is State.REGISTERED  # its head is remembered: a proof is later
    assert (
        story.see(look(2000 + HIDDEN_BLOCKS, NEW, active=keys(NEW), proof=block(2001))).state is State.ACTIVE
    )
    assert (
        story.see(look(2001 + HIDDEN_BLOCKS, NEW, active=keys(NEW), proof=block(2001 + HIDDEN_BLOCKS))).state
        is State.VERIFIED
    )
    assert story.events[-3:] == [Event.REGISTERED, Event.ACTIVE, Event.VERIFIED]


@pytest.mark.parametrize("way", ["pending", "proposed"])
def test_a_key_that_is_active_from_before_proves_nothing_while_another_is_on_its_way(way: str) -> None:
    """The row named the old key for a minute; its schedule still comes, and the new key is the one from before."""
    story = Story.at(State.SIGNED).see(look(1001, NEW, active=keys(NEW), **{way: keys(OLD)}))
    assert (
        story.see(look(1100, NEW, active=keys(NEW), proof=block(1050), **{way: keys(OLD)})).state
        is State.REGISTERED
    )
    story.see(look(1200, NEW, active=keys(OLD), proof=block(1050)))
    assert (
        story.see(look(1210, NEW, active=keys(OLD), proof=block(1050), pending=keys(NEW))).state
        is State.PENDING
    )
    assert story.see(look(1220, NEW, active=keys(NEW), proof=block(1050))).state is State.ACTIVE
    assert story.see(look(1221, NEW, active=keys(NEW), proof=block(1221))).state is State.VERIFIED


def test_a_key_that_is_active_from_before_waits_for_what_savanna_hides() -> None:
    story = Story.at(State.REGISTERED)
    hidden = 1001 + HIDDEN_BLOCKS
    assert story.see(look(hidden - 1, NEW, active=keys(NEW))).state is State.REGISTERED
    assert story.see(look(hidden, NEW, active=keys(NEW))).state is State.ACTIVE


def test_the_finalizer_half_comes_before_done() -> None:
    story = Story.at(State.VERIFIED)
    shown = {"active": keys(NEW), "verified_dropped": False}
    assert story.see(look(1100, NEW, finalizer=False, **shown)).state is State.VERIFIED
    assert story.rotation.safe_to_stop is None
    assert story.see(look(1101, NEW, finalizer=True, **shown)).state is State.DONE
    assert story.rotation.safe_to_stop == "a"


@pytest.mark.parametrize(
    "shown", [{"row": OLD}, {"row": OTHER}, {"row": None}, {"pending": keys(OLD)}, {"proposed": keys(OLD)}]
)
def test_done_names_no_node_to_stop_while_another_key_is_on_its_way(shown: dict[str, Any]) -> None:
    """Somebody registered a key after the proof: production is proved, but the old node may be needed."""
    story = Story.at(State.VERIFIED)
    assert (
        story.see(look(1100, **{"row": NEW, "active": keys(NEW), "verified_dropped": False, **shown})).state
        is State.DONE
    )
    assert story.rotation.safe_to_stop is None
    assert "stop no node" in story.rotation.reason


def test_done_needs_a_look_at_the_block_and_a_row_that_is_agreed() -> None:
    story = Story.at(State.VERIFIED)
    assert story.see(look(1100, NEW, active=keys(NEW))).state is State.VERIFIED
    assert (
        story.see(look(1100, NEW, active=keys(NEW), verified_dropped=False, row_agreed=False)).state
        is State.VERIFIED
    )


# -- a producer that is not elected -----------------------------------------------------------------------


def test_unscheduled() -> None:
    story = Story.at(State.REGISTERED)
    assert story.see(look(1000 + LAG, NEW, active=keys())).state is State.REGISTERED
    assert story.see(look(1001 + LAG, NEW, active=keys(), row_agreed=False)).state is State.REGISTERED
    assert story.see(look(1001 + LAG, NEW, active=keys())).state is State.UNSCHEDULED
    assert story.rotation.safe_to_stop == "a"
    assert story.state in SUCCESS


def test_unscheduled_waits_for_a_proposal_that_savanna_hides() -> None:
    story = Story.at(State.REGISTERED)
    assert story.see(look(1000 + HIDDEN_BLOCKS, NEW, active=keys(), hidden=True)).state is State.REGISTERED
    assert story.see(look(1001 + HIDDEN_BLOCKS, NEW, active=keys(), hidden=True)).state is State.UNSCHEDULED


def test_a_producer_that_was_unregistered_waits_for_the_next_election() -> None:
    story = Story.planned(reactivate=True)
    story.take(machine.begin(story.rotation, NOW))
    story.take(machine.checked(story.rotation, [], (), None, NOW)).sign(SIGNED_AT)
    story.see(look(1001, NEW, active=keys()))
    assert story.see(look(1000 + ELECTION_BLOCKS, NEW, active=keys())).state is State.REGISTERED
    assert story.see(look(1001 + ELECTION_BLOCKS, NEW, active=keys())).state is State.UNSCHEDULED


@pytest.mark.parametrize("state", [State.PROPOSED, State.PENDING, State.ACTIVE])
def test_a_producer_that_is_voted_out_on_the_way_is_unscheduled(state: State) -> None:
    assert Story.at(state).see(look(1200, NEW, active=keys())).state is State.UNSCHEDULED


# -- preflight --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_", [{}, {"emergency": True}, {"unattended": True}, {"accept_warnings": True}]
)
def test_a_blocker_refuses_whoever_asks(request_: dict[str, bool]) -> None:
    story = Story.at(State.PREFLIGHT, **request_)
    story.take(machine.checked(story.rotation, [WARNING, BLOCKER], (OLD,), "a", NOW))
    assert (story.state, story.effect) == (State.REFUSED, Effect.NONE)
    assert story.rotation.reason == BLOCKER.text
    assert story.rotation.findings == (WARNING, BLOCKER)
    assert story.rotation.transactions == ()


@pytest.mark.parametrize(
    ("request_", "after"),
    [
        ({}, State.REFUSED),
        ({"accept_warnings": True}, State.PREFLIGHT),
        ({"emergency": True}, State.PREFLIGHT),
        ({"unattended": True}, State.PREFLIGHT),
    ],
)
def test_a_warning_refuses_those_who_do_not_know_it(request_: dict[str, bool], after: State) -> None:
    story = Story.at(State.PREFLIGHT, **request_)
    story.take(machine.checked(story.rotation, [WARNING], (OLD,), "a", NOW))
    assert story.state is after


def test_preflight_may_be_repeated() -> None:
    """A runner that dies before it has signed looks again; the last look counts."""
    story = Story.at(State.PREFLIGHT)
    story.take(machine.checked(story.rotation, [], (OLD,), "a", NOW))
    story.take(machine.checked(story.rotation, [], (OTHER,), None, NOW))
    assert (story.state, story.rotation.from_key, story.rotation.from_node) == (State.PREFLIGHT, OTHER, None)


# -- persons ----------------------------------------------------------------------------------------------


def test_approval_by_somebody_else() -> None:
    story = Story.at(State.APPROVAL)
    assert story.effect is Effect.WAIT
    with pytest.raises(RotationError, match="somebody else has to approve") as caught:
        machine.approve(story.rotation, "alice", NOW)
    assert caught.value.code == "same-person"
    story.take(machine.approve(story.rotation, "bob", NOW))
    assert (story.state, story.rotation.approved_by, story.entries[-1].by) == (State.PREFLIGHT, "bob", "bob")
    assert story.events == [Event.APPROVAL_AWAITED, Event.APPROVED]
    with pytest.raises(RotationError) as caught:
        machine.approve(story.rotation, "dora", NOW)
    assert caught.value.code == "no-approval"


@pytest.mark.parametrize("state", [each for each in State if each is not State.APPROVAL])
def test_an_emergency_is_approved_afterwards(state: State) -> None:
    """In whatever state it is, also at its end; it changes nothing but the name, and is done once."""
    request = {"emergency": True} if state not in (State.RETURNING, State.RETURNED) else {}
    story = Story.at(state, **request)
    waiting = replace(story.rotation, needs_approval=True, request=replace(REQUEST, emergency=True))
    with pytest.raises(RotationError):
        machine.approve(waiting, "alice", NOW)
    change = machine.approve(waiting, "bob", NOW)
    assert change.entry.event is Event.CONFIRMED
    assert change.rotation == replace(waiting, approved_by="bob")
    with pytest.raises(RotationError):
        machine.approve(change.rotation, "dora", NOW)


def test_an_emergency_does_not_wait_for_its_approval() -> None:
    story = Story.planned(needs_approval=True, emergency=True)
    assert story.take(machine.begin(story.rotation, NOW)).state is State.PREFLIGHT


@pytest.mark.parametrize("state", [State.PLANNED, State.APPROVAL, State.PREFLIGHT])
def test_abort_before_anything_is_signed(state: State) -> None:
    story = Story.at(state).abort()
    assert (story.state, story.rotation.abort_by, story.entries[-1].by) == (State.ABORTED, "carol", "carol")


def test_abort_of_a_transaction_that_expires() -> None:
    """It is sent no more, and nothing else is signed; the end is certain only when no block can hold it."""
    story = Story.at(State.SIGNED).abort()
    assert (story.state, story.effect, story.events[-1]) == (State.SIGNED, Effect.OBSERVE, Event.ABORT_ASKED)
    assert story.see(look(EXPIRED - 1)).state is State.SIGNED
    assert not machine.resign(story.rotation, look(EXPIRED))
    assert story.see(look(EXPIRED)).state is State.ABORTED


def test_abort_of_a_transaction_that_takes_effect() -> None:
    """It goes on: the key is registered, and production will move."""
    story = Story.at(State.SIGNED).abort().see(look(1001, NEW))
    assert story.state is State.REGISTERED
    with pytest.raises(RotationError) as caught:
        story.abort()
    assert caught.value.code == "too-late"
    story.see(look(1002, NEW, pending=keys(NEW))).see(look(1003, NEW, active=keys(NEW), proof=block(1003)))
    assert story.see(look(1020, NEW, active=keys(NEW), verified_dropped=False)).state is State.DONE


def test_abort_does_not_end_a_return() -> None:
    """The transaction that took effect all the same is followed to its end; that of the return too."""
    story = Story.at(State.SIGNED).abort().see(look(1001, NEW))
    story.see(look(1002, NEW, target_silent_s=SILENT_NODE_S)).sign(EXPIRED, Purpose.RETURN)
    assert story.see(look(EXPIRED + EXPIRED, NEW)).state is State.RETURNING
    assert machine.resign(story.rotation, look(EXPIRED + EXPIRED, NEW))


def test_abort_is_asked_once() -> None:
    story = Story.at(State.SIGNED).abort()
    with pytest.raises(RotationError) as caught:
        story.abort()
    assert caught.value.code == "aborting"


@pytest.mark.parametrize("state", [each for each in State if each not in TERMINAL])
def test_an_emergency_takes_the_place_of_any_live_rotation(state: State) -> None:
    story = Story.at(state)
    story.take(machine.supersede(story.rotation, "carol", NOW))
    assert (story.state, story.entries[-1].by) == (State.SUPERSEDED, "carol")


# -- transactions that do not get through -----------------------------------------------------------------


def test_a_transaction_that_expires_is_followed_by_another() -> None:
    """Only when it can be in no block any more; after the third the rotation fails, and says what the node said."""
    story = Story.at(State.SIGNED)
    story.take(machine.answered(story.rotation, accepted=False, text="billed CPU exceeded", now=NOW))
    head = SIGNED_AT
    for number in range(1, MAX_TRANSACTIONS + 1):
        dead = head + LIFETIME + LAG + 1
        story.see(look(dead - 1))
        assert not machine.resign(story.rotation, look(dead - 1))
        assert len(story.rotation.transactions) == number
        story.see(look(dead))
        if number < MAX_TRANSACTIONS:
            assert machine.resign(story.rotation, look(dead))
            head = dead
            story.sign(head)
            story.take(machine.answered(story.rotation, accepted=False, text=f"refused {number}", now=NOW))
    assert story.state is State.FAILED
    assert not machine.resign(story.rotation, look(dead))
    assert story.rotation.reason == "3 transactions expired without effect; the last answer was: refused 2"


def test_a_fourth_transaction_is_refused() -> None:
    story = Story.at(State.SIGNED).sign(EXPIRED).sign(2 * EXPIRED)
    with pytest.raises(RotationError):
        story.sign(3 * EXPIRED)


def test_the_second_transaction_gets_through() -> None:
    story = Story.at(State.SIGNED).see(look(EXPIRED)).sign(EXPIRED).see(look(EXPIRED + 1, NEW))
    assert story.state is State.REGISTERED


def test_nothing_is_signed_again_on_doubtful_facts() -> None:
    """A row that is not agreed, that somebody changed, or that is there already; a node that is behind."""
    rotation = Story.at(State.SIGNED).rotation
    assert machine.resign(rotation, look(EXPIRED))
    assert not machine.resign(rotation, look(EXPIRED, row_agreed=False))
    assert not machine.resign(rotation, look(EXPIRED, OTHER))
    assert not machine.resign(rotation, look(EXPIRED, NEW))
    assert not machine.resign(replace(rotation, head_seen=EXPIRED + 1), look(EXPIRED))


def test_answers_are_written_once() -> None:
    """The first acceptance counts; a refusal after it says nothing new, one before it is kept for a person."""
    story = Story.at(State.SIGNED)
    story.take(machine.answered(story.rotation, accepted=False, text="busy", now=NOW))
    assert machine.answered(story.rotation, accepted=False, text="busy", now=NOW) is None
    story.take(machine.answered(story.rotation, accepted=True, text="taken", now=time_of(5)))
    assert machine.answered(story.rotation, accepted=True, text="taken", now=time_of(6)) is None
    assert machine.answered(story.rotation, accepted=False, text="expired", now=time_of(6)) is None
    last = story.rotation.transaction
    assert last is not None
    assert (last.pushed_at, last.answer) == (time_of(5), "taken")
    assert story.events[-2:] == [Event.REJECTED, Event.ACCEPTED]


def test_a_transaction_that_nobody_takes_is_hopeless() -> None:
    story = Story.at(State.SIGNED)
    story.take(machine.hopeless(story.rotation, "no such permission", NOW))
    assert (story.state, story.rotation.reason) == (State.FAILED, "no such permission")
    story = Story.at(State.SIGNED).abort()
    assert story.take(machine.hopeless(story.rotation, "no such permission", NOW)).state is State.ABORTED


def test_a_transaction_that_somebody_took_is_not_hopeless() -> None:
    """Whatever others say of it afterwards: it may be in a block any time until it expires."""
    story = Story.at(State.SIGNED)
    story.take(machine.answered(story.rotation, accepted=True, text="taken", now=NOW))
    with pytest.raises(RotationError):
        machine.hopeless(story.rotation, "no such permission", NOW)
    dropped = Story.at(State.REGISTERED).see(look(1002))
    with pytest.raises(RotationError):
        machine.hopeless(dropped.rotation, "no such permission", NOW)


@pytest.mark.parametrize("state", [State.PREFLIGHT, State.SIGNED])
def test_a_transaction_that_cannot_be_signed_ends_the_rotation(state: State) -> None:
    story = Story.at(state)
    story.take(machine.unsignable(story.rotation, "no rotation key works", NOW))
    assert (story.state, story.rotation.reason) == (State.FAILED, "no rotation key works")


# -- somebody else changes the row ------------------------------------------------------------------------

_ROW_MATTERS = [State.REGISTERED, State.PROPOSED, State.PENDING, State.ACTIVE]


@pytest.mark.parametrize("row", [keys(OTHER), keys(), keys(NEW, OTHER), None])
@pytest.mark.parametrize("state", [State.SIGNED, *_ROW_MATTERS])
def test_superseded(state: State, row: frozenset[PublicKey] | None) -> None:
    """Not before the transaction can be in no block: it might still take effect, and the row be ours after all."""
    story = Story.at(state)
    assert story.see(look(EXPIRED - 1, row)).state is state
    assert story.see(look(EXPIRED, row)).state is State.SUPERSEDED
    assert "somebody else changed" in story.rotation.reason


@pytest.mark.parametrize("state", _ROW_MATTERS)
def test_somebody_else_changes_the_row_for_a_moment(state: State) -> None:
    story = Story.at(state).see(look(1020, OTHER))
    assert (story.state, story.events[-1]) == (state, Event.REJECTED)
    assert "waits until the transaction can be in no block" in story.rotation.reason
    story.see(look(1030, NEW, active=keys(NEW)))
    assert story.state in (state, State.ACTIVE)


def test_a_person_who_puts_the_old_key_back_is_not_overruled() -> None:
    """What looks like a fork at first is not answered with another transaction when the first one has expired."""
    story = Story.at(State.REGISTERED).see(look(1003, OLD))
    assert (story.state, story.effect) == (State.SIGNED, Effect.PUSH)
    assert not machine.resign(story.rotation, look(EXPIRED))
    with pytest.raises(RotationError):
        story.sign(EXPIRED)
    assert story.see(look(EXPIRED)).state is State.SUPERSEDED
    assert "changed it back, or a fork" in story.rotation.reason


@pytest.mark.parametrize("state", _ROW_MATTERS)
def test_the_old_key_is_back_when_the_transaction_has_expired(state: State) -> None:
    story = Story.at(state).see(look(EXPIRED, OLD))
    assert story.state is State.SUPERSEDED


def test_a_block_of_ours_is_proof_whatever_was_registered_since() -> None:
    story = Story.at(State.ACTIVE).see(look(EXPIRED, OTHER, active=keys(NEW), proof=block(1005)))
    assert story.state is State.VERIFIED


@pytest.mark.parametrize("state", [State.SIGNED, *_ROW_MATTERS])
def test_a_row_that_is_not_agreed_says_nothing(state: State) -> None:
    story = Story.at(state)
    for row in (OLD, NEW, OTHER):
        assert machine.observe(story.rotation, look(EXPIRED, row, row_agreed=False)) is None


@pytest.mark.parametrize(
    "state", [State.REGISTERED, State.PROPOSED, State.PENDING, State.ACTIVE, State.VERIFIED]
)
def test_a_node_that_is_behind_says_nothing(state: State) -> None:
    """What it shows is the past: the old row, the old schedule."""
    rotation = Story.at(state).rotation
    assert rotation.head_seen > SIGNED_AT
    late = {"proof": block(1005), "verified_dropped": True, "silent_slots": SILENT_SLOTS}
    for row in (OLD, NEW, OTHER):
        facts = replace(look(rotation.head_seen - 1, row, **late), irreversible_time=time_of(EXPIRED))
        assert machine.observe(rotation, facts) is None


# -- forks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", _ROW_MATTERS)
def test_a_fork_drops_the_registration(state: State) -> None:
    """The same transaction is sent again, and takes effect."""
    story = Story.at(state).see(look(1010, OLD))
    assert (story.state, story.effect, story.rotation.registered_head) == (State.SIGNED, Effect.PUSH, 0)
    story.see(look(1012, NEW))
    assert (story.state, story.rotation.registered_head) == (State.REGISTERED, 1012)
    assert len(story.rotation.transactions) == 1


def test_a_fork_drops_the_registration_that_was_to_be_aborted() -> None:
    """It is not sent again; if no block takes it any more, the old key may have been put back by somebody."""
    story = Story.at(State.SIGNED).abort().see(look(1001, NEW)).see(look(1002, OLD))
    assert (story.state, story.effect) == (State.SIGNED, Effect.OBSERVE)
    assert story.see(look(EXPIRED)).state is State.SUPERSEDED


def test_a_fork_drops_the_verified_block() -> None:
    """The proof is forgotten; a later block is another."""
    story = Story.at(State.VERIFIED)
    story.see(look(1010, NEW, active=keys(NEW), verified_dropped=True, proof=block(1005)))
    assert (story.state, story.rotation.verified) == (State.ACTIVE, None)
    story.see(look(1011, NEW, active=keys(NEW), proof=block(1011)))
    assert (story.state, story.rotation.verified) == (State.VERIFIED, block(1011))
    assert story.see(look(1011 + LAG, NEW, active=keys(NEW), verified_dropped=False)).state is State.DONE


# -- the new node does not produce ------------------------------------------------------------------------

SILENT = {"target_silent_s": SILENT_NODE_S}


@pytest.mark.parametrize("state", _ROW_MATTERS)
def test_return_to_the_old_node(state: State) -> None:
    """The target is gone before or after it could produce; the old key comes back, once the first one is past."""
    story = (
        Story.at(state).see(look(1010, NEW, target_silent_s=SILENT_NODE_S - 1)).see(look(1011, NEW, **SILENT))
    )
    assert (story.state, story.effect) == (State.RETURNING, Effect.OBSERVE)
    assert not machine.resign(story.rotation, look(EXPIRED - 1, NEW))
    assert machine.resign(story.rotation, look(EXPIRED, NEW))
    story.sign(EXPIRED, Purpose.RETURN)
    assert (story.state, story.effect) == (State.RETURNING, Effect.PUSH)
    story.take(machine.answered(story.rotation, accepted=True, text="taken", now=NOW))
    story.see(look(1150, OLD, active=keys(NEW)))
    assert (story.state, story.effect) == (State.RETURNING, Effect.OBSERVE)
    back = 1150 + LIFETIME + LAG
    for underway in ({"active": keys(NEW)}, {"pending": keys(NEW)}, {"proposed": keys(NEW)}):
        assert story.see(look(back, OLD, **underway)).state is State.RETURNING
    assert story.see(look(back, OLD)).state is State.RETURNING
    assert story.see(look(back + 1, OLD, proof=block(back + 1))).state is State.RETURNED
    assert story.rotation.verified == block(back + 1)
    assert story.rotation.safe_to_stop is None
    assert Event.RETURN_SIGNED in story.events
    assert [each.purpose for each in story.rotation.transactions] == [Purpose.REGISTER, Purpose.RETURN]


def test_a_round_without_a_block_is_silence() -> None:
    story = Story.at(State.ACTIVE)
    assert story.see(look(1040, NEW, active=keys(NEW), silent_slots=SILENT_SLOTS - 1)).state is State.ACTIVE
    assert story.see(look(1041, NEW, active=keys(NEW), silent_slots=SILENT_SLOTS)).state is State.RETURNING


@pytest.mark.parametrize(
    ("request_", "before", "unfit", "reason"),
    [
        ({"emergency": True}, {}, "", "this is an emergency"),
        ({"may_return": False}, {}, "", "the request forbids it"),
        ({}, {"from_keys": (OLD, OTHER)}, "", "the row had 2 keys"),
        ({}, {"from_node": None}, "", "no node of this signer holds the old key"),
        ({}, {}, "a is 40 s behind", "a is 40 s behind"),
    ],
)
@pytest.mark.parametrize("shown", [SILENT, {"silent_slots": SILENT_SLOTS}])
def test_return_refused(
    request_: dict[str, bool], before: dict[str, Any], unfit: str, reason: str, shown: dict[str, Any]
) -> None:
    """The reason is written down once, and the rotation waits for the new node."""
    story = Story.at(State.ACTIVE, **request_)
    story.rotation = replace(story.rotation, **before)
    active = {"active": keys(NEW), "unfit": unfit, **shown}
    story.see(look(1040, NEW, **active))
    assert (story.state, story.events[-1]) == (State.ACTIVE, Event.REJECTED)
    assert story.rotation.reason.endswith(f"; the old key is not registered again: {reason}")
    written = len(story.entries)
    later = {each: value + 1 for each, value in shown.items()}
    story.see(look(1041, NEW, **{**active, **later}))
    assert len(story.entries) == written
    assert story.see(look(1042, NEW, active=keys(NEW), proof=block(1042))).state is State.VERIFIED


def test_nobody_looked_at_the_old_node() -> None:
    story = Story.at(State.ACTIVE)
    facts = Facts(NOW, 1040, 1030, time_of(1030), keys(NEW), row_agreed=True, silent_slots=SILENT_SLOTS)
    facts = replace(facts, active=keys(NEW))
    assert story.see(facts).state is State.ACTIVE
    assert story.rotation.reason.endswith("nobody looked")


def test_a_return_is_called_off_when_the_old_node_dies_before_it_is_signed() -> None:
    story = Story.at(State.RETURNING).see(look(EXPIRED, NEW, unfit="a does not answer"))
    assert story.state is State.REGISTERED
    assert story.rotation.reason == "the old key is not registered again: a does not answer"
    assert (
        story.see(look(1150, NEW, pending=keys(NEW)))
        .see(look(1160, NEW, active=keys(NEW), proof=block(1160)))
        .state
        is State.VERIFIED
    )


def test_a_return_is_not_signed_on_doubtful_facts() -> None:
    """Not over a row that somebody changed; where a fork took the new key away, the old one is made certain."""
    rotation = Story.at(State.RETURNING).rotation
    assert not machine.resign(rotation, look(EXPIRED, NEW, row_agreed=False))
    assert not machine.resign(rotation, look(EXPIRED, OTHER))
    assert not machine.resign(replace(rotation, head_seen=EXPIRED + 1), look(EXPIRED, NEW))
    assert machine.resign(rotation, look(EXPIRED, OLD))
    assert Story(rotation).see(look(EXPIRED - 1, OTHER)).state is State.RETURNING
    assert Story(rotation).see(look(EXPIRED, OTHER)).state is State.SUPERSEDED


def returning() -> Story:
    """A return whose transaction is signed at EXPIRED."""
    return Story.at(State.RETURNING).sign(EXPIRED, Purpose.RETURN)


RETURN_EXPIRED = EXPIRED + LIFETIME + LAG + 1


def test_transactions_of_a_return_expire() -> None:
    story, head = returning(), EXPIRED
    for number in range(1, MAX_TRANSACTIONS + 1):
        dead = head + LIFETIME + LAG + 1
        assert not machine.resign(story.rotation, look(dead - 1, NEW))
        story.see(look(dead, NEW))
        if number < MAX_TRANSACTIONS:
            assert machine.resign(story.rotation, look(dead, NEW))
            head = dead
            story.sign(head, Purpose.RETURN)
    assert story.state is State.FAILED
    assert story.rotation.reason == (
        "3 transactions expired without effect; no API node gave an answer; "
        f"the old key is not registered again, {NEW} stays"
    )


@pytest.mark.parametrize("registered", [True, False])
def test_somebody_else_changes_the_row_during_a_return(*, registered: bool) -> None:
    story = returning()
    if registered:
        story.see(look(EXPIRED + 1, OLD))
    assert story.see(look(RETURN_EXPIRED - 1, OTHER)).state is State.RETURNING
    assert story.see(look(RETURN_EXPIRED, OTHER)).state is State.SUPERSEDED


def test_a_fork_drops_the_registration_of_a_return() -> None:
    story = returning().see(look(EXPIRED + 1, OLD)).see(look(EXPIRED + 2, NEW))
    assert (story.state, story.effect) == (State.RETURNING, Effect.PUSH)
    assert (
        story.see(look(EXPIRED + 3, OLD))
        .see(look(RETURN_EXPIRED + 20, OLD, proof=block(RETURN_EXPIRED)))
        .state
        is State.RETURNED
    )


def test_the_new_key_is_back_when_the_return_has_expired() -> None:
    story = returning().see(look(EXPIRED + 1, OLD)).see(look(RETURN_EXPIRED, NEW))
    assert story.state is State.SUPERSEDED


def test_a_return_waits_for_the_schedule_that_brings_the_old_key_back() -> None:
    """Blocks that the old node signed before the schedule with the new key came in prove nothing of afterwards."""
    story = returning().see(look(EXPIRED + 1, OLD, pending=keys(NEW)))
    story.see(look(1250, OLD, active=keys(NEW), pending=keys(OLD), proof=block(EXPIRED + 5)))
    assert story.events[-1] is Event.ACTIVE
    assert story.see(look(1300, OLD, proof=block(EXPIRED + 5))).state is State.RETURNING
    assert story.see(look(1301, OLD, proof=block(1301))).state is State.RETURNED


@pytest.mark.parametrize("way", ["active", "pending", "proposed"])
def test_a_return_waits_while_the_new_key_is_in_a_schedule(way: str) -> None:
    """Also where the old node has produced all the time."""
    story = returning().see(look(EXPIRED + 1, OLD))
    late = RETURN_EXPIRED + HIDDEN_BLOCKS
    story.see(look(late, OLD, **{way: keys(NEW)}, proof=block(late - 1)))
    assert story.state is State.RETURNING


def test_a_return_waits_until_its_transaction_can_be_in_no_other_block() -> None:
    """A fork may still take it away, and nobody would look any more."""
    story = returning().see(look(EXPIRED + 1, OLD))
    assert story.see(look(RETURN_EXPIRED - 1, OLD, proof=block(EXPIRED + 50))).state is State.RETURNING
    assert story.see(look(RETURN_EXPIRED, OLD, proof=block(EXPIRED + 50))).state is State.RETURNED


def test_a_return_that_is_registered_signs_nothing_more() -> None:
    story = returning().see(look(EXPIRED + 1, OLD))
    assert not machine.resign(story.rotation, look(RETURN_EXPIRED, NEW))


def test_a_return_waits_for_what_savanna_hides() -> None:
    story = returning().see(look(RETURN_EXPIRED, OLD))
    hidden = RETURN_EXPIRED + HIDDEN_BLOCKS
    assert story.see(look(hidden - 1, OLD, proof=block(hidden - 1))).state is State.RETURNING
    assert story.see(look(hidden, OLD, proof=block(hidden))).state is State.RETURNED


def test_a_return_of_a_producer_that_is_not_elected_any_more() -> None:
    story = (
        returning()
        .see(look(EXPIRED + 1, OLD, active=keys()))
        .see(look(RETURN_EXPIRED + 50, OLD, active=keys()))
    )
    assert story.state is State.RETURNED
    assert "is not elected" in story.rotation.reason


def test_a_return_whose_transaction_is_refused_or_cannot_be_signed() -> None:
    for end in (machine.hopeless, machine.unsignable):
        story = returning()
        story.take(end(story.rotation, "no", NOW))
        assert story.state is State.FAILED
        assert story.rotation.reason == f"no; the old key is not registered again, {NEW} stays"


def test_a_return_is_not_hopeless_before_it_is_signed_or_when_it_is_registered() -> None:
    for story in (Story.at(State.RETURNING), returning().see(look(EXPIRED + 1, OLD))):
        with pytest.raises(RotationError):
            machine.hopeless(story.rotation, "no", NOW)


# -- false answers ----------------------------------------------------------------------------------------


def test_a_block_that_somebody_else_signed_with_our_key_is_said_once() -> None:
    """It proves nothing; the rotation waits for one that we signed."""
    story = Story.at(State.ACTIVE).see(look(1010, NEW, active=keys(NEW), foreign=1009))
    story.see(look(1011, NEW, active=keys(NEW), foreign=1010))
    assert (story.state, story.events.count(Event.REJECTED)) == (State.ACTIVE, 1)
    assert "this signer did not issue: block 1009" in story.rotation.reason
    assert (
        story.see(look(1012, NEW, active=keys(NEW), foreign=1010, proof=block(1012))).state is State.VERIFIED
    )


def test_a_proof_older_than_the_registration_is_none() -> None:
    """The key was in use last week, or an API node shows an old block."""
    story = Story.at(State.ACTIVE)
    for number in (1, 999, story.rotation.registered_head):
        assert story.see(look(1010, NEW, active=keys(NEW), proof=block(number))).state is State.ACTIVE


def test_a_row_that_is_claimed_and_taken_back_signs_nothing_more() -> None:
    """An API node says falsely that the key is registered: the transaction is sent on, and is the only one."""
    story = Story.at(State.SIGNED).see(look(1001, NEW)).see(look(1002, OLD))
    assert story.effect is Effect.PUSH
    assert story.see(look(EXPIRED)).state is State.SUPERSEDED
    assert len(story.rotation.transactions) == 1


# -- what may not be called -------------------------------------------------------------------------------

_CALLS: dict[str, tuple[Callable[[Rotation], object], set[State]]] = {
    "begin": (lambda rotation: machine.begin(rotation, NOW), {State.PLANNED}),
    "approve": (lambda rotation: machine.approve(rotation, "bob", NOW), {State.APPROVAL}),
    "checked": (lambda rotation: machine.checked(rotation, [], (OLD,), "a", NOW), {State.PREFLIGHT}),
    "signed": (
        lambda rotation: machine.signed(rotation, transaction(EXPIRED), NOW),
        {State.PREFLIGHT, State.SIGNED},
    ),
    "signed a return": (
        lambda rotation: machine.signed(rotation, transaction(EXPIRED, Purpose.RETURN), NOW),
        {State.RETURNING},
    ),
    # In `returning` there is one to be refused once it is signed, which the shortest way there has not done.
    "hopeless": (lambda rotation: machine.hopeless(rotation, "no", NOW), {State.SIGNED}),
    "unsignable": (
        lambda rotation: machine.unsignable(rotation, "no", NOW),
        {State.PREFLIGHT, State.SIGNED, State.RETURNING},
    ),
    "ask_abort": (
        lambda rotation: machine.ask_abort(rotation, "carol", NOW),
        {State.PLANNED, State.APPROVAL, State.PREFLIGHT, State.SIGNED},
    ),
    "supersede": (lambda rotation: machine.supersede(rotation, "carol", NOW), set(State) - TERMINAL),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("name", _CALLS)
def test_each_function_in_each_state(name: str, state: State) -> None:
    """Allowed or refused, as the table says; what is refused has changed nothing."""
    call, allowed = _CALLS[name]
    rotation = Story.at(state).rotation
    assert rotation.state is state
    if state in allowed:
        call(rotation)
        return
    with pytest.raises(RotationError):
        call(rotation)


@pytest.mark.parametrize("state", State)
def test_a_look_changes_nothing_before_the_transaction_and_after_the_end(state: State) -> None:
    rotation = Story.at(state).rotation
    if state in TERMINAL or state in (State.PLANNED, State.APPROVAL, State.PREFLIGHT):
        for row in (OLD, NEW, OTHER):
            facts = look(5000, row, proof=block(5000), verified_dropped=True, **SILENT)
            assert machine.observe(rotation, facts) is None
            assert not machine.resign(rotation, facts)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_answer_after_the_end_is_not_written(state: State) -> None:
    rotation = replace(Story.at(state).rotation, transactions=(transaction(SIGNED_AT),))
    assert machine.answered(rotation, accepted=True, text="taken", now=NOW) is None


@pytest.mark.parametrize("state", State)
def test_what_is_to_be_done_in_each_state(state: State) -> None:
    expected = {
        State.PLANNED: Effect.BEGIN,
        State.APPROVAL: Effect.WAIT,
        State.PREFLIGHT: Effect.CHECK,
        State.SIGNED: Effect.PUSH,
        **dict.fromkeys(TERMINAL, Effect.NONE),
    }
    assert machine.effect(Story.at(state).rotation) is expected.get(state, Effect.OBSERVE)
