"""Times as nodeos writes them: `2026-11-24T13:31:51`, with or without three decimals, always UTC.

Guarantees one text for each number. nodeos also reads times of other years than it can hold, hours after 23 and
fractions of any length, and takes another time for them (Leap libraries/libfc/src/time.cpp:34-50): refused here.

Sources: Leap libraries/libfc/include/fc/time.hpp, libraries/chain/include/eosio/chain/block_timestamp.hpp.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from signer.errors import FormatError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: block_timestamp_type counts slots of 500 ms from here (config.hpp, block_timestamp_epoch).
_SLOT_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_SLOT_MS: Final = 500

_MILLISECOND: Final = timedelta(milliseconds=1)
_US_OF_MS: Final = 1000
_MAX_UINT32: Final = (1 << 32) - 1
_SECONDS: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}", re.ASCII)
_MILLISECONDS: Final = re.compile(_SECONDS.pattern + r"\.[0-9]{3}", re.ASCII)


def parse_seconds(text: object) -> int:
    """The seconds since 1970 of `2026-11-24T13:31:51` (time_point_sec: 0 to 4294967295).

    Raises:
        FormatError: anything else.
    """
    seconds = _parse_ms(text, _SECONDS, "2026-11-24T13:31:51", EPOCH) // 1000
    if seconds > _MAX_UINT32:
        raise FormatError("the time is after 2106-02-07T06:28:15")
    return seconds


def show_seconds(seconds: int) -> str:
    """The text of seconds since 1970 (time_point_sec)."""
    return (EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def parse_microseconds(text: object) -> int:
    """The microseconds since 1970 of `2026-11-24T13:31:51.000` (time_point), a multiple of 1000.

    Raises:
        FormatError: anything else, or a time before 1970.
    """
    return _parse_ms(text, _MILLISECONDS, "2026-11-24T13:31:51.000", EPOCH) * _US_OF_MS


def show_microseconds(microseconds: int) -> str:
    """The text of microseconds since 1970 (time_point).

    Raises:
        FormatError: the text could not say it: a part of a millisecond, a time before 1970 or after 9999.
    """
    if microseconds % _US_OF_MS or microseconds < 0:
        raise FormatError("a time point is a whole number of milliseconds since 1970")
    try:
        return _show_ms(EPOCH, microseconds // _US_OF_MS)
    except OverflowError:
        raise FormatError("a time point is before the year 10000") from None


def parse_slot(text: object) -> int:
    """The block slot of `2026-11-24T13:31:51.500` (block_timestamp_type: 0 to 4294967295).

    Raises:
        FormatError: anything else, or a time that is not a multiple of 500 ms.
    """
    milliseconds = _parse_ms(text, _MILLISECONDS, "2026-11-24T13:31:51.500", _SLOT_EPOCH)
    if milliseconds % _SLOT_MS or milliseconds // _SLOT_MS > _MAX_UINT32:
        raise FormatError("a block's time is a multiple of 500 ms, before 2068-01-19T03:14:08")
    return milliseconds // _SLOT_MS


def show_slot(slot: int) -> str:
    """The text of a block slot (block_timestamp_type)."""
    return _show_ms(_SLOT_EPOCH, slot * _SLOT_MS)


def _parse_ms(text: object, form: re.Pattern[str], example: str, epoch: datetime) -> int:
    """Milliseconds since `epoch`."""
    if not isinstance(text, str) or not form.fullmatch(text):
        raise FormatError(f"a time is written as {example}")
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise FormatError("there is no such time") from None
    if moment < epoch:
        raise FormatError(f"the time is before {epoch.year}")
    return (moment - epoch) // _MILLISECOND


def _show_ms(epoch: datetime, milliseconds: int) -> str:
    moment = epoch + milliseconds * _MILLISECOND
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds")
