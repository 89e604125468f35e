"""Which node may sign for a producer now, where more than one asks. Pure: values in, a verdict out.

A lease is of one producer on one chain, over all keys of all its nodes here. A node holds it from the signature that it
was given, or that the slot rule refused it in cases 5 and 8, until another one takes over. It protects one thing: where
an authority accepts keys of two nodes, or a mistake has the same effect, only one of them produces. Where an authority
has the keys of one node, the lease follows the authority, and the chain alone decides.

A node asks for a key only while its own chain has that key in the active authority of the producer (nodeos,
producer_plugin, `start_block`). What the control process saw of the chain, `Authority`, may be some seconds behind, or
hours if no API node answers. N asks for `key`, H holds the lease:

| | case | verdict |
|---|---|---|
| 1 | nobody holds it: the first start, or the holder left the configuration | N, `first` |
| 2 | N holds it, with whatever key: a cycle, a return, several keys | N, `holder` |
| 3 | H was given no signature for the time of silence, at least two rounds | N, `silence` |
| 4 | nothing is known of the chain | refused, until 3 |
| 5 | `key` is active, no key of H is: production moved and H does not know yet | N, `authority` |
| 6 | `key` is active, and so is one of H: regproducer2 with keys of two nodes | refused, until 3 or 7 |
| 7 | as 6, and 3 slots in a row have no block, and H was given no signature since the first of them | N, `missed` |
| 8 | `key` is not active, but of a coming authority without a key of H: N's chain is ahead | N, `successor` |
| 9 | as 8, and that authority has a key of H too: it will be case 6 | refused, until 3 |
| 10 | `key` is in no authority: a retired key, a node on a dead fork, a wrong configuration | refused, until 3 |
| 11 | after 8, and nothing new was seen: the overtaken node or a third one asks | refused, until 3 or 7 |
| 12 | a person gave the lease to a node | that node is H now, `taken` |

- A coming authority is the row, the proposed or the pending schedule, or the target of a live rotation.
- 8 costs nothing in a planned promotion, whichever of two processes is faster: B's first request takes the lease. Where
  somebody still has A sign, it costs one slot, as 5 does.
- 11 stops two nodes from taking it from each other in turns while the chain cannot be seen. If the fork on which B
  was the producer dies, A gets the lease back by 7 or 3, or by hand.
- After 12 the other cases hold as ever: given to a node without an active key, the lease goes back by 5.
- What counts for 3 and 7 is the newest signature, or when it got the lease: a holder whose token fails does not keep it
  by asking.
- A restart keeps the holder and begins its silence anew.
- What this cannot stop: somebody who keeps asking for a key of the holder in cases 4 and 6, or who asks for a key of a
  coming authority, case 8, and goes on, case 11. That holder is never silent, and does not lack a signature while slots
  are missed: a person moves the lease.
- Nor a node of another signer. Two signers share nothing; the registered key is what tells them who produces.
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Our slots in a row without a block that count as the holder's absence. One or two are lost now and then, and the last
#: of a round have nobody after them to tell.
MISSED: Final = 3


class Claim(enum.StrEnum):
    """By which case of the table a node holds the lease."""

    FIRST = "first"
    HOLDER = "holder"
    SILENCE = "silence"
    AUTHORITY = "authority"
    MISSED = "missed"
    SUCCESSOR = "successor"
    TAKEN = "taken"


class Ask(NamedTuple):
    """A request: which node, for which key (PUB_ form), when (ns of CLOCK_MONOTONIC)."""

    node: str
    key: str
    now_ns: int


@dataclass(frozen=True, slots=True)
class Authority:
    """What was last seen of the producer on its chain. Keys in PUB_ form.

    Attributes:
        active: what the active schedule accepts from our producer; empty if it is not scheduled.
        coming: each authority that may follow.
        missed: our newest slots without a block, one after the other, and no block of ours since.
        missed_since: the first of them, in s since 1970; None if there is none.
    """

    active: frozenset[str]
    coming: tuple[frozenset[str], ...] = ()
    missed: int = 0
    missed_since: float | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that is held.

    Attributes:
        holder: the node.
        claim: how it came to it.
        since: when, in s since 1970.
        signed_at: its last signature, or when it got the lease, in s since 1970.
        signed_ns: the same in ns of CLOCK_MONOTONIC.
        overtook: the active authority that was seen when a key of a coming one took the lease (case 8).
    """

    holder: str
    claim: Claim
    since: float
    signed_at: float
    signed_ns: int
    overtook: frozenset[str] | None = None

    def to_fields(self) -> dict[str, Any]:
        """Return the attributes as a JSON object, as `from_fields` takes it."""
        overtook = None if self.overtook is None else sorted(self.overtook)
        return asdict(self) | {"overtook": overtook}

    @classmethod
    def from_fields(cls, given: Mapping[str, Any]) -> Self:
        """Return the lease in a JSON object of another of our processes."""
        overtook = given["overtook"]
        return cls(
            **{
                **given,
                "claim": Claim(given["claim"]),
                "overtook": None if overtook is None else frozenset(overtook),
            }
        )


def decide(  # noqa: PLR0911 - one return for each case of the table
    lease: Lease | None, ask: Ask, authority: Authority | None, nodes: Mapping[str, str], silence_ns: int
) -> Claim | None:
    """Return by which claim a node may sign now, None if it may not.

    Args:
        lease: None if nobody holds it.
        ask: who asks.
        authority: None if nothing is known of the chain.
        nodes: of each key here, its node.
        silence_ns: without a signature for this long the holder loses the lease to whoever asks.
    """
    if lease is None:
        return Claim.FIRST
    if lease.holder == ask.node:
        return Claim.HOLDER
    if ask.now_ns - lease.signed_ns >= silence_ns:
        return Claim.SILENCE
    if authority is None:
        return None
    overtaken = lease.overtook == authority.active
    if ask.key in authority.active:
        if not overtaken and not _has(authority.active, lease.holder, nodes):
            return Claim.AUTHORITY
        return Claim.MISSED if _absent(lease, authority) else None
    if overtaken:
        return None
    for coming in authority.coming:
        if ask.key in coming and not _has(coming, lease.holder, nodes):
            return Claim.SUCCESSOR
    return None


def signed(lease: Lease | None, ask: Ask, claim: Claim, now_at: float, authority: Authority | None) -> Lease:
    """Return the lease after the node of `ask` was given a signature by `claim`; `now_at` in s since 1970."""
    if claim is Claim.HOLDER and lease is not None:
        return Lease(lease.holder, lease.claim, lease.since, now_at, ask.now_ns, lease.overtook)
    ahead = claim is Claim.SUCCESSOR and authority is not None
    return Lease(
        ask.node, claim, now_at, now_at, ask.now_ns, authority.active if ahead and authority else None
    )


def seen(lease: Lease, authority: Authority) -> Lease:
    """Return the lease after the chain was seen: once the authority is another one, nobody is ahead of it any more."""
    if lease.overtook is None or lease.overtook == authority.active:
        return lease
    return replace(lease, overtook=None)


def _has(keys: frozenset[str], node: str, nodes: Mapping[str, str]) -> bool:
    return any(nodes.get(key) == node for key in keys)


def _absent(lease: Lease, authority: Authority) -> bool:
    since = authority.missed_since
    return authority.missed >= MISSED and since is not None and lease.signed_at < since
