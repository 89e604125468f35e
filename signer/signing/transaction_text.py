"""A transaction as the audit log has it: one line for a person, bounded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signer.antelope.foreign import ForeignAction
    from signer.policy.decision import Decision
    from signer.signing.sign_transaction_request import SignTransactionRequest

#: Characters of the arguments of one action.
_MAX_ARGUMENTS: Final = 1000
#: Actions that are shown; the others are counted.
_MAX_ACTIONS: Final = 20


def describe(request: SignTransactionRequest, decisions: Sequence[Decision]) -> str:
    """Return what a transaction says, and what policy says of it for each key.

    Arguments are decoded where some key's policy knows the action's ABI, else their bytes are shown in hex. The text
    is ASCII: what it quotes is JSON.
    """
    transaction = request.transaction
    arguments = next((decision.verdicts for decision in decisions if decision.verdicts), ())
    known = {id(verdict.action): verdict.arguments for verdict in arguments}
    actions = [_action(action, known.get(id(action))) for action in transaction.actions[:_MAX_ACTIONS]]
    more = len(transaction.actions) - len(actions)
    return "; ".join(
        (
            f"id {transaction.id()}",
            f"chain {request.chain_id.hex()}",
            f"expires {transaction.expiration:%Y-%m-%dT%H:%M:%SZ}",
            *actions,
            *([f"and {more} more actions"] if more > 0 else []),
            *(f"policy: {json.dumps(decision.rule)[1:-1]}" for decision in decisions),
        )
    )


def _action(action: ForeignAction, arguments: dict[str, object] | None) -> str:
    who = ",".join(f"{level.actor}@{level.permission}" for level in action.authorization)
    text = action.data.hex() if arguments is None else json.dumps(arguments, separators=(",", ":"))
    if len(text) > _MAX_ARGUMENTS:
        text = f"{text[: _MAX_ARGUMENTS - 3]}..."
    return f"{action.account}::{action.name} by {who} {text}"
