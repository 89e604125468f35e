"""What a rotation would do, found out without doing it. A value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signer.antelope.keys import PublicKey
    from signer.rotation.finding import Finding


@dataclass(frozen=True, slots=True)
class DryRun:
    """The answer of a dry run.

    Attributes:
        node: the node that would produce.
        to_key: the key that would be registered.
        from_keys: the keys that the row has.
        from_node: the node that holds them, None if no one node of this signer does.
        findings: what preflight found.
        transaction: the transaction as nodeos' JSON, unsigned; None where a blocker keeps it from being built.
        expected_s: how long it takes from push to proof on this chain, in s; None if nobody knows.
    """

    node: str
    to_key: PublicKey
    from_keys: tuple[PublicKey, ...]
    from_node: str | None
    findings: tuple[Finding, ...]
    transaction: Mapping[str, Any] | None
    expected_s: float | None
