"""Proof on demand that a block key can sign: a signature of a digest that nobody chose, verified and thrown away.

Who asks learns only whether it worked, so that a probe is never a way to have something signed. Probes are counted
apart from what nodes ask for, take one lane and make room for any request (hsm.race).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signer.signing.freeze import FreezeMarkers
    from signer.signing.keyring import KeyEntry, Keyring


class Probes:
    """Probe signatures of block keys.

    Attributes:
        by_outcome: how many were `signed`, `refused` and `failed` since this process started.
    """

    def __init__(self, keys: Keyring, markers: FreezeMarkers) -> None:
        self._keys = keys
        self._markers = markers
        self.by_outcome: dict[str, int] = {}

    async def sign(self, key: str) -> str:
        """Let the block key `key` (any spelling) sign; return why it cannot, or an empty text."""
        entry = self._keys.find(key)
        refusal = f"{key} is not in a block token" if entry is None else self._refusal(entry)
        if entry is None or refusal:
            return self._count("refused", refusal)
        fault = await self._keys.prove(entry)
        if fault is None:
            fault = f"token {entry.token} went away"
        if fault:
            return self._count("failed", fault)
        frozen = self._frozen(entry)  # since it was asked: then it cannot sign for a node either
        return self._count("refused" if frozen else "signed", frozen)

    def _refusal(self, entry: KeyEntry) -> str:
        """As the guard decides for a node (signer.signing.guard), in words for whoever plans with the key."""
        if entry.role != "block":
            return f"{entry.name} is a {entry.role} key, not a block key"
        if frozen := self._frozen(entry):
            return frozen
        return "" if entry.state == "active" else f"{entry.name} is {entry.state}: {entry.reason}"

    def _frozen(self, entry: KeyEntry) -> str:
        reason = self._markers.frozen(entry.node, entry.name)
        return "" if reason is None else f"{entry.name} is frozen: {reason}"

    def _count(self, outcome: str, reason: str) -> str:
        self.by_outcome[outcome] = self.by_outcome.get(outcome, 0) + 1
        return reason
