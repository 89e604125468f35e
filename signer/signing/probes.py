"""Proof on demand that a block key can sign, and how long a token takes: signatures of digests that nobody chose.

Who asks learns only whether it worked, so that a probe is never a way to have something signed. Probes are counted
apart from what nodes ask for, take one lane and make room for any request (hsm.race).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from hsm.race import Ending
from signer.antelope.keys import Digest
from signer.errors import SigningError

if TYPE_CHECKING:
    from signer.signing.freeze import FreezeMarkers
    from signer.signing.keyring import KeyEntry, Keyring

#: A signature that is measured may take this long, in ns: a token that needs more is not fit for blocks.
_MEASURE_NS: Final = 2_000_000_000


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

    async def measure(self, token: str, curve: str) -> tuple[int, str]:
        """Let a probe key of a software token sign once, as nodeos would want it, and verify it.

        One lane does all tries of a K1 signature; a request of a node races over all of them and is faster. Any
        request ends it (hsm.race), so none waits for it.

        Args:
            token: its name.
            curve: `K1` or `R1`.

        Returns:
            how long it took, in microseconds, and why it was not done: one of them is empty.
        """
        ring = self._keys.rings.get(token)
        entry = next(
            (each for each in (ring.probes if ring else ()) if each.public_key.curve.value == curve), None
        )
        if ring is None or entry is None or not ring.software:
            return 0, f"token {token} is no software token with a {curve} probe key"
        if entry.state != "active" or ring.race.busy:
            return 0, f"token {token} is busy, or its probe key is {entry.state}"
        digest, began = Digest(os.urandom(32)), time.monotonic_ns()
        result = await ring.race.sign(
            entry.index,
            digest,
            canonical=entry.canonical,
            deadline_ns=began + _MEASURE_NS,
            source="measure",
            probe=True,
        )
        if result.ending is not Ending.SIGNED:
            return 0, f"token {token} had something else to do: {result.reason or result.ending.value}"
        try:
            entry.verifier.seal(digest, result.rs)
        except SigningError as error:
            return 0, f"the probe signature of token {token} does not verify: {error}"
        return (time.monotonic_ns() - began) // 1000, ""

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
