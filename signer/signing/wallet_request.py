"""The bodies of keosd's wallet calls: bytes in, values out, or keosd's error.

keosd's rules: http_plugin.hpp:190-237 (what counts as no body), wallet_api_plugin.cpp:39-77 (what is checked while
parsing gives 400, conversions after that give 500). A scalar becomes text as fc does it (variant.cpp, as_string).
Stricter than keosd on purpose: a body is one JSON value and nothing else.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from signer.signing import envelope
from signer.signing.envelope import as_keosd

if TYPE_CHECKING:
    from signer.signing.envelope import FaultError

_SPACE: Final = b" \t\r\n"
_NOTHING: Final = (b"", b"{}")
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_INT64: Final = 2**63


def nothing(body: bytes) -> None:
    """Accept a body that says nothing.

    Raises:
        FaultError: it says something.
    """
    if body.strip(b" ") not in _NOTHING:  # no newlines: http_plugin.hpp:190-237
        raise as_keosd(envelope.INVALID_REQUEST, "no parameter should be given")


def text(body: bytes) -> str:
    """Return the one text of the body. Raises FaultError."""
    value = _value(body)
    if isinstance(value, list | dict):
        raise _unparsable()
    return _as_text(value)


def array(body: bytes, length: int) -> list[Any]:
    """Return the array of the body, which has `length` values. Raises FaultError."""
    value = _value(body)
    if not isinstance(value, list):
        raise _unparsable()
    if len(value) != length:
        raise as_keosd(envelope.INVALID_REQUEST, "Missing valid input from POST body")
    return value


def texts(body: bytes, length: int) -> list[str]:
    """Return the array of the body, `length` texts. Raises FaultError."""
    values = array(body, length)
    if any(isinstance(value, list | dict) for value in values):
        raise as_keosd(envelope.BAD_CAST, "a text is needed where an array or an object stands")
    return [_as_text(value) for value in values]


def seconds(body: bytes) -> int:
    """Return the number of the body: a JSON number, or a text of digits. Raises FaultError."""
    value = _value(body)
    if value is None:
        return 0
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, str | list | dict):
        raise _unparsable()
    try:
        number = int(value)
    except (ValueError, OverflowError):
        raise _unparsable() from None
    if not -_INT64 <= number < _INT64:
        raise _unparsable()
    return number


def _value(body: bytes) -> Any:  # noqa: ANN401 - JSON
    content = body.strip(_SPACE)
    if content in _NOTHING:
        raise as_keosd(envelope.INVALID_REQUEST, "A Request body is required")
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse, parse_float=_fraction)
    except (ValueError, RecursionError):
        raise _unparsable() from None


def _refuse(_: str) -> Any:  # noqa: ANN401 - as json wants it
    raise ValueError  # NaN and its like are no JSON


def _fraction(text: str) -> float:
    if "e" in text.lower():
        raise ValueError  # fc reads no exponents
    return float(text)


def _as_text(value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f"{value:.17f}"


def _unparsable() -> FaultError:
    return as_keosd(envelope.INVALID_REQUEST, "Unable to parse valid input from POST body")
