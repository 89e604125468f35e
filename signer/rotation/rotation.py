"""A rotation as the journal has it: who asked for what, how far it is, and the proofs. Values only.

    the way:    planned -> approval -> preflight -> signed -> registered -> proposed -> pending -> active
                -> verified -> done
    other ends: refused (by preflight), aborted (before registered), failed (before registered), superseded,
                registered-unscheduled, returned (by way of returning)

`machine` says which state follows which.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.rotation.finding import Finding


class Kind(enum.StrEnum):
    """What a rotation is for."""

    #: Production moves to a key of another node.
    PROMOTE = "promote"
    #: A fresh key for the node that produces.
    CYCLE = "cycle"


class State(enum.StrEnum):
    """How far a rotation is."""

    #: Asked for and written down.
    PLANNED = "planned"
    #: Waits for a second person.
    APPROVAL = "approval"
    #: May go on; what could be in the way is being looked at.
    PREFLIGHT = "preflight"
    #: Its transaction is signed and journalled. It may be in a block already, or never.
    SIGNED = "signed"
    #: The producer's row names the new key.
    REGISTERED = "registered"
    #: The proposed schedule has it (legacy consensus only; Savanna does not show it).
    PROPOSED = "proposed"
    #: The pending schedule has it.
    PENDING = "pending"
    #: The active schedule has it: the next block of ours is signed with it.
    ACTIVE = "active"
    #: A block of ours carries a signature that we issued with the new key.
    VERIFIED = "verified"
    #: That block is irreversible.
    DONE = "done"
    #: The row names the new key, and the producer is not elected. A success: there is nothing more to see.
    UNSCHEDULED = "registered-unscheduled"
    #: The new node does not produce; the old key is being registered again.
    RETURNING = "returning"
    #: The old key is registered, active, and signs.
    RETURNED = "returned"
    #: Preflight says no. Nothing was signed.
    REFUSED = "refused"
    #: A person ended it before the key was registered.
    ABORTED = "aborted"
    #: Somebody else changed the producer's row.
    SUPERSEDED = "superseded"
    #: The chain does not take the transaction.
    FAILED = "failed"


TERMINAL: Final = frozenset(
    {
        State.DONE,
        State.UNSCHEDULED,
        State.RETURNED,
        State.REFUSED,
        State.ABORTED,
        State.SUPERSEDED,
        State.FAILED,
    }
)
#: The states of a success.
SUCCESS: Final = frozenset({State.DONE, State.UNSCHEDULED})


class Purpose(enum.StrEnum):
    """What a transaction of a rotation registers."""

    REGISTER = "register"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class Request:
    """What a person or a timer asked for.

    Attributes:
        kind: promote or cycle.
        chain: the chain's name in the configuration.
        node: the node that will produce.
        requested_by: the person's name.
        reason: their words; required for an emergency.
        emergency: the old node is dead: everything but the blockers is a warning, approval comes afterwards.
        accept_warnings: the person knows the warnings, whatever they are.
        reactivate: an unregistered producer (`is_active` false) may be registered again.
        unattended: nobody watches: what a node lists has to be known from `signed` or `file` evidence.
        may_return: whether the old key may be registered again by itself.
    """

    kind: Kind
    chain: str
    node: str
    requested_by: str
    reason: str = ""
    emergency: bool = False
    accept_warnings: bool = False
    reactivate: bool = False
    unattended: bool = False
    may_return: bool = True


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction of a rotation, as it was journalled before it was sent anywhere.

    Attributes:
        purpose: whether it registers the new key or, for a return, the old one.
        packed: the packed transaction.
        signature: `SIG_...` by `signed_by`.
        signed_by: the rotation key.
        id: 64 hex digits.
        expiration: after this head block time no block takes it.
        head_number: the head block's number when it was built: it is in no block before the next one.
        signed_at: when.
        pushed_at: when an API node first accepted it, None before.
        answer: what an API node last said, for a person.
    """

    purpose: Purpose
    packed: bytes
    signature: str
    signed_by: PublicKey
    id: str
    expiration: datetime
    head_number: int
    signed_at: datetime
    pushed_at: datetime | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class VerifiedBlock:
    """The block that proves that the new key produces."""

    number: int
    id: str
    time: datetime
    producer_signature: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """One rotation. Times are UTC.

    Attributes:
        id: its number, from 1.
        request: what was asked for.
        producer: the producer's account.
        permission: the permission that signs.
        to_key: the key that will be registered.
        from_keys: the keys that the row had when preflight looked; empty: none, or not yet seen.
        from_node: the node that holds them, None if no one node of this signer does.
        state: how far it is.
        state_since: since when.
        reason: why it is in this state, or what it waits for.
        created_at: when it was asked for.
        needs_approval: whether a second person has to agree, before or (emergency) afterwards.
        approved_by: who agreed.
        abort_by: who asked for its end.
        findings: what preflight found.
        transactions: what was signed, oldest first; at most the last one is live.
        reached: when each state was first entered.
        head_seen: the highest head from which anything was concluded.
        registered_head: the head when the row was seen to name the key, or the schedule with it to be on its way; 0
            while it does not. A proof is a later block.
        verified: the proof.
        missed_slots: slots of ours without a block between push and end; None where not all blocks were seen.
        safe_to_stop: the node that may be stopped now, None before that is known.
    """

    id: int
    request: Request
    producer: str
    permission: str
    to_key: PublicKey
    created_at: datetime
    state: State
    state_since: datetime
    from_keys: tuple[PublicKey, ...] = ()
    from_node: str | None = None
    reason: str = ""
    needs_approval: bool = False
    approved_by: str | None = None
    abort_by: str | None = None
    findings: tuple[Finding, ...] = ()
    transactions: tuple[SignedTransaction, ...] = ()
    reached: dict[State, datetime] = field(default_factory=dict)
    head_seen: int = 0
    registered_head: int = 0
    verified: VerifiedBlock | None = None
    missed_slots: int | None = None
    safe_to_stop: str | None = None

    @property
    def from_key(self) -> PublicKey | None:
        """The one key that the row had, None where it had another number of them."""
        return self.from_keys[0] if len(self.from_keys) == 1 else None

    @property
    def live(self) -> bool:
        """Whether anything may still happen."""
        return self.state not in TERMINAL

    @property
    def transaction(self) -> SignedTransaction | None:
        """The last transaction, None if nothing was signed."""
        return self.transactions[-1] if self.transactions else None
