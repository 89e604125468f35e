"""Compares blocks of our producer with signatures of this signer, both ways. Pure.

A block by a key of ours whose signature this signer never gave says that somebody has the key. So nothing less is
called that: where another signer's key may have signed, or the log may lack a line, the block is unclear.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from signer.antelope.keys import Digest
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature
from signer.chain.values import Consensus
from signer.errors import FormatError
from signer.signing.ledger import LEEWAY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from signer.chain.values import Block
    from signer.signing.ledger import Hole, Ledger

_R1: Final = "_R1_"


class Author(enum.StrEnum):
    """Whose signature a block of our producer has."""

    #: This signer gave it.
    OURS = "ours"
    #: A key of this signer made it, and this signer did not: somebody else has the key.
    CLONE = "clone"
    #: A key that is not in this signer.
    FOREIGN = "foreign"
    #: Nobody can tell from here; the reason says why.
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Finding:
    """A block and whose signature it has. `keys` are those that may have signed; `reason` is empty unless unclear."""

    block: Block
    author: Author
    keys: tuple[str, ...]
    reason: str = ""


@dataclass(slots=True)
class Reconciliation:
    """The comparison of a range of blocks.

    Attributes:
        findings: one for each block of our producer.
        lost: signatures that were given and are in no block: late, or of a fork that lost.
    """

    findings: list[Finding] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def of(self, author: Author) -> list[Finding]:
        """Return the findings of one kind."""
        return [each for each in self.findings if each.author is author]


class Comparison:
    """Compares block by block, oldest first.

    Args:
        ledger: what was signed.
        own: block keys of this signer for the chain (PUB_ form), also those that it had before.
    """

    def __init__(self, ledger: Ledger, own: Collection[str]) -> None:
        self._ledger = ledger
        self._own = frozenset(own)
        self._in_hole: dict[Hole, int] = {}

    def find(self, block: Block, authority: Collection[str] | None) -> Finding:
        """Return whose signature a block has.

        Args:
            block: of our producer.
            authority: the keys of the producer in the schedule that the block was made under; None: not known.
        """
        if block.producer_signature in self._ledger.issued:
            return Finding(block, Author.OURS, (self._ledger.issued[block.producer_signature].key,))
        keys = possible_keys(block, authority)
        if keys is None:
            return Finding(block, Author.UNCLEAR, (), "the schedule that it was made under is not known")
        if not self._own & keys:
            return Finding(block, Author.FOREIGN, tuple(sorted(keys)))
        if not keys <= self._own:
            reason = (
                "the authority has keys of this signer and others, and the block does not say which signed"
            )
            return Finding(block, Author.UNCLEAR, tuple(sorted(keys)), reason)
        reason = self._may_be_missing(block.time)
        return Finding(block, Author.UNCLEAR if reason else Author.CLONE, tuple(sorted(keys)), reason)

    def _may_be_missing(self, moment: datetime) -> str:
        """Return why the log may lack a signature that was given for a block of that time; empty: it may not."""
        begins = self._ledger.begins
        if begins is None or moment < begins + LEEWAY:
            return "it is older than the audit log"
        for hole in self._ledger.holes_at(moment):
            count = self._in_hole.get(hole, 0)
            if hole.at_most is None or count < hole.at_most:
                self._in_hole[hole] = count + 1
                return hole.reason
        return ""


def compare(
    blocks: Iterable[tuple[Block, Collection[str] | None]],
    ledger: Ledger,
    own: Collection[str],
    since: datetime,
    until: datetime,
) -> Reconciliation:
    """Compare irreversible blocks with the ledger.

    Args:
        blocks: all of our producer between `since` and `until`, oldest first, each with its authority.
        ledger: as Comparison.
        own: as Comparison.
        since: the slot of the first block that was looked at, of whatever producer.
        until: that of the last.
    """
    comparison = Comparison(ledger, own)
    result = Reconciliation()
    on_chain = set()
    for block, authority in blocks:
        result.findings.append(comparison.find(block, authority))
        on_chain.add(block.producer_signature)
    result.lost = [
        signature
        for signature, given in ledger.issued.items()
        if given.key in own and signature not in on_chain and since + LEEWAY <= given.at <= until - LEEWAY
    ]
    return result


def possible_keys(block: Block, authority: Collection[str] | None) -> frozenset[str] | None:
    """Return the keys that may have made a block's signature; None: nobody knows.

    On Savanna the digest is the block's id, so the signature tells the key
    (S:libraries/chain/block_state.cpp:71-82,126). On legacy chains the digest cannot be made again from a block alone,
    so it is the keys of the authority that have the signature's curve.
    """
    if block.consensus is Consensus.SAVANNA:
        try:
            key = recover(Digest(bytes.fromhex(block.id)), Signature.parse(block.producer_signature))
        except FormatError:
            return None
        return frozenset({str(key)})
    if not authority:
        return None
    is_r1 = _R1 in block.producer_signature
    return frozenset(key for key in authority if (_R1 in key) == is_r1)
