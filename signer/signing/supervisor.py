"""The supervisor, as the signing process sees it: it has the PINs. The other side is signer.supervisor.wallet.

Only wallet listeners ask it; no block signature ever waits for an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from signer.questions import Questions
from signer.signing import envelope
from signer.signing.envelope import FaultError, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.channel import Message

#: A key that is made, or a token that logs in, may take many seconds; a reload up to 20.
_ANSWER_S: Final = 90.0
#: The supervisor's refusals that keosd has too.
_KEOSD: Final = {
    "nonexistent": envelope.WALLET_NONEXISTENT,
    "locked": envelope.WALLET_LOCKED,
    "unlocked": envelope.WALLET_UNLOCKED,
    "password": envelope.INVALID_PASSWORD,
    "no-key": envelope.KEY_NONEXISTENT,
    "failed": envelope.WALLET,
}
#: Its refusals that only the signer has, by the rule in the envelope.
_RULES: Final = {
    "by-source": "pin-source",
    "tries": "pin-tries",
    "withheld": "pin-tries",
    "away": "unavailable",
    "crowded": "crowded",
    "forbidden": "forbidden",
    "role": "wrong-role",
}


class Supervisor:
    """The supervisor's answers to wallet listeners.

    Args:
        send: sends a message to the supervisor; must not block.
    """

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._questions = Questions(send)

    def answered(self, message: Message) -> None:
        """Take an answer."""
        self._questions.answered(message)

    def close(self) -> None:
        """It is gone: nobody waits for an answer any longer."""
        self._questions.close()

    def used(self) -> None:
        """Say that a wallet command succeeded here: the idle time begins again."""
        self._send({"type": "wallet-used"})

    async def ask(self, act: str, by: str, **fields: str | int) -> dict[str, Any]:
        """Have something done and return what came of it.

        Args:
            act: one of those in signer.supervisor.wallet.
            by: who asks.
            fields: what the act takes.

        Raises:
            FaultError: it was refused or failed, or nobody answered.
        """
        question = {"type": "wallet", "act": act, "by": by, **fields}
        answer = await self._questions.ask(question, _ANSWER_S)
        if answer is None:
            raise refuse("unavailable", "the signer's supervisor did not answer; see its log")
        if "error" not in answer:
            return answer
        code, message = answer["code"], answer["error"]
        if code in _KEOSD:
            raise FaultError(_KEOSD[code], message, _KEOSD[code].name)
        raise refuse(_RULES[code], f"rule {_RULES[code]}: {message}")
