"""Names as Antelope writes them: accounts, permissions, actions.

Guarantees that a name has exactly one number and a number exactly one name: `encode_name` refuses every text
that nodeos refuses. Whether an account of that name exists is for the chain to say.

Source: Leap libraries/chain/include/eosio/chain/name.hpp:16-40 and libraries/chain/name.cpp:9-33.
"""

from __future__ import annotations

from typing import Final, NewType

from signer.errors import FormatError

#: At most 13 characters of `.`, `1` to `5`, `a` to `z`. Made by `parse_name` from anything from outside.
Name = NewType("Name", str)

#: A character's place is its number.
_ALPHABET: Final = ".12345abcdefghijklmnopqrstuvwxyz"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}

#: Twelve characters of 5 bits from the top, and a thirteenth in the 4 bits that are left: it is `.` to `j`.
_LONG_CHARACTERS: Final = 12
_LONG_BITS: Final = 5
_LAST_BITS: Final = 4
_MAX_CHARACTERS: Final = _LONG_CHARACTERS + 1


def parse_name(text: object) -> Name:
    """The name that `text` is, with nothing around it.

    The empty name is refused: nodeos reads it as the number 0, and nothing on a chain has it.

    Raises:
        FormatError: anything that nodeos does not take for a name, or the empty text.
    """
    if not isinstance(text, str):
        raise FormatError(f"a name is a string, not {type(text).__name__}")
    if not text:
        raise FormatError("a name has at least one character")
    encode_name(text)
    return Name(text)


def encode_name(name: str) -> int:
    """The number (uint64) of `name`. That of the empty name is 0.

    Raises:
        FormatError: more than 13 characters, one that names do not have, a 13th after `j`, or a dot at the end.
    """
    if len(name) > _MAX_CHARACTERS:
        raise FormatError(f"a name has at most {_MAX_CHARACTERS} characters, not {len(name)}")
    if not _VALUES.keys() >= set(name):
        raise FormatError(f"{name!r} is no name: its characters are a to z, 1 to 5 and the dot")
    if name.endswith("."):
        raise FormatError(f"{name!r} is no name: the last character is not a dot")
    value = 0
    for character in name[:_LONG_CHARACTERS].ljust(_LONG_CHARACTERS, "."):
        value = value << _LONG_BITS | _VALUES[character]
    last = _VALUES[name[_LONG_CHARACTERS:] or "."]
    if last >> _LAST_BITS:
        raise FormatError(f"{name!r} is no name: the 13th character is 1 to 5 or a to j")
    return value << _LAST_BITS | last


def decode_name(value: int) -> Name:
    """The name of a number (uint64); the empty name for 0. Every uint64 has one."""
    last = _ALPHABET[value & (1 << _LAST_BITS) - 1]
    value >>= _LAST_BITS
    text = ""
    for _ in range(_LONG_CHARACTERS):
        text = _ALPHABET[value & (1 << _LONG_BITS) - 1] + text
        value >>= _LONG_BITS
    return Name((text + last).rstrip("."))
