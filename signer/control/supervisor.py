"""The supervisor, as the control process sees it. The other side is signer.supervisor.answers.

Every question has a time limit. Who acts is named by each caller; the supervisor writes `control:` before the name.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from signer import alarm
from signer.antelope.keys import PublicKey
from signer.errors import AdminError, AdminRefusedError
from signer.questions import Questions

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.chain.sighting import Sighting
    from signer.channel import Message
    from signer.signing.audit import Checkpoint
    from signer.signing.service import Decision

#: The status under which the admin socket refuses too (signer.supervisor.admin).
_CONFLICT: Final = 409
#: The supervisor answers within ms; it asks each process for its state, for at most 0.5 s.
_STATUS_S: Final = 2.0
#: A probe takes ms, and up to 6 s in a token that hangs (signer.supervisor.run).
_PROBE_S: Final = 8.0
#: Just after a start the supervisor still reads the audit log, for at most 2 s.
_ISSUED_S: Final = 4.0
#: A freeze is one synced file, and at most 0.05 s for a signing process that does not confirm it.
_ACT_S: Final = 5.0


class Issued(NamedTuple):
    """A signature that this signer gave.

    Attributes:
        signature: SIG_ text.
        key: what it was made with.
        node: who asked; empty for a key of no node.
        at: when (UTC).
    """

    signature: str
    key: PublicKey
    node: str
    at: datetime


class Supervisor:
    """The questions of the control process. A method that returns nothing has been confirmed.

    Each may raise AdminError, nobody answered in time, and of that AdminRefusedError: the supervisor says no, and why.

    Args:
        send: sends a message to the supervisor; must not block.
    """

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._questions = Questions(send)

    def ready(self) -> None:
        """Say that the process serves."""
        self._send({"type": "ready"})

    def answered(self, message: Message) -> None:
        """Take an answer."""
        self._questions.answered(message)

    def close(self) -> None:
        """It is gone: nobody waits for an answer any longer."""
        self._questions.close()

    def decision(self, decision: Decision) -> None:
        """Hand over what became of a request to sign, for the audit log. Nobody waits for it."""
        self._send({"type": "decision", "decision": decision._asdict()})

    async def status(self) -> dict[str, Any]:
        """Return what `signer status --json` shows."""
        answer = await self._ask({"type": "status"}, _STATUS_S)
        status: dict[str, Any] = answer["status"]
        return status

    async def probe(self, key: PublicKey, by: str) -> str:
        """Let the signing process prove that a block key can sign now, with a digest of its own choice.

        Returns:
            why it cannot, or an empty text. Without an answer that is the reason: this raises nothing.
        """
        try:
            answer = await self._ask({"type": "probe", "key": str(key), "by": by}, _PROBE_S)
        except AdminError as error:
            return str(error)
        return str(answer["reason"])

    async def issued(self, signature: str) -> Issued | None:
        """Return how `signature` (SIG_ text) was given. None: it is not among the last 10000 of this signer."""
        return _issued(await self._ask({"type": "issued", "signature": signature}, _ISSUED_S))

    async def last_issued(self, key: PublicKey) -> Issued | None:
        """Return the last signature of `key`, None if none is known."""
        return _issued(await self._ask({"type": "last-issued", "key": str(key)}, _ISSUED_S))

    async def act(self, name: str, by: str, detail: str) -> None:
        """Write an administrative act into the audit log.

        Args:
            name: of the act; not one that the signer itself writes, as `freeze` (signer.signing.audit.RESERVED).
            by: the person.
            detail: cut to 400 characters.
        """
        await self._ask({"type": "act", "name": name, "by": by, "detail": detail}, _ACT_S)

    async def freeze(self, scope: str, name: str, by: str, reason: str) -> bool:
        """Stop signatures of `all`, of a `node` or of a `key`. Nothing is signed once this returns.

        Returns:
            whether that is on the disk.
        """
        question = {"type": "freeze", "scope": scope, "name": name, "by": by, "reason": reason}
        return bool((await self._ask(question, _ACT_S))["durable"])

    async def unfreeze(self, scope: str, name: str, by: str, reason: str) -> tuple[bool, bool]:
        """End a freeze. Return whether there was one, and whether that it ended is on the disk."""
        question = {"type": "unfreeze", "scope": scope, "name": name, "by": by, "reason": reason}
        answer = await self._ask(question, _ACT_S)
        return bool(answer["found"]), bool(answer["durable"])

    async def take_lease(self, chain: str, node: str, by: str, reason: str) -> None:
        """Give the lease of a chain's producer to a node. No other one is given a signature once this returns."""
        question = {"type": "take-lease", "chain": chain, "node": node, "by": by, "reason": reason}
        await self._ask(question, _ACT_S)

    async def alarm(self, name: str, subject: str, text: str, *, on: bool) -> None:
        """Raise an alarm of signer.alarm.MEANINGS about `subject`, or say that its condition has ended."""
        await self._ask(alarm.message(name, subject, text, on=on), _ACT_S)

    async def audit_head(self) -> tuple[int, str]:
        """Return number and hash of the last line of the audit log that is on the disk."""
        answer = await self._ask({"type": "audit-head"}, _ACT_S)
        return int(answer["seq"]), str(answer["hash"])

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Write a checkpoint into the audit log; return the number of the last line once it is on the disk."""
        answer = await self._ask({"type": "checkpoint", "checkpoint": asdict(checkpoint)}, _ACT_S)
        return int(answer["seq"])

    async def sighted(self, sighting: Sighting) -> bool:
        """Tell what was seen of our producer on a chain. Return whether block signatures are given by this signer."""
        answer = await self._ask({"type": "chain-view", "view": sighting.to_fields()}, _ACT_S)
        return bool(answer["signs"])

    async def _ask(self, question: Message, timeout_s: float) -> Message:
        answer = await self._questions.ask(question, timeout_s)
        if answer is None:
            raise AdminError(f"the signer's supervisor did not answer within {timeout_s:g} s")
        if "error" in answer:
            raise AdminRefusedError(_CONFLICT, answer["code"], answer["error"], "")
        return answer


def _issued(answer: Message) -> Issued | None:
    found = answer["issued"]
    if found is None:
        return None
    at = datetime.fromtimestamp(found["at"], UTC)
    return Issued(found["signature"], PublicKey.parse(found["key"]), found["node"], at)
