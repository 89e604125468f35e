"""The keys that this process may sign with, and their health.

The only place where signer meets hsm's lanes. It guarantees that a signature is verified against the expected key
before it leaves, and that a key that failed its audit or its probe signs nothing, says why, and harms no other key.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hsm.race import Ending, Race, Result
from signer.antelope.keys import Curve, Digest
from signer.antelope.recovery import Verifier, verifier_for
from signer.errors import SigningError
from signer.signing.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.antelope.keys import PublicKey

_NS_PER_MS = 1_000_000
#: Time for one probe signature, in ms. Generous: a slow token is still a token.
_PROBE_MS = 5_000
#: A key is at fault only when so many probe signatures in a row failed.
_PROBE_TRIES = 3
#: A token that has no time for a check is asked again after this, in s.
_AGAIN_S = 1.0


@dataclass(eq=False, slots=True)
class KeyEntry:
    """One configured key of a token.

    Attributes:
        name: the PUB_ form.
        index: its position in the list that the token's lanes were opened with.
        state: `unavailable` (token away, not checked yet), `active` or `quarantined`. Frozen is asked of the markers.
    """

    public_key: PublicKey
    name: str
    role: str
    node: str
    token: str
    label: str
    index: int
    verifier: Verifier
    state: str = "unavailable"
    reason: str = "its token has not been opened yet"
    signatures: int = 0
    last_signature_at: float | None = None

    @property
    def canonical(self) -> bool:
        """Whether nodeos wants this curve's signatures canonical (K1 only)."""
        return self.public_key.curve is Curve.K1

    def lose(self, reason: str) -> None:
        """The session works and the key is not there any more."""
        self.state = "quarantined"
        self.reason = f"{reason}; put the key back and run `signer reload`, or configure another"


@dataclass(eq=False, slots=True)
class TokenRing:
    """A token's keys, its lanes, and the probe keys that keep it warm.

    Attributes:
        pace: when its keys are asked for.
        rehearsed: when it last was kept warm, in s of the monotonic clock.
        canonical: whether the last request was for a K1 key.
        probed_at: when a probe of one of its keys last verified, in s since 1970.
    """

    name: str
    software: bool
    race: Race
    keys: list[KeyEntry]
    probes: list[KeyEntry] = field(default_factory=list)
    pace: Pace = field(default_factory=Pace)
    rehearsed: float = 0.0
    canonical: bool = False
    probed_at: float | None = None

    @property
    def proved_at(self) -> float | None:
        """When it last made a signature that verified, in s since 1970: for a caller, a rehearsal or a probe.

        What lies ahead is from before the clock was stepped back, and would count for as long as the step was.
        """
        now = time.time()
        known = [self.probed_at, *(entry.last_signature_at for entry in self.keys)]
        return max((at for at in known if at is not None and at <= now), default=None)


class Keyring:
    """All keys, found by any spelling and checked on each return of their token."""

    def __init__(self, rings: list[TokenRing]) -> None:
        self.rings = {ring.name: ring for ring in rings}
        self.entries = [entry for ring in rings for entry in ring.keys]
        self._by_spelling: dict[str, KeyEntry] = {}
        for entry in self.entries:
            for spelling in {entry.name, entry.public_key.fc}:
                self._by_spelling[spelling] = entry

    def find(self, spelling: str) -> KeyEntry | None:
        """Return the key written as `EOS...`, `PUB_K1_...` or `PUB_R1_...`, or None."""
        return self._by_spelling.get(spelling)

    def probe(self, ring: TokenRing, *, canonical: bool = False) -> KeyEntry | None:
        """Return the key that keeps `ring` warm: a K1 probe if `canonical` and there is one, else an R1 probe."""
        return min(ring.probes, key=lambda entry: entry.canonical != canonical, default=None)

    def of_node(self, node: str) -> list[KeyEntry]:
        """Return the block keys of `node` in keosd's order: by type, then by bytes."""
        own = [entry for entry in self.entries if entry.role == "block" and entry.node == node]
        return sorted(own, key=lambda entry: (entry.public_key.curve is Curve.R1, entry.public_key.data))

    def sign(
        self,
        entry: KeyEntry,
        digest: bytes,
        deadline_ns: int,
        source: str,
        end: Callable[[Result], None],
        *,
        probe: bool = False,
    ) -> None:
        """Ask the token of `entry` for a signature of `digest` (bytes, 32); `end` gets it, not yet verified."""
        self.rings[entry.token].race.submit(
            entry.index,
            digest,
            canonical=entry.canonical and not probe,  # a rehearsal is one operation
            deadline_ns=deadline_ns,
            source=source,
            end=end,
            probe=probe,
        )

    # -- health --------------------------------------------------------------------------------------

    def token_lost(self, token: str, reason: str) -> None:
        """The token's last lane is gone: its keys wait for the next."""
        for entry in self.rings[token].keys:
            if entry.state == "active":
                entry.state, entry.reason = "unavailable", reason

    def token_state(self, token: str, state: str, reason: str) -> None:
        """The supervisor's word on a token: what its keys say while they cannot sign."""
        said = f"is {state}: {reason}" if reason else f"is {state}; the check of its keys is not done"
        for entry in self.rings[token].keys:
            if entry.state == "unavailable":
                entry.reason = f"token {token} {said}"

    async def token_back(self, token: str, findings: dict[int, list[str]]) -> None:
        """A lane is open: audit each key that is not active yet and let it sign a verified probe.

        Args:
            token: its name.
            findings: what the lane found wrong, by key index.
        """
        ring = self.rings[token]
        for entry in ring.keys:
            if entry.state == "active":
                continue
            fault: str | None = "; ".join(findings.get(entry.index, []))
            if not fault:
                fault = await self.prove(entry, patient=True)
            if fault is None:
                entry.state, entry.reason = "unavailable", "its token went away during the check"
            elif fault:
                entry.state, entry.reason = "quarantined", fault
            else:
                entry.state, entry.reason = "active", ""

    async def prove(self, entry: KeyEntry, *, patient: bool = False) -> str | None:
        """Let the key sign a random digest, whatever its state; nobody gets the signature.

        Args:
            entry: the key.
            patient: whether it is asked until its token has time for it: a flood of other requests is no fault of it.

        Returns:
            what is wrong with the key, an empty string if nothing, None if the token went away.
        """
        digest = Digest(os.urandom(32))
        raw: list[bytes] = []
        for canonical in (False, False, True) if entry.canonical else (False,):
            result = await self._probe_once(entry, digest, canonical=canonical)
            while patient and _had_no_time(result):
                entry.reason = f"its token has no time for the check of its keys: {result.ending.value}"
                await asyncio.sleep(_AGAIN_S)
                result = await self._probe_once(entry, digest, canonical=canonical)
            if result.ending is Ending.NO_LANE:
                return None
            if result.ending is not Ending.SIGNED:
                return f"cannot sign a probe: {result.reason or result.ending.value}"
            raw.append(result.rs)
            if len(raw) == 2 and raw[0] == raw[1]:  # noqa: PLR2004 - the same digest, twice
                return (
                    "its token makes deterministic signatures (the same digest gave the same signature twice), "
                    "so half of all K1 digests could never be signed as nodeos wants them; "
                    "use an R1 key in this token"
                )
        try:
            entry.verifier.seal(digest, raw[-1])
        except SigningError as error:
            return f"its probe signature does not verify: {error}"
        self.rings[entry.token].probed_at = time.time()
        return ""

    async def _probe_once(self, entry: KeyEntry, digest: bytes, *, canonical: bool) -> Result:
        """Return the result of one probe signature. A lane that fails or dies is no fault of the key."""
        result = Result(Ending.FAILED)
        for _ in range(_PROBE_TRIES):
            deadline_ns = time.monotonic_ns() + _PROBE_MS * _NS_PER_MS
            result = await self.rings[entry.token].race.sign(
                entry.index, digest, canonical=canonical, deadline_ns=deadline_ns, source="probe", probe=True
            )
            if result.ending is not Ending.FAILED:
                break
        return result


def build(public_key: PublicKey, *, role: str, node: str, token: str, label: str, index: int) -> KeyEntry:
    """Return an entry for a configured key, with its verifier ready."""
    return KeyEntry(public_key, str(public_key), role, node, token, label, index, verifier_for(public_key))


def _had_no_time(result: Result) -> bool:
    """Whether a request never came to a lane, for others that wait."""
    return result.ending is Ending.CROWDED or (result.ending is Ending.LATE and not result.tries)
