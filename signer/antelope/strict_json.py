"""JSON that means one thing: no name twice, no fractions, nothing after it, nested no deeper than Python reads.

Guarantees that two programs which read the same bytes see the same value: where a name stands twice, one takes the
first and another the last. Numbers with a fraction or an exponent are refused, because nothing here has one; and those
of more than 64 bits, as fc does (Leap libraries/libfc/src/io/json.cpp), which writes larger ones as texts.
"""

from __future__ import annotations

import json
from typing import Final, NoReturn

from signer.errors import FormatError

_LOWEST: Final = -(1 << 63)
_HIGHEST: Final = (1 << 64) - 1
_MAX_DIGITS: Final = 20


def loads(data: bytes) -> object:
    """The value in `data` (UTF-8): None, bool, int, str, and lists and dicts of these.

    Raises:
        FormatError: it is anything else. The message does not repeat it.
    """
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_no_fraction,
            parse_constant=_no_fraction,
        )
    except UnicodeDecodeError:
        raise FormatError("is not UTF-8") from None
    except RecursionError:
        raise FormatError("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise FormatError(f"is not JSON: {error.msg} at character {error.pos}") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise FormatError("has a name twice in one object")
    return read


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS or not _LOWEST <= int(text) <= _HIGHEST:
        raise FormatError("has a number of more than 64 bits")
    return int(text)


def _no_fraction(_: str) -> NoReturn:
    raise FormatError("has a number that is no integer")
