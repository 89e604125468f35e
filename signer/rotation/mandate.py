"""What the rotation key may sign: one transaction of one journalled rotation, and nothing else. Pure.

The last look before the token, at the bytes that will be signed and at the rotation as the journal has it, not at what
the code that built them meant.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from signer.antelope.transaction import ActFinKey, RegProducer, Transaction
from signer.errors import RefusedError
from signer.rotation.rotation import Purpose, State

if TYPE_CHECKING:
    from datetime import datetime

    from signer.antelope.keys import Digest, PublicKey
    from signer.antelope.transaction import Action
    from signer.config import Config
    from signer.rotation.rotation import Rotation

#: A transaction that lives longer could take effect when nobody expects it any more, in s.
MAX_LIFETIME_S: Final = 60
#: In which state which purpose is signed.
_STATES: Final = {
    Purpose.REGISTER: (State.PREFLIGHT, State.SIGNED),
    Purpose.RETURN: (State.RETURNING,),
}


def digest(
    packed: bytes, purpose: Purpose, rotation: Rotation, config: Config, head_time: datetime
) -> Digest:
    """Return what the rotation key signs for `packed`.

    Args:
        packed: the transaction.
        purpose: what it is for.
        rotation: as the journal has it.
        config: whose keys, nodes and producer they are.
        head_time: the head block's timestamp, which its expiration is measured from.

    Raises:
        RefusedError: the rotation key does not sign this. The rule is in `rule`.
        FormatError: it is no transaction of ours.
    """
    chain = config.chains[rotation.request.chain]
    if rotation.state not in _STATES[purpose]:
        raise RefusedError("rotation-state", f"rotation {rotation.id} is {rotation.state}")
    transaction = Transaction.unpack(packed)
    if not timedelta(0) < transaction.expiration - head_time <= timedelta(seconds=MAX_LIFETIME_S):
        raise RefusedError(
            "rotation-lifetime",
            f"the transaction would not expire within {MAX_LIFETIME_S} s after the head block",
        )
    if purpose is Purpose.REGISTER:
        key, node = rotation.to_key, rotation.request.node
    elif rotation.from_key is not None and rotation.from_node is not None:
        key, node = rotation.from_key, rotation.from_node
    else:
        raise RefusedError("rotation-key", "no node of this signer holds the one key that the row had")
    if not _holds(config, node, key):
        raise RefusedError("rotation-key", f"{key} is no block key of the node {node}")
    registered = 0
    for action, level in transaction.actions:
        if (level.actor, level.permission) != (chain.producer, chain.rotation_permission):
            raise RefusedError(
                "rotation-permission",
                f"the action is authorised by {level.actor}@{level.permission}, "
                f"not by {chain.producer}@{chain.rotation_permission}",
            )
        registered += _check(action, key, node, config, chain.producer)
    if registered != 1:
        raise RefusedError("rotation-action", "the transaction does not register exactly one key")
    return transaction.digest(chain.id)


def _check(action: Action, key: PublicKey, node: str, config: Config, producer: str | None) -> bool:
    """Refuse an action that no rotation has. Returns whether it registers the key."""
    match action:
        case RegProducer():
            if action.producer != producer or action.producer_key != key:
                raise RefusedError(
                    "rotation-key", f"the transaction registers {action.producer_key} for {action.producer}"
                )
            return True
        case ActFinKey():
            if action.finalizer_name != producer or action.finalizer_key != config.nodes[node].finalizer_key:
                raise RefusedError(
                    "rotation-finalizer",
                    f"the finalizer key of the transaction is not that of the node {node}",
                )
            return False
        case _:
            raise RefusedError("rotation-action", f"no rotation has the action {action.name}")


def _holds(config: Config, node: str, key: PublicKey) -> bool:
    return any(each.role == "block" and each.node == node and each.public_key == key for each in config.keys)
