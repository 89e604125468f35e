"""What tests and the recorder both need: actions of the system contract, and transactions signed by real cleos."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rig.cleos import Action

if TYPE_CHECKING:
    from rig.chain import Chain

#: Settings of an API node that answers everything: both are off by default.
QUERIES = ("enable-account-queries = true", "transaction-finality-status-max-storage-size-gb = 1")


def act(name: str, actor: str, /, **data: object) -> Action:
    """An action of the system contract."""
    return Action("eosio", name, data, actor)


def authority(key: str) -> dict[str, Any]:
    """An authority of one key."""
    return {"threshold": 1, "keys": [{"key": key, "weight": 1}], "accounts": [], "waits": []}


def sign(
    chain: Chain, *actions: Action, options: tuple[str, ...] = (), permission: str = ""
) -> dict[str, Any]:
    """A transaction in the packed form of send_transaction, signed by the chain's keosd and not sent."""
    shown = [action.as_json() for action in actions]
    if permission:
        for action in shown:
            action["authorization"][0]["permission"] = permission
    done = chain.cleos.run(
        "push", "transaction", "--json", "-d", "--return-packed", *options, json.dumps({"actions": shown})
    )
    packed: dict[str, Any] = json.loads(done.stdout)
    return packed
