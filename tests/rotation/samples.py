"""Rotations for tests: one with every field set, and a strategy that makes any."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st
from rig import two_nodes

from signer.antelope.keys import PublicKey
from signer.rotation.finding import Finding, Level
from signer.rotation.rotation import (
    Kind,
    Purpose,
    Request,
    Rotation,
    SignedTransaction,
    State,
    VerifiedBlock,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KEYS = (*two_nodes.A, *two_nodes.B)

REQUEST = Request(Kind.PROMOTE, "local", "b", "alice")

FULL = Rotation(
    id=7,
    request=Request(
        Kind.CYCLE,
        "local",
        "b",
        "alice",
        "the calendar",
        True,
        True,
        True,
        True,
        False,
    ),
    producer="bravo",
    permission="rotate",
    to_key=two_nodes.B[1],
    created_at=NOW,
    state=State.VERIFIED,
    state_since=NOW + SECOND,
    from_keys=two_nodes.A[:2],
    from_node="a",
    reason="waits for the irreversibility of block 12",
    needs_approval=True,
    approved_by="bob",
    abort_by="carol",
    findings=(Finding("behind", Level.WARNING, "b is 3 blocks behind", "wait"),),
    transactions=(
        SignedTransaction(
            Purpose.REGISTER,
            b"\x00\xff" * 90,
            "SIG_R1_x",
            two_nodes.ROTATION,
            "ab" * 32,
            NOW,
            11,
            NOW,
            NOW,
            "yes",
        ),
        SignedTransaction(
            Purpose.RETURN, b"\x01", "SIG_R1_y", two_nodes.ROTATION, "cd" * 32, NOW, 12, NOW, None, "no"
        ),
    ),
    reached={State.PLANNED: NOW, State.VERIFIED: NOW + SECOND},
    head_seen=13,
    registered_head=12,
    verified=VerifiedBlock(12, "ef" * 32, NOW, "SIG_R1_z"),
    missed_slots=0,
    safe_to_stop="a",
)

_ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    # Half a surrogate pair is what JSON from an API node may hold.
    str: st.text(st.characters(exclude_categories=()), max_size=12),
    bool: st.booleans(),
    int: st.integers(0, 2**64),
    bytes: st.binary(max_size=40),
    datetime: st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=_ZONES | st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    PublicKey: st.sampled_from(KEYS),
}
_NAMES = {each.__name__: each for each in (PublicKey, Finding, datetime)}


def _any(hint: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - a type
    """Return a strategy for the values of a type, by its fields: one that is added is made too."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return st.one_of([st.none() if each is types.NoneType else _any(each) for each in arguments])
    if origin is tuple:
        return st.lists(_any(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(_any(arguments[0]), _any(arguments[1]), max_size=3)
    if issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    hints = typing.get_type_hints(hint, localns=_NAMES)
    return st.builds(hint, **{each.name: _any(hints[each.name]) for each in dataclasses.fields(hint)})


#: Rotations with any value in every field, whether or not it makes sense.
rotations: st.SearchStrategy[Rotation] = _any(Rotation)
