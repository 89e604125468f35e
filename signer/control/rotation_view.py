"""A rotation as the API shows it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Self

from pydantic import Field

from signer.control.view import View
from signer.rotation.entry import Event
from signer.rotation.finding import Level
from signer.rotation.rotation import Kind, Purpose, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signer.rotation.entry import Entry
    from signer.rotation.finding import Finding
    from signer.rotation.rotation import Rotation


class FindingView(View):
    """What preflight found: a fact that stops a rotation, or one that a person has to know."""

    rule: str
    """The stable name of the check."""
    level: Level
    """`blocker` stops the rotation; `warning` needs a person who knows it."""
    text: str
    """What was seen."""
    remedy: str
    """What to do about it."""

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """Return the view of a finding."""
        return cls(rule=finding.rule, level=finding.level, text=finding.text, remedy=finding.remedy)


class VerifiedBlockView(View):
    """The block that proves that the new key produces."""

    num: int
    """Its number."""
    id: str
    """Its id, 64 hex digits."""
    time: datetime
    """Its timestamp (UTC)."""
    producer_signature: str
    """Its signature, which this signer issued, as `SIG_...`."""


class EntryView(View):
    """One line of a rotation's history."""

    number: int
    """Its place in the history, from 1: the id of its event, for Last-Event-ID."""
    at: datetime
    """When (UTC)."""
    event: Event
    """What happened."""
    state: State
    """The state after it."""
    by: str
    """Who did it: a person's name, or `signer`."""
    text: str
    """What happened, for a person."""

    @classmethod
    def of(cls, number: int, entry: Entry) -> Self:
        """Return the view of the entry with this number."""
        return cls(
            number=number, at=entry.at, event=entry.event, state=entry.state, by=entry.by, text=entry.text
        )


class RotationView(View):
    """One rotation. Times are UTC."""

    id: int
    """Its number, from 1."""
    kind: Kind
    """`promote` moves production to another node, `cycle` gives the producing node a fresh key."""
    chain: str
    """The chain's name in the configuration."""
    producer: str
    """The producer's account."""
    node: str
    """The node that will produce."""
    state: State
    """How far it is."""
    live: bool
    """Whether anything may still happen."""
    state_since: datetime
    """Since when it is in this state."""
    reason: str
    """Why it is in this state, or what happened last."""
    awaited: str
    """What it waits for; empty if it has ended."""
    created_at: datetime
    """When it was asked for."""
    requested_by: str
    """Who asked for it."""
    request_reason: str
    """Why, in their words."""
    emergency: bool
    """Whether the old node is dead: only blockers stop it, and approval comes afterwards."""
    unattended: bool
    """Whether nobody watches."""
    needs_approval: bool
    """Whether a second person has to agree."""
    approved_by: str | None
    """Who agreed."""
    abort_by: str | None
    """Who asked for its end."""
    from_key: str | None
    """The one key that the producer's row named before; null: not yet seen, or not one key."""
    from_keys: list[str]
    """All keys that the row named before."""
    from_node: str | None
    """The node of this signer that holds them; null: none."""
    to_key: str
    """The key that will be registered."""
    transaction_id: str | None
    """The last transaction that registers the new key."""
    expires_at: datetime | None
    """After this head block time that transaction has no effect any more."""
    pushed_at: datetime | None
    """When an API node first accepted it."""
    return_transaction_id: str | None
    """The last transaction that registers the old key again."""
    active_at: datetime | None
    """When the new key was first seen in the active schedule."""
    reached: dict[State, datetime]
    """When each state was first entered."""
    verified_block: VerifiedBlockView | None
    """The proof."""
    missed_slots: int | None
    """Slots of the producer without a block between push and end; null: not all blocks were seen."""
    safe_to_stop: str | None
    """The node that may be stopped now; null: none is known to be."""
    expected_s: float | None
    """How long a rotation takes on this chain from push to proof, in s; null: nobody knows, or it has ended."""
    findings: list[FindingView]
    """What preflight found."""

    @classmethod
    def of(cls, rotation: Rotation, expected_s: float | None) -> Self:
        """Return the view of a rotation."""
        return cls.model_validate(_fields(rotation, expected_s))


class RotationDetail(RotationView):
    """One rotation with its history."""

    history: list[EntryView]
    """What happened, oldest first."""

    @classmethod
    def with_history(cls, rotation: Rotation, expected_s: float | None, entries: Sequence[Entry]) -> Self:
        """Return the view of a rotation and its history."""
        history = [EntryView.of(number, entry) for number, entry in enumerate(entries, 1)]
        return cls.model_validate(_fields(rotation, expected_s) | {"history": history})


class RotationList(View):
    """Rotations, newest first."""

    rotations: list[RotationView]
    """At most as many as were asked for."""
    next_before: int | None = Field(examples=[17])
    """The value of `before` for the page after this one; null: this was the last."""


def _fields(rotation: Rotation, expected_s: float | None) -> dict[str, object]:
    request, block = rotation.request, rotation.verified
    register = [each for each in rotation.transactions if each.purpose is Purpose.REGISTER]
    back = [each for each in rotation.transactions if each.purpose is Purpose.RETURN]
    return {
        "id": rotation.id,
        "kind": request.kind,
        "chain": request.chain,
        "producer": rotation.producer,
        "node": request.node,
        "state": rotation.state,
        "live": rotation.live,
        "state_since": rotation.state_since,
        "reason": rotation.reason,
        "awaited": awaited(rotation),
        "created_at": rotation.created_at,
        "requested_by": request.requested_by,
        "request_reason": request.reason,
        "emergency": request.emergency,
        "unattended": request.unattended,
        "needs_approval": rotation.needs_approval,
        "approved_by": rotation.approved_by,
        "abort_by": rotation.abort_by,
        "from_key": str(rotation.from_key) if rotation.from_key is not None else None,
        "from_keys": [str(key) for key in rotation.from_keys],
        "from_node": rotation.from_node,
        "to_key": str(rotation.to_key),
        "transaction_id": register[-1].id if register else None,
        "expires_at": register[-1].expiration if register else None,
        "pushed_at": next((each.pushed_at for each in register if each.pushed_at is not None), None),
        "return_transaction_id": back[-1].id if back else None,
        "active_at": rotation.reached.get(State.ACTIVE),
        "reached": rotation.reached,
        "verified_block": None
        if block is None
        else VerifiedBlockView(
            num=block.number, id=block.id, time=block.time, producer_signature=block.producer_signature
        ),
        "missed_slots": rotation.missed_slots,
        "safe_to_stop": rotation.safe_to_stop,
        "expected_s": expected_s,
        "findings": [FindingView.of(each) for each in rotation.findings],
    }


def awaited(rotation: Rotation) -> str:
    """Return what a rotation waits for, in words that go on after "waits for"; empty if it has ended."""
    request = rotation.request
    if rotation.state is State.SIGNED and rotation.abort_by is not None:
        return "the transaction to expire or to take effect; then it ends or goes on"
    block = "" if rotation.verified is None else f" {rotation.verified.number}"
    words = {
        State.PLANNED: "its beginning",
        State.APPROVAL: f"the approval of somebody else than {request.requested_by}",
        State.PREFLIGHT: "the answers of the chain and of the signer: is anything in the way?",
        State.SIGNED: "the producer's row to name the new key",
        State.REGISTERED: "the chain to propose a schedule with the new key",
        State.PROPOSED: "the block of the proposed schedule to become irreversible",
        State.PENDING: "the pending schedule to become active",
        State.ACTIVE: f"a block of {request.node} signed with the new key",
        State.VERIFIED: f"block{block} to become irreversible",
        State.RETURNING: f"the old key of {rotation.from_node} to be registered and to produce again",
    }
    return words.get(rotation.state, "")
