"""Block slots: whose they are, and which of ours have no block. Pure.

A slot is half a second; slot s belongs to producer s // 12 modulo their number, in the order of the schedule in force
(libraries/chain/block_header_state_legacy.cpp, get_scheduled_producer; on Savanna block_header_state.cpp).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from signer.chain.values import Block

#: config::block_interval_ms and config::block_timestamp_epoch (libraries/chain/include/eosio/chain/config.hpp).
INTERVAL: Final = timedelta(milliseconds=500)
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
#: config::producer_repetitions: blocks of one producer in a row.
ROUND: Final = 12


def slot(time: datetime) -> int:
    """Return the number of the slot that `time` (UTC) lies in."""
    return (time - _EPOCH) // INTERVAL


def moment(number: int) -> datetime:
    """Return when the slot `number` begins (UTC)."""
    return _EPOCH + number * INTERVAL


def owner(number: int, order: Sequence[str]) -> str:
    """Return whose slot `number` is.

    Args:
        number: the slot.
        order: names of the schedule in force, in its order; at least one.
    """
    return order[number // ROUND % len(order)]


def missed(blocks: Sequence[Block], orders: Mapping[int, Sequence[str]], producer: str) -> int | None:
    """Count the slots of `producer` without a block between the first and the last of `blocks`.

    Args:
        blocks: of one chain, each the predecessor of the next.
        orders: the names of each schedule by its version; the gap before a block is judged by that block's version,
            which is the schedule that was in force when it was made. Where that one is not among them (it was over
            when somebody began to look, or the chain is on Savanna, whose blocks carry no version), the one order is
            taken that fits every block of that version.
        producer: the account.

    Returns:
        the number, None where a gap has an unknown schedule.
    """
    orders = dict(orders)
    count = 0
    for before, after in pairwise(blocks):
        gap = range(slot(before.time) + 1, slot(after.time))
        if not gap:
            continue
        version = after.schedule_version
        order = orders.get(version) or _fitting(blocks, version, orders.values())
        if not order:
            return None
        orders[version] = order
        count += sum(owner(each, order) == producer for each in gap)
    return count


def _fitting(blocks: Sequence[Block], version: int, orders: Iterable[Sequence[str]]) -> Sequence[str] | None:
    """Return the order in which the blocks of a version were made, None if none of `orders` fits, or several do."""
    made = [(slot(block.time), block.producer) for block in blocks if block.schedule_version == version]
    fitting = {
        tuple(order)
        for order in orders
        if order and all(owner(number, order) == name for number, name in made)
    }
    return fitting.pop() if len(fitting) == 1 else None


def silent(since: datetime, until: datetime, order: Sequence[str], producer: str) -> int:
    """Count the slots of `producer` after the slot of `since` and before the slot of `until`."""
    if not order:
        return 0
    return sum(owner(each, order) == producer for each in range(slot(since) + 1, slot(until)))
