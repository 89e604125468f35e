"""Signatures with account keys: for transactions that were decoded and allowed, and for nothing else.

It guarantees that a signature is verified against the expected key before it leaves, that a frozen or quarantined key
gives none, and that block signatures go first: an account key takes one lane and leaves it to a node that asks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from hsm.race import Ending, Result
from signer.errors import SigningError
from signer.signing.envelope import refuse
from signer.signing.service import Decision

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.antelope.keys import Digest
    from signer.signing.connection import Call
    from signer.signing.freeze import FreezeMarkers
    from signer.signing.keyring import KeyEntry, Keyring

#: Far more than any token takes, also for a K1 signature at the tenth try, in ns.
_DEADLINE_NS: Final = 5_000_000_000
#: A lane that fails or is taken away by a node's request is not the end of it.
_TRIES: Final = 3
#: Rules whose refusal means that the signer could not, not that it would not.
_FAILURES: Final = frozenset({"failed", "unavailable", "unverified"})


class AccountKeys:
    """The account keys of the block tokens.

    Args:
        keys: the keyring.
        markers: the freeze markers; they are looked up before the token is asked and before a signature leaves.
        record: takes what became of each request.
    """

    def __init__(self, keys: Keyring, markers: FreezeMarkers, record: Callable[[Decision], None]) -> None:
        self._keys = keys
        self._markers = markers
        self._record = record

    async def sign(self, entry: KeyEntry, digest: Digest, call: Call, transaction: str) -> str:
        """Return the signature's text over the digest of a transaction that the key may sign.

        Args:
            entry: an account key.
            digest: of the transaction.
            call: who asks.
            transaction: the decoded transaction, for the audit log.

        Raises:
            FaultError: rule `frozen`, `quarantined`, `unavailable`, `failed` or `unverified`.
        """
        result: Result | None = None
        try:
            self._check(entry, call)
            result = await self._ask(entry, digest, call)
            text = self._finish(entry, digest, result, call)
        except Exception as error:
            self.note(entry, call, digest.hex(), transaction, error=error, result=result)
            raise
        entry.signatures += 1
        entry.last_signature_at = time.time()
        self.note(entry, call, digest.hex(), transaction, signature=text, result=result)
        return text

    def note(
        self,
        entry: KeyEntry | None,
        call: Call,
        digest: str,
        transaction: str,
        *,
        asked: str = "",
        signature: str = "",
        error: Exception | None = None,
        result: Result | None = None,
    ) -> None:
        """Record what became of a request: signed, or why not. `asked` is a key that nobody has."""
        rule = getattr(error, "rule", "internal") if error is not None else ""
        verdict = "signed" if error is None else "failed" if rule in _FAILURES else "refused"
        self._record(
            Decision(
                at=time.time(),
                node="",
                caller=call.caller,
                key=entry.name if entry else asked,
                role=entry.role if entry else "",
                digest=digest,
                verdict=verdict,
                rule=rule,
                signature=signature,
                lane=result.lane if result else 0,
                tries=result.tries if result else 0,
                micros=(time.monotonic_ns() - call.began_ns) // 1000,
                detail=str(error or ""),
                transaction=transaction,
            )
        )

    # -- inside --------------------------------------------------------------------------------------

    def _check(self, entry: KeyEntry, call: Call) -> None:
        reason = self._markers.frozen("", entry.name)
        if reason is not None:
            raise refuse(
                "frozen",
                f"rule frozen: {entry.name}: {reason}; `signer unfreeze` ends it (asked by {call.caller})",
            )
        if entry.state != "active":
            raise refuse(
                entry.state, f"rule {entry.state}: {entry.name}: {entry.reason} (asked by {call.caller})"
            )

    async def _ask(self, entry: KeyEntry, digest: Digest, call: Call) -> Result:
        race = self._keys.rings[entry.token].race
        result = Result(Ending.FAILED)
        for _ in range(_TRIES):
            result = await race.sign(
                entry.index,
                digest,
                canonical=entry.canonical,
                deadline_ns=time.monotonic_ns() + _DEADLINE_NS,
                source=call.listener.address,
                probe=True,  # it makes room for a node's request
            )
            if result.ending is not Ending.FAILED:
                break
        return result

    def _finish(self, entry: KeyEntry, digest: Digest, result: Result, call: Call) -> str:
        if result.ending is Ending.NO_LANE:
            raise refuse("unavailable", f"rule unavailable: token {entry.token} has no open session")
        if result.ending is not Ending.SIGNED:
            if result.ending is Ending.KEY_FAILED:
                entry.lose(result.reason)
            reason = result.reason or result.ending.value
            raise refuse(
                "failed", f"rule failed: token {entry.token} could not sign with {entry.name}: {reason}"
            )
        try:
            text = str(entry.verifier.seal(digest, result.rs))
        except SigningError as error:
            raise refuse("unverified", f"rule unverified: {entry.name}: {error}") from None
        self._check(entry, call)
        return text
