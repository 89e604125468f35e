"""Which state of a rotation follows which, and what is to be done in each. Pure: no clock, no I/O.

Every function takes a rotation and something that happened and returns the rotation after it with the line for the
journal, or None where nothing changes. What it guarantees:

* At most one transaction is live. A different one is signed only when the last irreversible block's time is past the
  expiration of the one before and the row does not hold its key (`resign`).
* Nothing is concluded from an API node that is behind what was concluded from before (`head_seen`).
* Nothing ends while a transaction of it could still enter a block, except where that changes nothing (`done`,
  `registered-unscheduled`) and where an emergency takes its place.
* Only a block of ours with a signature that we issued makes a rotation `verified`, only its irreversibility `done`.
* The old key is registered again at most once, only for a node that can produce, never in an emergency.
* A person who puts the old key back is not overruled: once the row named the new key, no second transaction registers
  it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from signer.errors import RotationError
from signer.rotation.entry import Entry, Event
from signer.rotation.finding import Level
from signer.rotation.rotation import Purpose, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.rotation.finding import Finding
    from signer.rotation.rotation import Rotation, SignedTransaction, VerifiedBlock

#: Transactions of one purpose before a rotation fails: each lives for a minute at most.
MAX_TRANSACTIONS: Final = 3
#: One round of a producer (config::producer_repetitions, 12 blocks): a node that misses a whole one does not produce.
SILENT_SLOTS: Final = 12
#: A node whose own API is silent for this long, in s, is taken for dead: longer than a restart of its HTTP plugin, far
#: shorter than a change of schedule.
SILENT_NODE_S: Final = 15.0
#: After this many blocks a schedule that was proposed is pending or active: one round until it is pending, one more
#: until it is active. Savanna shows no proposal (Spring chain_plugin.cpp:1862-1871), so it may be on its way unseen.
HIDDEN_BLOCKS: Final = 36
#: After this many blocks a row that puts its producer into a schedule has done so: onblock proposes each 120 slots
#: (system contract, producer_pay.cpp:52-54), and HIDDEN_BLOCKS less one round until it shows.
ELECTION_BLOCKS: Final = 150
#: Who writes what nobody asked for.
SIGNER: Final = "signer"

_AFTER_REGISTERED: Final = (State.REGISTERED, State.PROPOSED, State.PENDING, State.ACTIVE)
_ON_THE_WAY: Final = {
    State.PROPOSED: (Event.PROPOSED, "the proposed schedule has the new key"),
    State.PENDING: (Event.PENDING, "the pending schedule has the new key"),
    State.ACTIVE: (Event.ACTIVE, "the active schedule has the new key"),
}


class Effect(enum.Enum):
    """What the runner does next."""

    #: Leave `planned`.
    BEGIN = enum.auto()
    #: Nothing until a person acts.
    WAIT = enum.auto()
    #: Look at everything that could be in the way.
    CHECK = enum.auto()
    #: Send the journalled transaction again, and look at the chain.
    PUSH = enum.auto()
    #: Look at the chain.
    OBSERVE = enum.auto()
    #: The rotation has ended.
    NONE = enum.auto()


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen in one look at the chain and at the nodes.

    The order of the look matters: first the head and the irreversible block, then the row, and the row only from API
    nodes that have that irreversible block. Otherwise the row may be older than the death of a transaction.

    Attributes:
        now: the local time (UTC).
        head_number: of the API node that was believed.
        irreversible_number: its last irreversible block.
        irreversible_time: that block's timestamp (UTC).
        row_keys: the keys that the producer's row names, as text where no token can hold them; None if there is no row.
        row_agreed: whether enough API nodes said so to conclude anything from it.
        active: our producer's keys in the active schedule; empty: it is not in it.
        pending: the same for the pending schedule.
        proposed: the same for the proposed schedule.
        hidden: whether a schedule may be proposed without being shown (Savanna).
        proof: the first block of ours since `registered_head` whose signature we issued, for the expected node, with
            the key that should produce now.
        foreign: a block of ours since then that carries a signature which we did not issue: its number.
        silent_slots: slots of ours without a block since the key became active, in a row, up to the head.
        target_silent_s: how long the target node's API has been silent, None if it has none.
        unfit: why production cannot go back to the old node; empty if it can.
        verified_dropped: whether another block has the number of the verified one; None: nobody looked.
        finalizer: on Savanna, whether the target's finalizer key is in the active policy; None: no such half.
        missed_slots: slots of ours without a block since the push, None if not all blocks were seen.
    """

    now: datetime
    head_number: int
    irreversible_number: int
    irreversible_time: datetime
    row_keys: frozenset[PublicKey | str] | None
    row_agreed: bool
    active: frozenset[PublicKey] = frozenset()
    pending: frozenset[PublicKey] = frozenset()
    proposed: frozenset[PublicKey] = frozenset()
    hidden: bool = False
    proof: VerifiedBlock | None = None
    foreign: int | None = None
    silent_slots: int = 0
    target_silent_s: float | None = None
    unfit: str = "nobody looked"
    verified_dropped: bool | None = None
    finalizer: bool | None = None
    missed_slots: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A rotation after something happened, and what the journal says of it."""

    rotation: Rotation
    entry: Entry


_EFFECTS: Final = {
    State.PLANNED: Effect.BEGIN,
    State.APPROVAL: Effect.WAIT,
    State.PREFLIGHT: Effect.CHECK,
    State.SIGNED: Effect.PUSH,
    State.REGISTERED: Effect.OBSERVE,
    State.PROPOSED: Effect.OBSERVE,
    State.PENDING: Effect.OBSERVE,
    State.ACTIVE: Effect.OBSERVE,
    State.VERIFIED: Effect.OBSERVE,
    State.RETURNING: Effect.OBSERVE,
}


def effect(rotation: Rotation) -> Effect:
    """Return what is to be done now."""
    if rotation.state is State.SIGNED and rotation.abort_by is not None:
        return Effect.OBSERVE
    if rotation.state is State.RETURNING and _returns(rotation) and not rotation.registered_head:
        return Effect.PUSH
    return _EFFECTS.get(rotation.state, Effect.NONE)


# -- before anything is signed ----------------------------------------------------------------------------


def begin(rotation: Rotation, now: datetime) -> Change:
    """Leave `planned`: for a person's approval, or for preflight."""
    _require(rotation, State.PLANNED)
    if rotation.needs_approval and not rotation.request.emergency:
        return _enter(
            rotation,
            State.APPROVAL,
            Event.APPROVAL_AWAITED,
            now,
            f"waits for the approval of somebody else than {rotation.request.requested_by}",
        )
    return _enter(rotation, State.PREFLIGHT, Event.CHECKING, now, "looks at what could be in the way")


def approve(rotation: Rotation, by: str, now: datetime) -> Change:
    """Take a second person's agreement: before, or after the fact in an emergency.

    Raises:
        RotationError: it is the same person, or nobody waits for an approval.
    """
    if not rotation.needs_approval or rotation.approved_by is not None:
        raise RotationError("no-approval", f"rotation {rotation.id} waits for nobody's approval")
    if by == rotation.request.requested_by:
        raise RotationError(
            "same-person", f"{by} asked for rotation {rotation.id}; somebody else has to approve it"
        )
    if rotation.state is State.APPROVAL:
        approved = replace(rotation, approved_by=by)
        return _enter(approved, State.PREFLIGHT, Event.APPROVED, now, f"approved by {by}", by=by)
    if rotation.request.emergency:
        confirmed = replace(rotation, approved_by=by)
        return Change(
            confirmed, Entry(now, Event.CONFIRMED, rotation.state, by, f"approved afterwards by {by}")
        )
    raise RotationError(
        "no-approval", f"rotation {rotation.id} is {rotation.state} and waits for no approval"
    )


def checked(
    rotation: Rotation,
    findings: Sequence[Finding],
    from_keys: tuple[PublicKey, ...],
    from_node: str | None,
    now: datetime,
) -> Change:
    """Take preflight's answer: refused, or it goes on.

    Args:
        rotation: in `preflight`.
        findings: all of them.
        from_keys: the keys that the row names.
        from_node: the one node of ours that holds them.
        now: the time.
    """
    _require(rotation, State.PREFLIGHT)
    rotation = replace(rotation, findings=tuple(findings), from_keys=from_keys, from_node=from_node)
    blockers = [each for each in findings if each.level is Level.BLOCKER]
    if blockers:
        words = "; ".join(each.text for each in blockers)
        return _enter(rotation, State.REFUSED, Event.REFUSED, now, words)
    request = rotation.request
    if findings and not (request.accept_warnings or request.emergency or request.unattended):
        words = "; ".join(each.text for each in findings)
        return _enter(rotation, State.REFUSED, Event.REFUSED, now, f"warnings that nobody accepted: {words}")
    accepted = "; ".join(each.text for each in findings)
    words = f"no blocker; warnings that were accepted: {accepted}" if accepted else "nothing is in the way"
    return Change(rotation, Entry(now, Event.CHECKED, rotation.state, SIGNER, words))


# -- the transaction --------------------------------------------------------------------------------------


def signed(rotation: Rotation, transaction: SignedTransaction, now: datetime) -> Change:
    """Take a transaction that was signed. It is sent once this is on disk."""
    returning = transaction.purpose is Purpose.RETURN
    _require(rotation, *((State.RETURNING,) if returning else (State.PREFLIGHT, State.SIGNED)))
    if rotation.state is State.SIGNED and not _again(rotation):
        raise RotationError("state", f"rotation {rotation.id} signs no other transaction")
    rotation = replace(
        rotation, transactions=(*rotation.transactions, transaction), registered_head=0, verified=None
    )
    text = f"transaction {transaction.id} is signed; it expires at {transaction.expiration:%H:%M:%S} UTC"
    if returning:
        return Change(
            replace(rotation, reason=text),
            Entry(now, Event.RETURN_SIGNED, rotation.state, SIGNER, text),
        )
    return _enter(rotation, State.SIGNED, Event.SIGNED, now, text)


def answered(rotation: Rotation, *, accepted: bool, text: str, now: datetime) -> Change | None:
    """Take what an API node said to the transaction, or that none gave an answer."""
    last = rotation.transaction
    assert last is not None  # noqa: S101 - nothing is pushed before it is signed
    if not rotation.live:
        return None  # a person was faster than the answer
    if last.pushed_at is not None or (not accepted and last.answer == text):
        return None  # only what is new is worth a write
    last = replace(last, answer=text, pushed_at=now if accepted else None)
    rotation = replace(rotation, transactions=(*rotation.transactions[:-1], last), reason=text)
    event = Event.ACCEPTED if accepted else Event.REJECTED
    return Change(rotation, Entry(now, event, rotation.state, SIGNER, text))


def hopeless(rotation: Rotation, text: str, now: datetime) -> Change:
    """End a rotation whose transaction was refused for good and, for certain, taken by nobody.

    The caller knows what became of every push of it: not after a lost answer, and not after a restart.

    Raises:
        RotationError: there is nothing to be refused, or somebody took it.
    """
    _require(rotation, State.SIGNED, State.RETURNING)
    last = rotation.transaction
    if rotation.state is State.RETURNING and (not _returns(rotation) or rotation.registered_head):
        raise RotationError("state", f"rotation {rotation.id} has no transaction under way")
    if last is None or last.pushed_at is not None or not _unseen(rotation):
        raise RotationError("state", f"rotation {rotation.id} has a transaction that somebody took")
    if rotation.abort_by is not None and rotation.state is State.SIGNED:
        return _enter(rotation, State.ABORTED, Event.ABORTED, now, f"ended by {rotation.abort_by}")
    return _failed(rotation, text, now)


def unsignable(rotation: Rotation, text: str, now: datetime) -> Change:
    """End a rotation whose next transaction cannot be built or signed. None of it is live."""
    _require(rotation, State.PREFLIGHT, State.SIGNED, State.RETURNING)
    return _failed(rotation, text, now)


def resign(rotation: Rotation, facts: Facts) -> bool:
    """Tell whether a (different) transaction is to be built and signed now: the one before can be in no block."""
    if not (_current(rotation, facts) and facts.row_agreed and _dead(rotation, facts)):
        return False
    if rotation.state is State.SIGNED:
        return _again(rotation) and facts.row_keys == _old(rotation)
    if rotation.state is not State.RETURNING:
        return False
    if _returns(rotation):
        return (
            not rotation.registered_head
            and _count(rotation) < MAX_TRANSACTIONS
            and facts.row_keys == _new(rotation)
        )
    # Also where a fork took the new key away: the old one is in the row, and one more registration says so for certain.
    return facts.row_keys in (_new(rotation), _old(rotation))


# -- what the chain shows ---------------------------------------------------------------------------------


def observe(rotation: Rotation, facts: Facts) -> Change | None:
    """Take one look at the chain. One change at a time: call it again until it returns None."""
    if not _current(rotation, facts):
        return None
    if facts.head_number > rotation.head_seen:
        rotation = replace(rotation, head_seen=facts.head_number)
    if rotation.transaction is not None:
        rotation = replace(rotation, missed_slots=facts.missed_slots)
    match rotation.state:
        case State.SIGNED:
            look = _observe_signed
        case State.REGISTERED | State.PROPOSED | State.PENDING | State.ACTIVE:
            look = _observe_registered
        case State.VERIFIED:
            look = _observe_verified
        case State.RETURNING:
            look = _observe_returning
        case _:
            return None
    return look(rotation, facts)


def _observe_signed(rotation: Rotation, facts: Facts) -> Change | None:
    if not facts.row_agreed:
        return None
    if facts.row_keys == _new(rotation):
        rotation = replace(rotation, registered_head=facts.head_number)
        text = f"the producer's row names {rotation.to_key}"
        return _enter(rotation, State.REGISTERED, Event.REGISTERED, facts.now, text)
    return _expire(rotation, facts, _old(rotation))


def _expire(rotation: Rotation, facts: Facts, before: frozenset[PublicKey]) -> Change | None:
    """Take the death of a transaction without effect. Where nothing changes, `resign` says yes."""
    if not _dead(rotation, facts):
        return None
    if facts.row_keys != before or not _unseen(rotation):
        return _superseded(rotation, facts)
    if rotation.abort_by is not None and rotation.state is State.SIGNED:
        text = f"ended by {rotation.abort_by}; the transaction expired without effect"
        return _enter(rotation, State.ABORTED, Event.ABORTED, facts.now, text)
    if _count(rotation) >= MAX_TRANSACTIONS:
        return _failed(rotation, _expired(rotation), facts.now)
    return None


def _observe_registered(rotation: Rotation, facts: Facts) -> Change | None:
    # Whatever was registered since, a block of ours is its proof.
    proven = rotation.state is State.ACTIVE and _proof(rotation, facts) is not None
    if facts.row_agreed and facts.row_keys != _new(rotation) and not proven:
        return _observe_other_row(rotation, facts)
    return _observe_schedule(rotation, facts) or _observe_silence(rotation, facts)


def _observe_other_row(rotation: Rotation, facts: Facts) -> Change | None:
    """The row does not name our key any more: somebody changed it, or a fork dropped the block with the transaction."""
    if _dead(rotation, facts):
        return _superseded(rotation, facts)
    returns = rotation.state is State.RETURNING
    if facts.row_keys == (_new(rotation) if returns else _old(rotation)):
        # The same bytes again: 'duplicate' where they are on the chain, and they overrule nobody.
        text = "the row is as it was before the transaction; it is sent again until it expires"
        rotation = replace(rotation, registered_head=0)
        if returns:
            return _note(rotation, Event.REJECTED, facts.now, text)
        return _enter(rotation, State.SIGNED, Event.REJECTED, facts.now, text)
    text = f"{_row(facts)}; waits until the transaction can be in no block any more"
    return None if rotation.reason == text else _note(rotation, Event.REJECTED, facts.now, text)


def _observe_schedule(rotation: Rotation, facts: Facts) -> Change | None:
    stage = _stage(rotation, facts)
    if stage is not None and _AFTER_REGISTERED.index(stage) > _AFTER_REGISTERED.index(rotation.state):
        # A block of ours that is older than the schedule with this key proves nothing: the key may have been in use
        # before. Seen pending is late enough: the first block under the schedule comes after it.
        if rotation.state is not State.PENDING:
            rotation = replace(rotation, registered_head=facts.head_number)
        event, text = _ON_THE_WAY[stage]
        return _enter(rotation, stage, event, facts.now, text)
    proof = _proof(rotation, facts)
    if rotation.state is State.ACTIVE and proof is not None:
        rotation = replace(rotation, verified=proof)
        text = f"block {proof.number} carries a signature that this signer issued with {rotation.to_key}"
        return _enter(rotation, State.VERIFIED, Event.VERIFIED, facts.now, text)
    elected = facts.active or facts.pending or facts.proposed
    if not elected and facts.row_agreed and _passed_over(rotation, facts):
        text = f"{rotation.producer} is in no schedule: it is not elected; the key is registered"
        rotation = replace(rotation, safe_to_stop=_other_node(rotation))
        return _enter(rotation, State.UNSCHEDULED, Event.UNSCHEDULED, facts.now, text)
    return None


def _passed_over(rotation: Rotation, facts: Facts) -> bool:
    """Whether a producer that is in no schedule now will not be in one because of this registration.

    A producer whose row was active before has been in the elections all the time. One that was unregistered is in the
    next one; and where a proposal is hidden, it may be in that.
    """
    wait = HIDDEN_BLOCKS if facts.hidden else 0
    if not rotation.from_keys:
        wait = ELECTION_BLOCKS
    irreversible = facts.irreversible_number >= rotation.registered_head
    return irreversible and facts.head_number >= rotation.registered_head + wait


def _stage(rotation: Rotation, facts: Facts) -> State | None:
    """Return how far the schedules are.

    The active one counts only where no schedule with another key of ours is on its way: the row may have named that key
    for a while, and the new key may be the one from before.
    """
    key = rotation.to_key
    hidden = (
        rotation.state is State.REGISTERED and facts.head_number < rotation.registered_head + HIDDEN_BLOCKS
    )
    if key in facts.active and not (facts.pending | facts.proposed) - _new(rotation) and not hidden:
        return State.ACTIVE
    if key in facts.pending:
        return State.PENDING
    return State.PROPOSED if key in facts.proposed else None


def _observe_silence(rotation: Rotation, facts: Facts) -> Change | None:
    """The new node does not produce, or is gone before it could."""
    node = rotation.request.node
    if rotation.state is State.ACTIVE and facts.silent_slots >= SILENT_SLOTS:
        wrong = f"{node} left {facts.silent_slots} slots without a block"
    elif facts.target_silent_s is not None and facts.target_silent_s >= SILENT_NODE_S:
        wrong = f"the API of {node} has been silent for {facts.target_silent_s:.0f} s"
    elif rotation.state is State.ACTIVE and facts.foreign is not None:
        text = f"a block of ours carries a signature that this signer did not issue: block {facts.foreign}"
        return _note_once(rotation, facts.now, text)
    else:
        return None
    if rotation.request.emergency:
        unfit = "this is an emergency"
    elif not rotation.request.may_return:
        unfit = "the request forbids it"
    elif rotation.from_key is None:
        unfit = f"the row had {len(rotation.from_keys)} keys"
    elif rotation.from_node is None:
        unfit = "no node of this signer holds the old key"
    else:
        unfit = facts.unfit
    if unfit:
        return _note_once(rotation, facts.now, f"{wrong}; the old key is not registered again: {unfit}")
    text = f"{wrong}; the key of {rotation.from_node} is registered again"
    return _enter(rotation, State.RETURNING, Event.RETURNING, facts.now, text)


def _observe_verified(rotation: Rotation, facts: Facts) -> Change | None:
    assert rotation.verified is not None  # noqa: S101 - what makes the state
    number = rotation.verified.number
    if facts.verified_dropped:
        text = f"block {number} was dropped by a fork; waits for another"
        rotation = replace(rotation, verified=None, registered_head=facts.head_number)
        return _enter(rotation, State.ACTIVE, Event.ACTIVE, facts.now, text)
    final = facts.verified_dropped is False and facts.irreversible_number >= number
    if not final or facts.finalizer is False or not facts.row_agreed:
        return None
    text = f"block {number} is irreversible"
    if facts.row_keys == _new(rotation) and facts.pending | facts.proposed <= _new(rotation):
        rotation = replace(rotation, safe_to_stop=_other_node(rotation))
    else:
        text += f"; but another key is registered or on its way: {_row(facts)}; stop no node"
    return _enter(rotation, State.DONE, Event.DONE, facts.now, text)


def _observe_returning(rotation: Rotation, facts: Facts) -> Change | None:
    if not facts.row_agreed:
        return None
    if not _returns(rotation):
        return _observe_return_due(rotation, facts)
    return (_observe_return if rotation.registered_head else _observe_return_signed)(rotation, facts)


def _observe_return_due(rotation: Rotation, facts: Facts) -> Change | None:
    """Look once more before the return is signed. Where nothing changes, `resign` says when."""
    if not _dead(rotation, facts):
        return None
    if facts.row_keys not in (_new(rotation), _old(rotation)):
        return _superseded(rotation, facts)
    if facts.unfit and facts.row_keys == _new(rotation):
        text = f"the old key is not registered again: {facts.unfit}"
        rotation = replace(rotation, registered_head=facts.head_number)
        return _enter(rotation, State.REGISTERED, Event.REJECTED, facts.now, text)
    return None


def _observe_return_signed(rotation: Rotation, facts: Facts) -> Change | None:
    if facts.row_keys == _old(rotation):
        text = f"the producer's row names {rotation.from_key} again"
        return _note(replace(rotation, registered_head=facts.head_number), Event.REGISTERED, facts.now, text)
    return _expire(rotation, facts, _new(rotation))


def _observe_return(rotation: Rotation, facts: Facts) -> Change | None:
    if facts.row_keys != _old(rotation):
        return _observe_other_row(rotation, facts)
    proof = _proof(rotation, facts)
    if proof is not None and rotation.to_key in facts.active:
        # The schedule with the new key came in after all: what the old node signed before says nothing of afterwards.
        text = "the active schedule has the new key; waits for the one with the old key"
        return _note(replace(rotation, registered_head=facts.head_number), Event.ACTIVE, facts.now, text)
    underway = (facts.active | facts.pending | facts.proposed) - _old(rotation)
    hidden = facts.head_number < rotation.registered_head + HIDDEN_BLOCKS
    if underway or hidden or not _dead(rotation, facts) or (facts.active and proof is None):
        return None
    rotation = replace(rotation, verified=proof)
    text = f"{rotation.from_node} produces again with {rotation.from_key}"
    if not facts.active:
        text = f"{rotation.from_key} is registered again; {rotation.producer} is not elected"
    return _enter(rotation, State.RETURNED, Event.RETURNED, facts.now, text)


# -- a person ---------------------------------------------------------------------------------------------


def ask_abort(rotation: Rotation, by: str, now: datetime) -> Change:
    """End a rotation whose key is not registered yet.

    With a transaction under way it ends when that can be in no block any more, or goes on if it is in one.

    Raises:
        RotationError: it is too late, or it has ended.
    """
    if rotation.state in (State.PLANNED, State.APPROVAL, State.PREFLIGHT):
        return _enter(
            replace(rotation, abort_by=by), State.ABORTED, Event.ABORTED, now, f"ended by {by}", by=by
        )
    if rotation.state is State.SIGNED and rotation.abort_by is None:
        text = f"{by} asked for the end; waits until the transaction has expired or taken effect"
        return Change(
            replace(rotation, abort_by=by, reason=text),
            Entry(now, Event.ABORT_ASKED, rotation.state, by, text),
        )
    if rotation.state is State.SIGNED:
        raise RotationError(
            "aborting", f"{rotation.abort_by} asked for the end of rotation {rotation.id} already"
        )
    if not rotation.live:
        raise RotationError("ended", f"rotation {rotation.id} has ended already: {rotation.state}")
    raise RotationError(
        "too-late",
        f"rotation {rotation.id} is {rotation.state}: the key is registered; "
        "let it end, then rotate back to the other node",
    )


def supersede(rotation: Rotation, by: str, now: datetime) -> Change:
    """End a live rotation because an emergency takes its place.

    Raises:
        RotationError: it has ended.
    """
    if not rotation.live:
        raise RotationError("ended", f"rotation {rotation.id} has ended already: {rotation.state}")
    text = f"an emergency rotation of {by} takes its place"
    return _enter(rotation, State.SUPERSEDED, Event.SUPERSEDED, now, text, by=by)


# -- parts ------------------------------------------------------------------------------------------------


def _require(rotation: Rotation, *states: State) -> None:
    if rotation.state not in states:
        raise RotationError("state", f"rotation {rotation.id} is {rotation.state}, not {' or '.join(states)}")


def _enter(
    rotation: Rotation, state: State, event: Event, now: datetime, text: str, *, by: str = SIGNER
) -> Change:
    reached = rotation.reached if state in rotation.reached else {**rotation.reached, state: now}
    after = replace(rotation, state=state, state_since=now, reason=text, reached=reached)
    return Change(after, Entry(now, event, state, by, text))


def _note(rotation: Rotation, event: Event, now: datetime, text: str) -> Change:
    """Write something down that leaves the state as it is."""
    return Change(replace(rotation, reason=text), Entry(now, event, rotation.state, SIGNER, text))


def _note_once(rotation: Rotation, now: datetime, text: str) -> Change | None:
    return None if _same(rotation.reason, text) else _note(rotation, Event.REJECTED, now, text)


def _failed(rotation: Rotation, text: str, now: datetime) -> Change:
    if rotation.state is State.RETURNING:
        text += f"; the old key is not registered again, {rotation.to_key} stays"
    return _enter(rotation, State.FAILED, Event.FAILED, now, text)


def _superseded(rotation: Rotation, facts: Facts) -> Change:
    text = f"somebody else changed the producer's row: {_row(facts)}"
    before = _new(rotation) if _returns(rotation) else _old(rotation)
    if facts.row_keys == before:
        text = f"{_row(facts)} again: somebody changed it back, or a fork dropped the transaction until it expired"
    return _enter(rotation, State.SUPERSEDED, Event.SUPERSEDED, facts.now, text)


def _row(facts: Facts) -> str:
    keys = ", ".join(sorted(map(str, facts.row_keys))) if facts.row_keys else "no key"
    return f"the row names {keys}"


def _current(rotation: Rotation, facts: Facts) -> bool:
    """Whether the API node is not behind what was concluded from before."""
    return facts.head_number >= rotation.head_seen


def _old(rotation: Rotation) -> frozenset[PublicKey]:
    """What the row named before."""
    return frozenset(rotation.from_keys)


def _new(rotation: Rotation) -> frozenset[PublicKey]:
    """What the row names once the key is registered."""
    return frozenset({rotation.to_key})


def _proof(rotation: Rotation, facts: Facts) -> VerifiedBlock | None:
    """Return the proof, unless it is older than what it should prove."""
    proof = facts.proof
    return proof if proof is not None and proof.number > rotation.registered_head else None


def _unseen(rotation: Rotation) -> bool:
    """Whether the row never named the key of the last transaction while we looked.

    Of a return this is not remembered; it is `signed` for the transaction that registers the new key.
    """
    return rotation.state is not State.SIGNED or State.REGISTERED not in rotation.reached


def _again(rotation: Rotation) -> bool:
    """Whether another transaction may register the new key when the last one is dead."""
    return rotation.abort_by is None and _unseen(rotation) and _count(rotation) < MAX_TRANSACTIONS


def _dead(rotation: Rotation, facts: Facts) -> bool:
    """Whether no block can hold the last transaction any more, unless it does already."""
    last = rotation.transaction
    return last is not None and facts.irreversible_time > last.expiration


def _returns(rotation: Rotation) -> bool:
    last = rotation.transaction
    return last is not None and last.purpose is Purpose.RETURN


def _count(rotation: Rotation) -> int:
    """How many transactions had the last one's purpose."""
    last = rotation.transaction
    return sum(each.purpose is last.purpose for each in rotation.transactions) if last else 0


def _expired(rotation: Rotation) -> str:
    last = rotation.transaction
    assert last is not None  # noqa: S101 - the caller counted them
    answer = f"; the last answer was: {last.answer}" if last.answer else "; no API node gave an answer"
    return f"{_count(rotation)} transactions expired without effect{answer}"


def _other_node(rotation: Rotation) -> str | None:
    """Return the node that no longer produces."""
    return rotation.from_node if rotation.from_node != rotation.request.node else None


def _same(text: str, other: str) -> bool:
    """Whether two reasons differ in figures only."""
    digits = str.maketrans("", "", "0123456789")
    return text.translate(digits) == other.translate(digits)
