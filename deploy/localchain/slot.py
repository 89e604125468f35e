"""Slots: the half seconds in which a chain has at most one block. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

#: config::block_interval_ms (libraries/chain/include/eosio/chain/config.hpp). Timestamps are always this far
#: apart; within a round this build makes the blocks at intervals of 450 ms, ahead of their timestamps.
SLOT = timedelta(milliseconds=500)
#: config::producer_repetitions: blocks in a round.
ROUND = 12
#: config::block_timestamp_epoch: slots are counted from here. Its round boundaries are everyone's.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def slot(timestamp: datetime) -> int:
    """Return the number of a block timestamp's slot.

    Raises:
        ValueError: the timestamp lies between two slots.
    """
    number, rest = divmod(timestamp - _EPOCH, SLOT)
    if rest:
        raise ValueError(f"{timestamp} is no slot's time")
    return number
