"""What nodeos' refusals of a transaction mean: the one table.

`final` is said of the same bytes: sent again, they will be refused again, unless somebody changes the account or the
chain first. What is not final may be taken when it is sent again, by the same node a little later or by another one.
It does not say that no node has taken the transaction before: 3040005 is also the answer to one that is in a block.

The codes are those of L:libraries/chain/include/eosio/chain/exceptions.hpp (declarations from line 149 on, the same
in Spring), which also raise them. Those marked "real" were seen in a test against nodeos.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: To a push it is no refusal: the node has the transaction (L:producer_plugin.cpp,
#: process_incoming_transaction_async). Real.
DUPLICATE: Final = 3040008


#: No node takes the transaction any more (producer_plugin.cpp, process_incoming_transaction_async). Real.
EXPIRED: Final = 3040005


class Meaning(NamedTuple):
    """What a code means for the transaction that got it.

    Attributes:
        final: the same bytes will be refused again.
        words: for a person: what is wrong and what helps.
    """

    final: bool
    words: str


#: Codes by themselves.
_MEANINGS: Final = {
    # -- the transaction as a whole (exceptions.hpp:261-300) ------------------------------------------------------
    # Real: an actor or a permission that does not exist (transaction_context.cpp, validate_referenced_accounts).
    3040000: Meaning(True, "the account or its permission does not exist"),
    EXPIRED: Meaning(True, "the transaction has expired"),
    # Real. Relative to the node's head, which may be behind (controller.cpp, validate_expiration).
    3040006: Meaning(False, "the transaction expires too late for this node, which may be behind"),
    # Real. The node is on another fork, or does not have the block yet (controller.cpp, validate_tapos).
    3040007: Meaning(False, "this node does not have the block that the transaction refers to"),
    DUPLICATE: Meaning(True, "the chain has this transaction already"),
    3040013: Meaning(True, "the transaction is too big"),
    3040018: Meaning(False, "this node has too much to do"),
    # -- what it does (exceptions.hpp:302-331) --------------------------------------------------------------------
    # Real: what the contract itself says no to (check() in a contract, eosio_assert).
    3050003: Meaning(True, "the system contract refuses it"),
    3050004: Meaning(True, "the system contract refuses it"),
    3050010: Meaning(True, "it would store something at the cost of an account that did not agree"),
    3010015: Meaning(True, "keys of this type are not activated on this chain"),
    3010016: Meaning(True, "signatures of this type are not activated on this chain"),
    # Real (chain_plugin.cpp, send_transaction_gen): the node could not read it.
    3010010: Meaning(True, "this node cannot read the transaction"),
    # -- what it costs (exceptions.hpp:365-394) -------------------------------------------------------------------
    # Real. RAM does not come back by itself.
    3080001: Meaning(True, "the account has not enough RAM: buy some for it"),
    # Real. NET comes back within a day, at once with more stake.
    3080002: Meaning(False, "the account has not enough NET: stake more for it, or wait"),
    3080003: Meaning(False, "the block has no room left for it"),
    # Real. As NET; a node also bills CPU of its own account of failures (subjective billing).
    3080004: Meaning(False, "the account has not enough CPU: stake more for it, or wait"),
    3080005: Meaning(False, "the block has no time left for it"),
    3080006: Meaning(False, "it took this node too long"),
    3080007: Meaning(False, "this node lets the account use less NET than the chain does (greylist)"),
    3080008: Meaning(False, "this node lets the account use less CPU than the chain does (greylist)"),
    3081001: Meaning(False, "the account has not enough CPU: stake more for it, or wait"),
    # -- who it is from (exceptions.hpp:396-415) ------------------------------------------------------------------
    3090001: Meaning(True, "the same signature is there twice"),
    3090002: Meaning(True, "it carries a signature that is not needed: another key signed it"),
    # Real (authorization_manager.cpp, check_authorization).
    3090003: Meaning(True, "the permission does not have the key that signed"),
    # Real (apply_context.cpp, require_authorization).
    3090004: Meaning(True, "the account that it is for did not agree"),
    # Real (authorization_manager.cpp, check_authorization).
    3090005: Meaning(True, "the permission is not linked to this action"),
    3090006: Meaning(True, "the permission needs a delay"),
    3090007: Meaning(True, "the permission is not valid"),
}

#: Families, by the first digits: for codes that are not in the table above.
_FAMILIES: Final = (
    (3040000, 3040999, Meaning(True, "the transaction is not valid")),
    (3050000, 3050999, Meaning(True, "the action is not valid")),
    (3080000, 3089999, Meaning(False, "a resource is exhausted")),
    (3090000, 3099999, Meaning(True, "the permission is not enough")),
)

#: The node, not the transaction: busy, a database that is full, a black list, a fault of its own.
_OTHER: Final = Meaning(False, "")


def judge(code: int) -> Meaning:
    """What `code` means for a transaction."""
    if code in _MEANINGS:
        return _MEANINGS[code]
    return next((meaning for first, last, meaning in _FAMILIES if first <= code <= last), _OTHER)
