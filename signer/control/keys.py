"""Signatures with the keys of the control process: those that rotate block keys, and those of the audit log.

It guarantees that a signature is verified against the expected key before it leaves, that a frozen key gives none, and
that each request has its line on the way to the audit log before the caller has its answer. Nothing here is in a
hurry: a K1 signature is tried for until it is canonical.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from hsm.race import Ending, Result
from signer.errors import RefusedError, SigningError
from signer.signing.service import Decision

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.antelope.keys import Digest, PublicKey
    from signer.antelope.signature import Signature
    from signer.signing.freeze import FreezeMarkers
    from signer.signing.keyring import KeyEntry, Keyring

#: What the control process signs with. A probe key only keeps a token warm.
_ROLES: Final = ("rotation", "audit")
Role = Literal["rotation", "audit"]
_NS_PER_S: Final = 1_000_000_000
#: Far more than any token takes, also for a K1 signature at the tenth try.
_DEADLINE_NS: Final = 5 * _NS_PER_S

#: A token that has not opened this long after the start is away, in s (supervisor.run has the same at its start).
_START_S: Final = 20.0
#: Between two looks at the keys, in s.
_LOOK_S: Final = 0.05


class KeyState(NamedTuple):
    """How a key fares: `active`, `unavailable`, `quarantined` or `frozen`, and why if it is not active."""

    role: str
    state: str
    reason: str


class ControlKeys:
    """The rotation and audit keys.

    Args:
        keys: the keyring of the control tokens.
        markers: the freeze markers; they are looked up for each signature.
        record: takes what became of each request, before its caller is told; must not block.
    """

    def __init__(self, keys: Keyring, markers: FreezeMarkers, record: Callable[[Decision], None]) -> None:
        self._keys = keys
        self._markers = markers
        self._record = record
        self._began = time.monotonic()

    async def looked_at(self) -> None:
        """Wait until every key has been looked at, but not past the time in which a token is opened at a start.

        A process that was started a moment ago would say of each of its keys that it cannot sign, and whoever asks
        then, a rotation that goes on for example, would conclude from it.
        """
        while any(each.state == "unavailable" for each in self.states().values()):
            if time.monotonic() - self._began > _START_S:
                return
            await asyncio.sleep(_LOOK_S)

    def states(self) -> dict[PublicKey, KeyState]:
        """Return every rotation and audit key of the control tokens, and how it fares now."""
        return {entry.public_key: self._state(entry) for entry in self._keys.entries if entry.role in _ROLES}

    async def sign(self, public_key: PublicKey, digest: Digest, purpose: str, *, role: Role) -> Signature:
        """Sign `digest` with a rotation or audit key, within some seconds.

        Args:
            public_key: the key.
            digest: what is signed.
            purpose: what it is for, as the audit log says it: `rotation 17`.
            role: what the key must be for: a rotation key signs no checkpoint, an audit key no transaction.

        Returns:
            the signature, verified for the key, and canonical if it is K1.

        Raises:
            RefusedError: rule `unknown-key`, `wrong-role`, `frozen` or `quarantined`.
            SigningError: the token has no open session, failed, or made what does not verify.
        """
        began_ns = time.monotonic_ns()
        entry = self._keys.find(str(public_key))
        result = Result(Ending.NO_LANE)
        signature: Signature | None = None
        rule = "failed"
        try:
            allowed = self._allowed(entry, public_key, role)
            result = await self._ask(allowed, digest, began_ns)
            signature = self._finish(allowed, digest, result)
        except RefusedError as error:
            rule = error.rule
            raise
        finally:
            refused = "failed" if rule == "failed" else "refused"
            decision = Decision(
                at=time.time(),
                node="",
                caller=purpose,
                key=str(public_key),
                role=entry.role if entry else "",
                digest=digest.hex(),
                verdict="signed" if signature else refused,
                rule="" if signature else rule,
                signature=str(signature or ""),
                lane=result.lane,
                tries=result.tries,
                micros=(time.monotonic_ns() - began_ns) // 1000,
                detail="",
            )
            self._record(decision)
        return signature

    # -- inside --------------------------------------------------------------------------------------

    def _state(self, entry: KeyEntry) -> KeyState:
        frozen = self._markers.frozen("", entry.name)
        if frozen is not None:
            return KeyState(entry.role, "frozen", frozen)
        return KeyState(entry.role, entry.state, entry.reason)

    def _allowed(self, entry: KeyEntry | None, public_key: PublicKey, role: Role) -> KeyEntry:
        """Return the key's entry.

        Raises:
            RefusedError: a rule forbids it.
            SigningError: its token is not open.
        """
        if entry is None:
            raise RefusedError("unknown-key", f"{public_key} is in no token of the control process")
        if entry.role != role:
            raise RefusedError("wrong-role", f"{public_key} is a {entry.role} key")
        _, state, reason = self._state(entry)
        if state == "unavailable":
            raise SigningError(f"{entry.name} is unavailable: {reason}")
        if state != "active":
            raise RefusedError(state, f"{entry.name} is {state}: {reason}")
        return entry

    async def _ask(self, entry: KeyEntry, digest: Digest, began_ns: int) -> Result:
        ended: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def end(result: Result) -> None:
            if not ended.done():  # its owner may have gone
                ended.set_result(result)

        self._keys.sign(entry, digest, began_ns + _DEADLINE_NS, "control", end)
        return await ended

    def _finish(self, entry: KeyEntry, digest: Digest, result: Result) -> Signature:
        """Return the verified signature in `result`.

        Raises:
            SigningError: there is none, or it does not verify.
            RefusedError: rule `frozen`, for a freeze since the token was asked.
        """
        if result.ending is Ending.KEY_FAILED:
            entry.lose(result.reason)
        if result.ending is Ending.LATE:
            raise SigningError(
                f"token {entry.token} gave no signature within {_DEADLINE_NS // _NS_PER_S} s: "
                f"{result.tries} tries{': ' if result.reason else ''}{result.reason}"
            )
        if result.ending is not Ending.SIGNED:
            raise SigningError(
                f"token {entry.token} could not sign with {entry.name}: {result.reason or result.ending.value}"
            )
        signature = entry.verifier.seal(digest, result.rs)
        frozen = self._markers.frozen("", entry.name)
        if frozen is not None:
            raise RefusedError("frozen", f"{entry.name} is frozen: {frozen}")
        return signature
