"""The block keys of a node, used one after the other. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from signer.rotation.rotation import State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.rotation.rotation import Rotation

#: Having been in one of these, the producer's row named the new key.
_REGISTERED: Final = frozenset(
    {
        State.REGISTERED,
        State.PROPOSED,
        State.PENDING,
        State.ACTIVE,
        State.VERIFIED,
        State.DONE,
        State.UNSCHEDULED,
        State.RETURNING,
        State.RETURNED,
    }
)


@dataclass(frozen=True, slots=True)
class KeyUse:
    """When the producer's row named a key, as far as the journal knows. Times are UTC.

    Attributes:
        first_at: when it was first seen there.
        last_at: when it was last seen there, or last registered.
        times: how often it was registered; 1 also for a key that was there before the first rotation.
    """

    first_at: datetime
    last_at: datetime
    times: int


def uses(rotations: Iterable[Rotation]) -> dict[PublicKey, KeyUse]:
    """Return the use of every key that the row named, from the rotations of one chain, oldest first.

    A rotation that somebody else's change ended counts as one that registered its key once it had signed a
    transaction: that may have been in a block. A key is used rather once too often than a used one called fresh.
    """
    found: dict[PublicKey, KeyUse] = {}

    def see(key: PublicKey, at: datetime, times: int) -> None:
        use = found.get(key, KeyUse(at, at, 0))
        found[key] = replace(
            use, first_at=min(use.first_at, at), last_at=max(use.last_at, at), times=max(1, use.times + times)
        )

    for rotation in rotations:
        for key in rotation.from_keys:
            see(key, rotation.reached.get(State.SIGNED, rotation.created_at), 0)
        at = _registered_at(rotation)
        if at is not None:
            see(rotation.to_key, at, 1)
        if rotation.state is State.RETURNED and rotation.from_key is not None:
            see(rotation.from_key, rotation.state_since, 1)
    return found


def _registered_at(rotation: Rotation) -> datetime | None:
    seen = [at for state, at in rotation.reached.items() if state in _REGISTERED]
    if not seen and rotation.state is State.SUPERSEDED and rotation.transactions:
        seen = [rotation.transactions[0].signed_at]
    return min(seen, default=None)
