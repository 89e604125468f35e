"""How long a rotation takes, from what the chain is like. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signer.chain.slots import ROUND
from signer.chain.values import Consensus

if TYPE_CHECKING:
    from signer.chain.values import Info, Schedule

#: onblock proposes a schedule when more than 120 slots have passed since the last one
#: (system-contracts producer_pay.cpp:52-54), in s.
_PROPOSAL_S: Final = 60.5
_SLOT_S: Final = 0.5


def seconds(info: Info, active: Schedule) -> float:
    """Return how long it takes from the push to the irreversible block of the new key, at worst, in s.

    Legacy: the proposal, then the last irreversible block has to pass it, twice (controller.cpp:3337-3361,
    block_header_state_legacy.cpp:121-124). Savanna: the proposal, then two rounds (block_header_state.cpp:299-319).
    Then our turn has to come, and our block has to become irreversible.
    """
    lag_s = max(0.0, (info.head.time - info.irreversible.time).total_seconds())
    round_s = ROUND * _SLOT_S
    wait_s = 2 * lag_s if info.consensus is Consensus.LEGACY else 2 * round_s
    turn_s = round_s * len(active.producers)
    return _PROPOSAL_S + wait_s + turn_s + lag_s
