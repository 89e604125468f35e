"""Slots of a producer without a block, counted from the blocks of a real node and from nothing of the signer's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rig.production import ROUND, slot

if TYPE_CHECKING:
    from rig.nodeos import Nodeos


def missed_slots(witness: Nodeos, producer: str, first: int, last: int) -> list[int]:
    """Return the slots of `producer` between the blocks `first` and `last` that have no block.

    Slot s belongs to the producer at place s // 12 modulo their number, in the order of the active schedule
    (block_header_state_legacy.cpp, get_scheduled_producer). Only the keys change in a rotation, never the order;
    that is checked with every block that there is.

    Args:
        witness: a node that has both blocks, of a chain whose schedule has had the same producers since `first`.
        producer: its name.
        first: the number of a block.
        last: the number of a later block.

    Raises:
        AssertionError: a block was not made by the producer whose slot it has.
    """
    order = list(witness.active_schedule())
    blocks = [witness.block(number) for number in range(first, last + 1)]
    filled = {slot(block.timestamp): block.producer for block in blocks}
    strangers = {
        number: name for number, name in filled.items() if order[number // ROUND % len(order)] != name
    }
    assert not strangers, f"the order is not {order}: {strangers}"
    every = range(min(filled), max(filled) + 1)
    return [
        number for number in every if number not in filled and order[number // ROUND % len(order)] == producer
    ]
