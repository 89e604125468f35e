"""The life of one signature, read from top to bottom in `Service.sign_digest`.

wire -> guard -> lane -> verify -> guard -> wire; the audit entry follows the answer. No step looks back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from hsm.race import Ending
from signer.antelope.keys import PublicKey
from signer.errors import FormatError, SigningError
from signer.signing import envelope, keyring, sign_request
from signer.signing.envelope import FaultError, as_keosd, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from hsm.race import Result
    from signer.antelope.keys import Digest
    from signer.signing.connection import Call
    from signer.signing.guard import Guard
    from signer.signing.keyring import KeyEntry, Keyring


@dataclass(frozen=True, slots=True)
class NodeTerms:
    """What a node grants: its `keosd-provider-timeout` less a margin, both in ms."""

    timeout_ms: float
    margin_ms: float

    @property
    def budget_ns(self) -> int:
        """Time from a request's first byte to the last instant at which an answer is of use, in ns."""
        return int((self.timeout_ms - self.margin_ms) * 1_000_000)


class Decision(NamedTuple):
    """What became of a request, for the audit log. `micros` from its first byte to the answer."""

    at: float
    node: str
    caller: str
    key: str
    role: str
    digest: str
    verdict: str
    rule: str
    signature: str
    lane: int
    tries: int
    micros: int
    detail: str


@dataclass(slots=True)
class Counters:
    """Totals since this process started."""

    by_verdict: dict[str, int] = field(default_factory=dict)
    by_rule: dict[str, int] = field(default_factory=dict)

    def count(self, decision: Decision) -> None:
        """Add one decision."""
        self.by_verdict[decision.verdict] = self.by_verdict.get(decision.verdict, 0) + 1
        if decision.rule:
            self.by_rule[decision.rule] = self.by_rule.get(decision.rule, 0) + 1


#: Rules whose refusal means that the signer could not, not that it would not.
_FAILURES = frozenset({"failed", "unavailable", "unverified", "internal", "crowded"})


class Service:
    """Signs digests for nodes.

    Args:
        keys: the keyring.
        guard: the rules.
        terms: each node's timeout.
        record: takes the decision on each request; must not block.
    """

    def __init__(
        self, keys: Keyring, guard: Guard, terms: dict[str, NodeTerms], record: Callable[[Decision], None]
    ) -> None:
        self._keys = keys
        self._guard = guard
        self._terms = terms
        self._record = record
        self.counters = Counters()
        self.in_flight = 0

    async def sign_digest(self, call: Call, body: bytes) -> tuple[str, Callable[[], None]]:
        """Return the signature's text, and a function that records the decision once the answer is sent.

        Raises:
            FaultError: the answer is an error; it is recorded already.
        """
        self.in_flight += 1
        digest, asked, entry, result = b"", "", None, None
        try:
            self._guard.check_peer(call)
            digest, asked = sign_request.parse(body)
            entry = self._guard.check_key(self._find(asked), asked, call)
            deadline_ns = call.began_ns + self._terms[entry.node].budget_ns
            result = await self._keys.sign(entry, digest, deadline_ns, call.listener.address)
            self._check_result(entry, result, call)
            text = str(self._seal(entry, digest, result))
            self._guard.check_frozen(entry, call)
            if time.monotonic_ns() > deadline_ns:
                raise self._late(entry, result, call)
        except FaultError as error:
            self._close(call, digest, asked, entry, result, error=error)
            raise
        finally:
            self.in_flight -= 1
        entry.signatures += 1
        entry.last_signature_at = time.time()
        return text, lambda: self._close(call, digest, asked, entry, result, signature=text)

    def _find(self, asked: str) -> KeyEntry | None:
        entry = self._keys.find(asked)
        if entry is not None:
            return entry
        try:
            key = PublicKey.parse(asked)
        except FormatError as error:
            raise as_keosd(envelope.ASSERT, str(error)) from None
        return self._keys.find(str(key))

    def _check_result(self, entry: KeyEntry, result: Result, call: Call) -> None:
        """Raise the error for a result that is no signature.

        Raises:
            FaultError: rule `late`, `crowded`, `unavailable` or `failed`.
        """
        if result.ending is Ending.SIGNED:
            return
        where = f"{entry.name} for {call.caller}"
        if result.ending is Ending.LATE:
            raise self._late(entry, result, call)
        if result.ending is Ending.CROWDED:
            raise refuse("crowded", f"rule crowded: too many requests of this listener wait; refused {where}")
        if result.ending is Ending.NO_LANE:
            raise refuse("unavailable", f"rule unavailable: token {entry.token} has no open session; {where}")
        if result.ending is Ending.KEY_FAILED:
            entry.state = "quarantined"
            entry.reason = f"{result.reason}; put the key back and run `signer reload`, or configure another"
        raise refuse("failed", f"rule failed: token {entry.token} could not sign: {result.reason}; {where}")

    def _late(self, entry: KeyEntry, result: Result, call: Call) -> FaultError:
        terms = self._terms[entry.node]
        return refuse(
            "late",
            f"rule late: no signature within {terms.timeout_ms:g} ms less {terms.margin_ms:g} ms margin after "
            f"{result.tries} tries {result.reason}; {entry.name} for {call.caller}",
        )

    def _seal(self, entry: KeyEntry, digest: Digest | bytes, result: Result) -> object:
        try:
            return keyring.seal(entry, digest, result.rs)
        except SigningError as error:
            raise refuse(
                "unverified", f"rule unverified: lane {result.lane} of token {entry.token}: {error}; {entry.name}"
            ) from None

    def _close(
        self,
        call: Call,
        digest: bytes,
        asked: str,
        entry: KeyEntry | None,
        result: Result | None,
        *,
        signature: str = "",
        error: FaultError | None = None,
    ) -> None:
        """Count and record what became of the request."""
        rule = error.rule if error else ""
        if error is None:
            verdict = "signed"
        elif rule == "late":
            verdict = "late"
        else:
            verdict = "failed" if rule in _FAILURES else "refused"
        decision = Decision(
            at=time.time(),
            node=call.listener.node,
            caller=call.caller,
            key=entry.name if entry else asked[:80],
            role=entry.role if entry else "",
            digest=digest.hex(),
            verdict=verdict,
            rule=rule,
            signature=signature,
            lane=result.lane if result else 0,
            tries=result.tries if result else 0,
            micros=(time.monotonic_ns() - call.began_ns) // 1000,
            detail=error.message if error else "",
        )
        self.counters.count(decision)
        self._record(decision)
