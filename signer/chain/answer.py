"""One value of an API node's JSON answer, with its place in the answer.

Nothing of an answer is believed before one of these methods has looked at it. Every fault is a FormatError that says
where in the answer it is and what was expected there. Pure.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

from signer.antelope import base58check
from signer.antelope.keys import PublicKey
from signer.antelope.name import Name, parse_name
from signer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: fc prints a time_point in ms and a time_point_sec in s, without a zone, in UTC.
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z?", re.ASCII)
#: A time_point of 0. Before it there is none, and who reckons back from one could fall off the calendar.
_FIRST_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_INTEGER: Final = re.compile(r"-?\d{1,20}", re.ASCII)
_SIGNATURE: Final = re.compile(r"SIG_[A-Z0-9]{2}_[1-9A-HJ-NP-Za-km-z]{1,1000}", re.ASCII)
_WEBAUTHN_KEY: Final = re.compile(r"PUB_WA_[1-9A-HJ-NP-Za-km-z]{1,500}", re.ASCII)
_BLS_KEY: Final = re.compile(r"PUB_BLS_[A-Za-z0-9_=-]{1,200}", re.ASCII)
#: How keys begin, and what their checksum is made with besides the 33 bytes (FACTS of fc's text formats:
#: L:libraries/libfc/src/crypto/public_key.cpp:31-85).
_KEY_SUFFIXES: Final = {"PUB_K1_": b"K1", "PUB_R1_": b"R1", "EOS": b""}
_KEY_SIZE: Final = 33

#: As a person who reads JSON calls them.
_TYPES: Final = {
    dict: "an object",
    list: "an array",
    str: "another string",
    int: "another integer",
    float: "another number",
    bool: "a truth value",
}

#: The longest text that any reader needs is an error message; a producer's url has less than 512 bytes.
MAX_TEXT: Final = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON value and where it stood.

    Attributes:
        value: as the json module read it.
        place: for example `rows[0].producer_authority[1].keys[0].key`; empty for the whole answer.
    """

    value: Any
    place: str = ""

    @classmethod
    def parse(cls, data: bytes) -> Answer:
        """The answer in `data`.

        Raises:
            FormatError: it is no JSON.
        """
        try:
            return cls(json.loads(data))
        except (ValueError, RecursionError):
            raise FormatError("it is no JSON") from None

    def fail(self, expected: str) -> NoReturn:
        """Refuse the value.

        Raises:
            FormatError: always. Of the value it says only the type: it came from outside and may be long.
        """
        found = _TYPES.get(type(self.value), "null")
        raise FormatError(f"{self.place or 'it'} is not {expected} but {found}")

    # -- containers ------------------------------------------------------------------------------------------

    def field(self, name: str) -> Answer:
        """The field `name` of an object. Raises FormatError if there is none."""
        found = self.get(name)
        if found is None:
            where = f"{self.place}.{name}" if self.place else name
            raise FormatError(f"{where} is missing")
        return found

    def get(self, name: str) -> Answer | None:
        """The field `name` of an object; None where it is absent or null. Raises FormatError if it is no object."""
        if not isinstance(self.value, dict):
            self.fail("an object")
        value = self.value.get(name)
        return None if value is None else Answer(value, f"{self.place}.{name}" if self.place else name)

    def items(self) -> Iterator[Answer]:
        """The values of an array. Raises FormatError if it is none."""
        if not isinstance(self.value, list):
            self.fail("an array")
        return (Answer(value, f"{self.place}[{index}]") for index, value in enumerate(self.value))

    def pair(self) -> tuple[Answer, Answer]:
        """The two values of an array of two. Raises FormatError."""
        found = tuple(self.items())
        if len(found) != 2:  # noqa: PLR2004 - a pair
            self.fail("an array of two")
        return found[0], found[1]

    # -- plain values ----------------------------------------------------------------------------------------

    def text(self) -> str:
        """A string of at most MAX_TEXT characters. Raises FormatError."""
        if not isinstance(self.value, str) or len(self.value) > MAX_TEXT:
            self.fail(f"a string of at most {MAX_TEXT} characters")
        return self.value

    def integer(self, low: int = 0, high: int = 2**64 - 1) -> int:
        """An integer of `low` to `high`.

        fc prints one of more than 32 bits as a string (L:libraries/libfc/src/io/json.cpp, to_stream).

        Raises:
            FormatError: anything else.
        """
        value = self.value
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.fail(f"an integer of {low} to {high}")
        return value

    def signed(self) -> int:
        """An int64. Raises FormatError."""
        return self.integer(-(2**63), 2**63 - 1)

    def uint32(self) -> int:
        """A uint32. Raises FormatError."""
        return self.integer(0, 2**32 - 1)

    def uint16(self) -> int:
        """A uint16. Raises FormatError."""
        return self.integer(0, 2**16 - 1)

    def real(self) -> float:
        """A finite number; contracts' float64 come as strings. Raises FormatError."""
        value = self.value
        try:
            number = float(value) if isinstance(value, str | int | float) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if isinstance(value, bool) or not math.isfinite(number):
            self.fail("a finite number")
        return number

    def flag(self) -> bool:
        """A truth value; contracts' bools come as 0 and 1. Raises FormatError."""
        if self.value not in (0, 1):  # equal to False and True
            self.fail("true or false")
        return bool(self.value)

    # -- what Antelope writes --------------------------------------------------------------------------------

    def name(self) -> Name:
        """A name that is not empty. Raises FormatError."""
        try:
            return parse_name(self.value)
        except FormatError:
            self.fail("a name")

    def time(self) -> datetime:
        """A time (UTC). Raises FormatError."""
        if not isinstance(self.value, str) or not _TIME.fullmatch(self.value):
            self.fail("a time")
        try:
            found = datetime.fromisoformat(self.value).replace(tzinfo=UTC)
        except ValueError:
            self.fail("a time")
        if found < _FIRST_TIME:
            self.fail("a time")
        return found

    def id(self) -> str:
        """64 lower-case hex digits. Raises FormatError."""
        if not isinstance(self.value, str) or not _ID.fullmatch(self.value):
            self.fail("64 hex digits")
        return self.value

    def key(self) -> PublicKey | str:
        """A key; as text where it is none that could sign for us.

        nodeos does not look whether the bytes of a key are a point, and accounts are given away by setting such a
        key, so bytes with a valid checksum are no fault of the answer.

        Raises:
            FormatError: no key at all.
        """
        if not isinstance(self.value, str):
            self.fail("a public key")
        with contextlib.suppress(FormatError):
            return _public_key(self.value)
        if not _WEBAUTHN_KEY.fullmatch(self.value) and not _has_checksum(self.value):
            self.fail("a public key")
        return self.value

    def finalizer_key(self) -> str:
        """`PUB_BLS_...`. Raises FormatError."""
        if not isinstance(self.value, str) or not _BLS_KEY.fullmatch(self.value):
            self.fail("a finalizer key")
        return self.value

    def signature(self) -> str:
        """`SIG_K1_...` and its like, to be compared character by character. Raises FormatError."""
        if not isinstance(self.value, str) or not _SIGNATURE.fullmatch(self.value):
            self.fail("a signature")
        return self.value


#: A schedule is read four times a second and hardly ever changes; a key takes 0.1 ms.
_public_key = functools.lru_cache(maxsize=1024)(PublicKey.parse)


def _has_checksum(key: str) -> bool:
    """Whether `key` is 33 bytes with the checksum of a K1 or R1 key."""
    for prefix, suffix in _KEY_SUFFIXES.items():
        if key.startswith(prefix):
            try:
                base58check.decode(key.removeprefix(prefix), suffix, _KEY_SIZE)
            except FormatError:
                return False
            return True
    return False
