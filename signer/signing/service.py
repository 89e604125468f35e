"""The life of one signature, read from top to bottom in `_Request`.

wire -> guard -> lane -> verify -> guard -> wire; the audit entry follows the answer. No step looks back.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from hsm.race import Ending
from signer.antelope.keys import Digest, PublicKey
from signer.errors import FormatError, SigningError
from signer.signing import envelope, sign_request
from signer.signing.envelope import FaultError, as_keosd, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from hsm.race import Result
    from signer.signing.connection import Call
    from signer.signing.guard import Guard
    from signer.signing.keyring import KeyEntry, Keyring


log = logging.getLogger("signer.signing")

#: Bitcoin's alphabet: no 0, O, I and l.
_BASE58 = re.compile("[1-9A-HJ-NP-Za-km-z]*")
_KEY = re.compile(r"(?:EOS|PUB_K1_|PUB_R1_)(?P<digits>[^_\s]*)")


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
    """What became of a request, for the audit log. `micros` from its first byte to the answer.

    `transaction` is what was decoded of the transaction that `digest` is of; empty for what is none.
    """

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
    transaction: str = ""


#: Rules whose refusal means that the signer could not, not that it would not.
_FAILURES = frozenset({"failed", "unavailable", "unverified", "internal", "crowded"})


class Service:
    """Signs digests for nodes.

    Args:
        keys: the keyring.
        guard: the rules.
        terms: each node's timeout.
        record: takes the decision on each request, after its answer; must not block. Who gets it there counts it too
            (signer.supervisor.totals).
    """

    def __init__(
        self, keys: Keyring, guard: Guard, terms: dict[str, NodeTerms], record: Callable[[Decision], None]
    ) -> None:
        self.keys = keys
        self.guard = guard
        self.terms = terms
        self.record = record
        self.in_flight = 0

    def sign_digest(self, call: Call, body: bytes, end: Callable[[str | FaultError], None]) -> None:
        """Decide on a request and call `end` once, now or later: with the signature's text or the error to answer.

        Callbacks and no coroutine: at nodeos' pace each turn of the event loop and each task costs as much as the
        token's work (tests/bench).
        """
        self.in_flight += 1
        request = _Request(self, call, end)
        try:
            request.ask(body)
        except FaultError as error:
            request.close(error)
        except Exception:  # noqa: BLE001 - one request's fault must not reach another
            request.fail()


class _Request:
    """One request on its way."""

    __slots__ = ("asked", "asked_key", "call", "deadline_ns", "digest", "end", "entry", "result", "service")

    def __init__(self, service: Service, call: Call, end: Callable[[str | FaultError], None]) -> None:
        self.service = service
        self.call = call
        self.end = end
        self.digest = Digest(b"")
        self.asked = ""
        self.asked_key = ""  # set once it has proved to be a public key: what it was instead is in no log
        self.entry: KeyEntry | None = None
        self.result: Result | None = None
        self.deadline_ns = 0

    def ask(self, body: bytes) -> None:
        """Wire, guard, lane.

        Raises:
            FaultError: the request ends here.
        """
        service, call = self.service, self.call
        service.guard.check_peer(call)
        self.digest, self.asked = sign_request.parse(body)
        self.entry = self._find()  # before the guard: a refusal names the key in the audit log too
        entry = service.guard.check_key(self.entry, self.asked, call)
        self.deadline_ns = call.began_ns + service.terms[entry.node].budget_ns
        if not call.rehearsal:
            known = service.guard.check_producer(entry, self.digest, call)
            if known is not None:
                self.close(known, again=True)
                return
            ring = service.keys.rings[entry.token]
            ring.pace.observe(call.began_ns / 1e9)
            ring.canonical = entry.canonical
        source = call.listener.address
        service.keys.sign(entry, self.digest, self.deadline_ns, source, self._raced, probe=call.rehearsal)

    def _raced(self, result: Result) -> None:
        """Verify, guard, wire. The race's callback."""
        self.result = result
        try:
            text, again = self._finish(result)
        except FaultError as error:
            self.close(error)
        except Exception:  # noqa: BLE001 - as in sign_digest
            self.fail()
        else:
            self.close(text, again=again)

    def _finish(self, result: Result) -> tuple[str, bool]:
        """Return the signature to send, and whether it was given before."""
        entry, call = self.entry, self.call
        assert entry is not None  # noqa: S101 - ask() set it
        self._check_result(entry, result)
        try:
            text = str(entry.verifier.seal(self.digest, result.rs))
        except SigningError as error:
            if call.rehearsal:
                # Every other K1 signature is not canonical; its verification was rehearsed all the same.
                return "", False
            raise refuse(
                "unverified",
                f"rule unverified: lane {result.lane} of token {entry.token}: {error}; {entry.name}",
            ) from None
        self.service.guard.check_frozen(entry, call)
        if time.monotonic_ns() > self.deadline_ns:
            raise self._late(entry, result)
        if not call.rehearsal:
            first = self.service.guard.give(entry, self.digest, text, call)
            if first is not None:
                return first, True
        entry.signatures += 1
        entry.last_signature_at = time.time()
        return text, False

    def _find(self) -> KeyEntry | None:
        entry = self.service.keys.find(self.asked)
        if entry is not None:
            return entry
        try:
            key = PublicKey.parse(self.asked)
        except FormatError as error:
            raise as_keosd(key_fault(self.asked), str(error)) from None
        self.asked_key = str(key)
        return self.service.keys.find(self.asked_key)

    def _check_result(self, entry: KeyEntry, result: Result) -> None:
        """Raise the error for a result that is no signature.

        Raises:
            FaultError: rule `late`, `crowded`, `unavailable` or `failed`.
        """
        if result.ending is Ending.SIGNED:
            return
        where = f"{entry.name} for {self.call.caller}"
        if result.ending is Ending.LATE:
            raise self._late(entry, result)
        if result.ending is Ending.CROWDED:
            raise refuse("crowded", f"rule crowded: too many requests of this listener wait; refused {where}")
        if result.ending is Ending.NO_LANE:
            raise refuse("unavailable", f"rule unavailable: token {entry.token} has no open session; {where}")
        if result.ending is Ending.KEY_FAILED:
            entry.lose(result.reason)
        raise refuse("failed", f"rule failed: token {entry.token} could not sign: {result.reason}; {where}")

    def _late(self, entry: KeyEntry, result: Result) -> FaultError:
        terms = self.service.terms[entry.node]
        return refuse(
            "late",
            f"rule late: no signature within {terms.timeout_ms:g} ms less {terms.margin_ms:g} ms margin after "
            f"{result.tries} tries{': ' if result.reason else ''}{result.reason}; {entry.name} for {self.call.caller}",
        )

    def fail(self) -> None:
        """End in a fault of our own, from an exception handler: the answer names no detail, the log has it."""
        log.exception("a request ended in a fault of the signer")  # noqa: LOG004 - see the first line
        self.close(refuse("internal", "rule internal: see the signer's log"))

    def close(self, outcome: str | FaultError, *, again: bool = False) -> None:
        """Answer, then record what became of the request; `again`: it is a signature that was given before."""
        error = outcome if isinstance(outcome, FaultError) else None
        self.call.repeated = again
        self.end(outcome)
        self.service.in_flight -= 1
        if self.call.rehearsal:
            return
        rule = error.rule if error else ""
        if error is None:
            verdict = "repeated" if again else "signed"
        elif rule == "late":
            verdict = "late"
        else:
            verdict = "failed" if rule in _FAILURES else "refused"
        call, entry, result = self.call, self.entry, self.result
        self.service.record(
            Decision(
                at=time.time(),
                node=call.listener.node,
                caller=call.caller,
                key=entry.name if entry else self.asked_key,
                role=entry.role if entry else "",
                digest=self.digest.hex(),
                verdict=verdict,
                rule=rule,
                signature="" if isinstance(outcome, FaultError) else outcome,
                lane=result.lane if result else 0,
                tries=result.tries if result else 0,
                micros=(time.monotonic_ns() - call.began_ns) // 1000,
                detail=error.message if error else "",
            )
        )


def key_fault(asked: str) -> envelope.Fault:
    """Return keosd's error for a key that cannot be read: a character outside base58 has one of its own."""
    match = _KEY.fullmatch(asked)
    return envelope.PARSE_ERROR if match and not _BASE58.fullmatch(match["digits"]) else envelope.ASSERT
