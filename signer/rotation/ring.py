"""The block keys of a node, used one after the other: which comes next, how many are left, what may be destroyed. Pure.

A node's ring is its block keys in the order of the configuration. A cycle takes a key that was never used; a promotion
returns to the one that was used last, because the node is known to list it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from signer.antelope.keys import Curve
from signer.rotation.evidence import EvidenceKind, strongest
from signer.rotation.rotation import Kind, State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.config import Config
    from signer.rotation.evidence import Evidence
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
#: The state of a key that signs.
_ACTIVE: Final = "active"
#: Longer than a change of schedule takes on any chain, and than clocks differ. Savanna shows no proposed schedule
#: (Spring chain_plugin.cpp:1862-1871), so a key may be on its way into one that nobody sees for minutes.
SETTLED: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class KeyUse:
    """When the producer's row named a key, as far as the journal knows. Times are UTC.

    Attributes:
        first_at: when it was first seen there.
        last_at: when it was last seen there.
        times: how often it was registered; 1 also for a key that was there before the first rotation.
    """

    first_at: datetime
    last_at: datetime
    times: int


@dataclass(frozen=True, slots=True)
class RingEmpty:
    """There is no key to take.

    Attributes:
        reason: why not, and what to do.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class RingLevel:
    """What is left of a node's ring, in the order of the configuration.

    Attributes:
        curve: the curve that counts.
        unused: keys that a cycle may take: one for each night.
        used: keys that the row named.
        unfit: keys that were never used and do not sign now.
        low: whether fewer are unused than the configuration asks for.
    """

    curve: Curve
    unused: tuple[PublicKey, ...]
    used: tuple[PublicKey, ...]
    unfit: tuple[PublicKey, ...]
    low: bool


@dataclass(frozen=True, slots=True)
class Holders:
    """Where one chain names block keys, and how far it is irreversible. None: nobody could say.

    Attributes:
        chain: the chain's name.
        row: the keys of our producer's row.
        schedules: the keys of all producers in the active, the pending and the proposed schedule.
        irreversible_time: the last irreversible block's time (UTC).
    """

    chain: str
    row: Collection[PublicKey] | None
    schedules: Collection[PublicKey] | None
    irreversible_time: datetime | None


def uses(rotations: Iterable[Rotation]) -> dict[PublicKey, KeyUse]:
    """Return the use of every key that the row named, from the rotations of one chain.

    A rotation that somebody else's change ended counts as one that registered its key once it had signed a
    transaction: that may have been in a block. A key is used rather once too often than a used one called fresh.
    """
    found: dict[PublicKey, KeyUse] = {}

    def see(key: PublicKey, first_at: datetime, last_at: datetime, times: int) -> None:
        use = found.get(key, KeyUse(first_at, last_at, 0))
        found[key] = KeyUse(min(use.first_at, first_at), max(use.last_at, last_at), use.times + times)

    for rotation in rotations:
        returned = rotation.state is State.RETURNED
        last_at = max(rotation.reached.values(), default=rotation.created_at)
        for key in rotation.from_keys:
            see(key, rotation.created_at, last_at, int(key not in found) + int(returned))
        registered_at = _registered_at(rotation)
        if registered_at is not None:
            until = rotation.reached.get(State.RETURNING, last_at) if returned else last_at
            see(rotation.to_key, registered_at, until, 1)
    return found


def next_key(
    config: Config,
    node: str,
    chain: str,
    uses: Mapping[PublicKey, KeyUse],
    states: Mapping[PublicKey, str],
    *,
    kind: Kind,
    current: PublicKey | None,
) -> PublicKey | RingEmpty:
    """Return the key of `node` that a rotation registers, where nobody names one.

    A cycle takes the first key, in the order of the configuration, of the ring's curve (see `level`) that was never
    used. A promotion takes the key that was used last; else the first R1 key; else the first. All must be active.

    Args:
        config: the configuration.
        node: a name in its [nodes].
        chain: a name in its [chains]: a node of another chain has no key for it.
        uses: the chain's, from the journal.
        states: of every key, as the signer has them.
        kind: promote or cycle.
        current: the key that the producer's row names, None if it names none or several.
    """
    ring = _ring(config, node) if config.nodes[node].chain == chain else ()
    if not ring:
        return RingEmpty(
            f"{node} has no block key for {chain}; make some with `signer keys generate --append`"
        )
    if kind is Kind.CYCLE:
        return _fresh(config, node, uses, states, current)
    if current in ring:
        return RingEmpty(f"{node} is registered already, with {current}; a cycle gives it a fresh key")
    return _known(node, ring, uses, states)


def _fresh(
    config: Config,
    node: str,
    uses: Mapping[PublicKey, KeyUse],
    states: Mapping[PublicKey, str],
    current: PublicKey | None,
) -> PublicKey | RingEmpty:
    left = level(config, node, uses, states, current=current)
    if left.unused:
        return left.unused[0]
    unfit = f", {len(left.unfit)} not used and not active" if left.unfit else ""
    return RingEmpty(
        f"{node} has no unused {left.curve} key: {len(left.used)} used{unfit}; make more with "
        f"`signer keys generate --append`, list them in the node's configuration and restart the node"
    )


def _known(
    node: str,
    ring: tuple[PublicKey, ...],
    uses: Mapping[PublicKey, KeyUse],
    states: Mapping[PublicKey, str],
) -> PublicKey | RingEmpty:
    fit = [key for key in ring if states.get(key) == _ACTIVE]
    if not fit:
        return RingEmpty(f"none of the {len(ring)} block keys of {node} is active; `signer status` says why")
    used = [key for key in fit if key in uses]
    if used:
        return max(used, key=lambda key: uses[key].last_at)
    return next((key for key in fit if key.curve is Curve.R1), fit[0])


def level(
    config: Config,
    node: str,
    uses: Mapping[PublicKey, KeyUse],
    states: Mapping[PublicKey, str],
    *,
    current: PublicKey | None,
) -> RingLevel:
    """Return what is left of the ring of `node`. Arguments as `next_key`.

    The ring's curve is that of the current key where the node has keys of it; else R1 where it has those; else K1.
    """
    ring = _ring(config, node)
    curves = {key.curve for key in ring}
    if current is not None and current.curve in curves:
        curve = current.curve
    else:
        curve = Curve.K1 if curves == {Curve.K1} else Curve.R1
    keys = [key for key in ring if key.curve is curve]
    used = tuple(key for key in keys if key in uses or key == current)
    fresh = [key for key in keys if key not in used]
    unused = tuple(key for key in fresh if states.get(key) == _ACTIVE)
    unfit = tuple(key for key in fresh if key not in unused)
    return RingLevel(curve, unused, used, unfit, low=len(unused) < config.rotation.ring_low_water)


def may_destroy(
    key: PublicKey,
    *,
    config: Config,
    chains: Iterable[Holders],
    live: Iterable[Rotation],
    evidence: Iterable[Evidence],
    last_used_at: datetime | None,
    now: datetime,
) -> str | None:
    """Return why a key must not be destroyed, None if it may be.

    It may be when it is in no schedule and no producer's row, no rotation is about it, neither the signer nor a
    running nodeos lists it, and its last block is irreversible. What nobody can say is a reason against it.

    Args:
        key: the block key.
        config: the configuration.
        chains: every chain of the configuration that has block keys, or had this one.
        live: the rotations that have not ended, of every chain.
        evidence: what is known of the nodes.
        last_used_at: the latest of its last signature and of the journal's last use (UTC); None: never used.
        now: the time.
    """
    reasons = []
    if any(each.public_key == key for each in config.keys):
        reasons.append(
            "the signer's configuration lists it: remove its [[keys]] block and run `signer reload`"
        )
    known = tuple(evidence)
    for node in config.nodes:
        seen = strongest(known, node, key, now=now, max_age=timedelta.max)
        if seen is not None and seen.kind is not EvidenceKind.UNLISTED:
            reasons.append(
                f"the nodeos of {node} may list it ({seen.kind}, {seen.at:%Y-%m-%d %H:%M} UTC): take it out, "
                f"restart the node, and run `signer nodes attest {node}` while the signer still has the key"
            )
    reasons += [
        f"rotation {rotation.id} is {rotation.state} and may register it"
        for rotation in live
        if key == rotation.to_key or key in rotation.from_keys
    ]
    seen_chains = tuple(chains)
    if not seen_chains:
        reasons.append("no chain was asked")
    for chain in seen_chains:
        reasons += _held(key, chain, last_used_at)
    return "; ".join(reasons) or None


def _held(key: PublicKey, chain: Holders, last_used_at: datetime | None) -> list[str]:
    reasons = []
    if chain.row is None or chain.schedules is None or chain.irreversible_time is None:
        reasons.append(
            f"chain {chain.chain} cannot be asked for its schedules, our row and its last irreversible block: "
            f"that needs api and producer in [chains.{chain.chain}], and a node that answers"
        )
    if key in (chain.row or ()):
        reasons.append(f"the producer's row on {chain.chain} names it")
    if key in (chain.schedules or ()):
        reasons.append(f"a schedule of {chain.chain} names it")
    if last_used_at is not None and chain.irreversible_time is not None:
        left = last_used_at + SETTLED - chain.irreversible_time
        if left >= timedelta():
            reasons.append(
                f"its last block on {chain.chain} may not be irreversible yet: try again in "
                f"{left // timedelta(minutes=1) + 1} min"
            )
    return reasons


def _ring(config: Config, node: str) -> tuple[PublicKey, ...]:
    return tuple(each.public_key for each in config.keys if each.role == "block" and each.node == node)


def _registered_at(rotation: Rotation) -> datetime | None:
    seen = [at for state, at in rotation.reached.items() if state in _REGISTERED]
    if not seen and rotation.state is State.SUPERSEDED and rotation.transactions:
        seen = [rotation.transactions[0].signed_at]
    return min(seen, default=None)
