"""Every change that the machine can make, found by trying, against the table of those that it should make."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rig import two_nodes

from signer.errors import RotationError
from signer.rotation import machine
from signer.rotation.entry import Event
from signer.rotation.finding import Finding, Level
from signer.rotation.machine import SILENT_NODE_S, Facts
from signer.rotation.rotation import (
    Kind,
    Purpose,
    Request,
    Rotation,
    SignedTransaction,
    State,
    VerifiedBlock,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from signer.antelope.keys import PublicKey
    from signer.rotation.machine import Change

#: state, event, state after it. `*` where it is the same.
TABLE = """
planned                approval-awaited approval
planned                checking         preflight
planned                aborted          aborted
planned                superseded       superseded
planned                confirmed        *
approval               approved         preflight
approval               aborted          aborted
approval               superseded       superseded
preflight              checked          *
preflight              refused          refused
preflight              signed           signed
preflight              aborted          aborted
preflight              superseded       superseded
preflight              failed           failed
preflight              confirmed        *
signed                 signed           *
signed                 accepted         *
signed                 rejected         *
signed                 registered       registered
signed                 abort-asked      *
signed                 aborted          aborted
signed                 superseded       superseded
signed                 failed           failed
signed                 confirmed        *
registered             accepted         *
registered             rejected         *
registered             rejected         signed
registered             proposed         proposed
registered             pending          pending
registered             active           active
registered             unscheduled      registered-unscheduled
registered             returning        returning
registered             superseded       superseded
registered             confirmed        *
proposed               accepted         *
proposed               rejected         *
proposed               rejected         signed
proposed               pending          pending
proposed               active           active
proposed               unscheduled      registered-unscheduled
proposed               returning        returning
proposed               superseded       superseded
proposed               confirmed        *
pending                accepted         *
pending                rejected         *
pending                rejected         signed
pending                active           active
pending                unscheduled      registered-unscheduled
pending                returning        returning
pending                superseded       superseded
pending                confirmed        *
active                 accepted         *
active                 rejected         *
active                 rejected         signed
active                 verified         verified
active                 unscheduled      registered-unscheduled
active                 returning        returning
active                 superseded       superseded
active                 confirmed        *
verified               accepted         *
verified               rejected         *
verified               active           active
verified               done             done
verified               superseded       superseded
verified               confirmed        *
done                   confirmed        *
registered-unscheduled confirmed        *
returning              accepted         *
returning              rejected         *
returning              rejected         registered
returning              registered       *
returning              active           *
returning              return-signed    *
returning              returned         returned
returning              superseded       superseded
returning              failed           failed
refused                confirmed        *
aborted                confirmed        *
superseded             confirmed        *
failed                 confirmed        *
"""

OLD, NEW, OTHER = two_nodes.A[1], two_nodes.B[1], two_nodes.A[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
#: Blocks: the row was seen, a transaction expires, and three looks: before the row is irreversible, before the
#: transaction has expired, after everything.
REGISTERED, EXPIRES = 1000, 1100
LOOKS, LAG = (1005, 1050, 1300), 10
BLOCKER = Finding("probe", Level.BLOCKER, "the target key cannot sign", "look at the token")


def time_of(block: int) -> datetime:
    """Return the timestamp of a block."""
    return NOW + timedelta(milliseconds=500) * block


def look(head: int, row: PublicKey, **more: Any) -> Facts:  # noqa: ANN401 - any field
    """One look at the chain at block `head`."""
    return Facts(NOW, head, head - LAG, time_of(head - LAG), frozenset({row}), **{"row_agreed": True, **more})


SCHEDULES: list[dict[str, frozenset[PublicKey]]] = [
    {"active": frozenset({OLD})},
    {"active": frozenset({OLD}), "proposed": frozenset({NEW})},
    {"active": frozenset({OLD}), "pending": frozenset({NEW})},
    {"active": frozenset({NEW})},
    {},
]
#: Every kind of look: before a block is verified, and then.
ROWS = list(itertools.product(LOOKS, (OLD, NEW, OTHER)))
BEFORE = [look(head, row, row_agreed=False, active=frozenset({OLD})) for head, row in ROWS] + [
    look(
        head,
        row,
        proof=VerifiedBlock(head, "", NOW, "") if proof else None,
        target_silent_s=silent_s,
        unfit=unfit,
        **schedule,
    )
    for (head, row), schedule, proof, (silent_s, unfit) in itertools.product(
        ROWS, SCHEDULES, (True, False), ((0.0, ""), (SILENT_NODE_S, ""), (SILENT_NODE_S, "it is gone"))
    )
]
VERIFIED = [
    look(
        head,
        row,
        row_agreed=agreed,
        active=frozenset({NEW}),
        proof=VerifiedBlock(head, "", NOW, ""),
        verified_dropped=dropped,
        finalizer=finalizer,
    )
    for (head, row), agreed, dropped, finalizer in itertools.product(
        ROWS, (True, False), (True, False, None), (True, False, None)
    )
]


def transaction(purpose: Purpose) -> SignedTransaction:
    """A transaction that was signed."""
    return SignedTransaction(purpose, b"", "", two_nodes.ROTATION, "", time_of(EXPIRES), REGISTERED, NOW)


def calls(rotation: Rotation) -> Iterator[Callable[[], Change | None]]:
    """Yield everything that can be done to a rotation."""
    yield lambda: machine.begin(rotation, NOW)
    yield lambda: machine.approve(rotation, "bob", NOW)
    yield lambda: machine.ask_abort(rotation, "carol", NOW)
    yield lambda: machine.supersede(rotation, "carol", NOW)
    yield lambda: machine.checked(rotation, [BLOCKER], (OLD,), "a", NOW)
    yield lambda: machine.checked(rotation, [], (OLD,), "a", NOW)
    yield lambda: machine.hopeless(rotation, "no", NOW)
    yield lambda: machine.unsignable(rotation, "no", NOW)
    if rotation.transaction is not None:
        yield lambda: machine.answered(rotation, accepted=True, text="taken", now=NOW)
        yield lambda: machine.answered(rotation, accepted=False, text="refused", now=NOW)
    facts = VERIFIED if rotation.state is State.VERIFIED else BEFORE
    # Where the runner signs: after preflight, and when the machine says so.
    if rotation.state is State.PREFLIGHT or any(machine.resign(rotation, each) for each in facts):
        purpose = Purpose.RETURN if rotation.state is State.RETURNING else Purpose.REGISTER
        yield lambda: machine.signed(rotation, transaction(purpose), NOW)
    for each in facts:
        yield lambda each=each: machine.observe(rotation, each)  # type: ignore[misc] # bound now


def alike(rotation: Rotation) -> Rotation:
    """Return the rotation without what makes no difference to where it may go, so that they are few."""
    purposes = [each.purpose for each in rotation.transactions]
    last = purposes[-1:]
    # One transaction of the last purpose, or as many as there may be.
    many = 1 if not set(last) & set(purposes[:-1]) else machine.MAX_TRANSACTIONS
    return replace(
        rotation,
        reason="",
        state_since=NOW,
        findings=(),
        needs_approval=rotation.needs_approval and rotation.approved_by is None,
        approved_by=None,
        transactions=tuple(map(transaction, last * many)),
        reached=dict.fromkeys({State.REGISTERED} & set(rotation.reached), NOW),
        head_seen=0,
        registered_head=REGISTERED if rotation.registered_head else 0,
        verified=VerifiedBlock(REGISTERED, "", NOW, "") if rotation.verified else None,
        safe_to_stop=None,
    )


def settles(rotation: Rotation, facts: Facts) -> bool:
    """Whether one look comes to an end, as the runner takes it: until nothing changes any more."""
    for _ in State:
        change = machine.observe(rotation, facts)
        if change is None:
            return True
        rotation = change.rotation
    return False


@functools.cache
def explored() -> tuple[set[tuple[str, str, str]], list[Rotation]]:
    """Try everything in every rotation that can come about. Returns the table, and the rotations."""
    request = Request(Kind.PROMOTE, "local", "b", "alice")
    planned = Rotation(
        7, request, two_nodes.PRODUCER, "rotate", NEW, NOW, State.PLANNED, NOW, reached={State.PLANNED: NOW}
    )
    ahead = [
        replace(planned, needs_approval=needs, request=replace(request, emergency=emergency))
        for needs, emergency in ((False, False), (True, False), (True, True))
    ]
    seen = {repr(rotation) for rotation in ahead}
    table: set[tuple[str, str, str]] = set()
    for rotation in ahead:  # which grows
        for call in calls(rotation):
            try:
                change = call()
            except RotationError:
                continue
            if change is not None:
                after = change.rotation.state
                table.add((rotation.state, change.entry.event, "*" if after is rotation.state else after))
                following = alike(change.rotation)
                if (name := repr(following)) not in seen:
                    seen.add(name)
                    ahead.append(following)
    return table, ahead


def test_the_table() -> None:
    """A change of the machine is a change of this table."""
    table, _ = explored()
    assert sorted(table) == sorted(tuple(line.split()) for line in TABLE.strip().splitlines())
    # The journal itself writes `planned`.
    assert {event for _, event, _ in table} == set(Event) - {Event.PLANNED}
    assert {state for row in table for state in (row[0], row[2])} == {*State, "*"}


def test_a_look_comes_to_an_end() -> None:
    """Else the control process would be busy with it for ever."""
    for rotation in explored()[1]:
        for facts in VERIFIED if rotation.state is State.VERIFIED else BEFORE:
            assert settles(rotation, facts), (rotation, facts)
