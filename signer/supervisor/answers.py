"""What the supervisor answers the control process. The other side is signer.control.supervisor.

The control process talks to people over the network, so it is believed less than the admin socket: it can freeze, ask,
and add lines to the audit log under names that are not the signer's own. Every line that it causes begins its `by` with
`control:`. It chooses nothing that a block key signs.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from signer.antelope.keys import PublicKey
from signer.chain.sighting import Sighting
from signer.errors import FormatError, SignerError
from signer.signing import audit, checkpoint

if TYPE_CHECKING:
    from signer.channel import Message
    from signer.supervisor.issued import Issuance
    from signer.supervisor.run import Supervisor

log = logging.getLogger("signer.supervisor")


class Answers:
    """The questions by their type. An answer has the asked-for fields, or `error`, a sentence, and `code`."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._kinds = {
            "status": self._status,
            "probe": self._probe,
            "issued": self._issued,
            "last-issued": self._last_issued,
            "act": self._act,
            "freeze": self._freeze,
            "unfreeze": self._unfreeze,
            "take-lease": self._take_lease,
            "alarm": self._alarm,
            "chain-view": self._chain_view,
            "audit-head": self._audit_head,
            "checkpoint": self._checkpoint,
        }

    async def answer(self, question: Message) -> Message:
        """Return the content of the answer. Raises nothing: one question's fault must not reach another."""
        try:
            return await self._kinds[question["type"]](question)
        except OSError as error:
            return _refusal("freeze-failed", f"the freeze marker cannot be written: {error.strerror}")
        except SignerError as error:
            return _refusal("refused", str(error))
        except Exception:
            log.exception("a question of the control process ended in a fault of the supervisor")
            return _refusal("fault", "a fault of the supervisor; its log has the place")

    async def _status(self, _: Message) -> Message:
        return {"status": await self._supervisor.status()}

    async def _probe(self, question: Message) -> Message:
        key = str(PublicKey.parse(question["key"]))
        ok, reason = await self._supervisor.probe(key, _by(question))
        return {"ok": ok, "reason": reason}

    async def _issued(self, question: Message) -> Message:
        await self._supervisor.issued.learned()
        return _content(self._supervisor.issued.find(question["signature"]))

    async def _last_issued(self, question: Message) -> Message:
        await self._supervisor.issued.learned()
        return _content(self._supervisor.issued.last(question["key"]))

    async def _act(self, question: Message) -> Message:
        name, by, detail = question["name"], _by(question), question["detail"]
        if name in audit.RESERVED:
            raise FormatError(f"{name} is an act of the signer itself")
        audit.admit(audit.Act(audit.timestamp(datetime.now(UTC)), name, by, detail))
        self._supervisor.act(name, by, detail)
        return {}

    async def _freeze(self, question: Message) -> Message:
        scope = question["scope"]
        name = self._supervisor.frozen_name(scope, question["name"])
        durable = await self._supervisor.freeze(scope, name, _by(question), question["reason"])
        return {"name": name, "durable": durable}

    async def _unfreeze(self, question: Message) -> Message:
        scope = question["scope"]
        name = self._supervisor.frozen_name(scope, question["name"])
        return (await self._supervisor.unfreeze(scope, name, _by(question), question["reason"]))._asdict()

    async def _take_lease(self, question: Message) -> Message:
        chain, node, reason = question["chain"], question["node"], question["reason"]
        await self._supervisor.take_lease(chain, node, _by(question), reason)
        return {}

    async def _alarm(self, question: Message) -> Message:
        alarms = self._supervisor.alarms
        if question["on"]:
            alarms.raised("control", question["name"], question["subject"], question["text"])
        else:
            alarms.cleared("control", question["name"], question["subject"])
        return {}

    async def _audit_head(self, _: Message) -> Message:
        return self._supervisor.audit_head()._asdict()

    async def _checkpoint(self, question: Message) -> Message:
        given = audit.Checkpoint(**question["checkpoint"])
        audit.admit(given)
        checkpoint.check(given)
        return {"seq": await self._supervisor.checkpoint(given)}

    async def _chain_view(self, question: Message) -> Message:
        return {"signs": self._supervisor.sighted(Sighting.from_fields(question["view"]))}


def _refusal(code: str, error: str) -> Message:
    return {"error": error, "code": code}


def _by(question: Message) -> str:
    return f"control: {question['by']}"


def _content(issuance: Issuance | None) -> dict[str, Any]:
    return {"issued": issuance._asdict() if issuance else None}
