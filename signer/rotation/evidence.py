"""What is known of the keys that a running nodeos lists, how it is known, and how old it is. Pure.

nodeos reads its signature providers once, at start, and no API names them (Leap producer_api_plugin.cpp:97-143).
A rotation to a key that the target does not list stops production, so what is known has a kind and an age.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from signer.antelope.keys import PublicKey
    from signer.config import Config


class EvidenceKind(enum.StrEnum):
    """How it is known."""

    #: The node asked for a signature of this key, and the block is on chain.
    SIGNED = "signed"
    #: The configuration and the command line of the running nodeos list it, read on its host.
    FILE = "file"
    #: The signer's own configuration says so, and nobody looked.
    DECLARED = "declared"
    #: Read as for `file`, and this nodeos cannot produce with the key: it asks this signer for others, or nobody.
    UNLISTED = "unlisted"


#: What an unattended rotation may rely on.
PROOF: Final = frozenset({EvidenceKind.SIGNED, EvidenceKind.FILE})

_RANK: Final = {EvidenceKind.DECLARED: 0, EvidenceKind.FILE: 1, EvidenceKind.SIGNED: 2}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation of one key.

    Attributes:
        node: the node's name in the configuration.
        kind: how it is known.
        key: the block key.
        at: when (UTC): the block's time for `signed`, the reading for `file` and `unlisted`.
        detail: for a person: the block, or the process that was looked at.
        by: the person who looked, or `signer`.
    """

    node: str
    kind: EvidenceKind
    key: PublicKey
    at: datetime
    detail: str
    by: str

    def age(self, now: datetime) -> timedelta:
        """How far it is from now. A moment in the future counts as one as long ago: clocks are set back."""
        return abs(now - self.at)

    def is_proof(self, now: datetime, max_age: timedelta) -> bool:
        """Whether an unattended rotation may rely on it."""
        return self.kind in PROOF and self.age(now) <= max_age


def declared(config: Config, node: str, now: datetime) -> list[Evidence]:
    """What the signer's configuration says of a node's block keys."""
    return [
        Evidence(node, EvidenceKind.DECLARED, key.public_key, now, "the signer's configuration", "signer")
        for key in config.keys
        if key.role == "block" and key.node == node
    ]


def strongest(
    evidence: Iterable[Evidence], node: str, key: PublicKey, *, now: datetime, max_age: timedelta
) -> Evidence | None:
    """The one observation of (node, key) that says most, None where there is none.

    A reading without the key voids everything before it but blocks of the same or a later time. Then a proof that
    is not too old comes before an older one, `signed` before `file` before `declared`, and the newest of its kind.
    """
    own = [each for each in evidence if each.node == node and each.key == key]
    unlisted = max(
        (each for each in own if each.kind is EvidenceKind.UNLISTED), key=lambda each: each.at, default=None
    )
    if unlisted is not None:
        own = [each for each in own if each.kind in PROOF and each.at >= unlisted.at]
        if not own:
            return unlisted
    return max(
        own,
        key=lambda each: (each.kind in PROOF, each.is_proof(now, max_age), _RANK[each.kind], each.at),
        default=None,
    )
