"""What the journal writes, kind by kind. Each write is a point at which the process may die."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from signer.rotation.rotation import State


class Event(enum.StrEnum):
    """What happened to a rotation."""

    PLANNED = "planned"
    #: It waits for a second person.
    APPROVAL_AWAITED = "approval-awaited"
    APPROVED = "approved"
    #: Preflight begins; nothing has been signed.
    CHECKING = "checking"
    #: Preflight found no reason against it.
    CHECKED = "checked"
    REFUSED = "refused"
    #: A transaction is signed. It was not sent before this is on disk.
    SIGNED = "signed"
    #: An API node took the transaction, or had it already.
    ACCEPTED = "accepted"
    #: An API node did not take it; it may be tried again.
    REJECTED = "rejected"
    REGISTERED = "registered"
    PROPOSED = "proposed"
    PENDING = "pending"
    ACTIVE = "active"
    VERIFIED = "verified"
    DONE = "done"
    UNSCHEDULED = "unscheduled"
    #: The old key will be registered again.
    RETURNING = "returning"
    #: The transaction that registers the old key is signed.
    RETURN_SIGNED = "return-signed"
    RETURNED = "returned"
    #: A person asked for the end.
    ABORT_ASKED = "abort-asked"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    #: Approved by a second person after the fact (emergency).
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a rotation's history.

    Attributes:
        at: when (UTC).
        event: what happened.
        state: the state after it.
        by: a person's name, or `signer`.
        text: for a person.
    """

    at: datetime
    event: Event
    state: State
    by: str
    text: str
