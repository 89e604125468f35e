"""What one argument of an action may be.

Guarantees that values are compared as the chain sees them, by their bytes: `EOS...` and `PUB_K1_...` of one key are
one value, and so are 5 and "5".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from signer.antelope.asset import Asset
from signer.antelope.builtin_types import parse_integer
from signer.errors import FormatError

if TYPE_CHECKING:
    from signer.antelope.abi import Abi
    from signer.antelope.asset import Symbol
    from signer.config import Constraint as Settings

_SHOWN_CHARACTERS: Final = 80
_INTEGERS: Final = frozenset(
    f"{sign}int{bits}" for sign in ("u", "") for bits in ("8", "16", "32", "64", "128")
) | {"varuint32", "varint32"}


def shown(value: object) -> str:
    """Return JSON on one line, ASCII and short: a value from outside must not steer a terminal or fill a log."""
    text = value if isinstance(value, str) and value.isascii() and value.isprintable() else json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


@dataclass(frozen=True, slots=True)
class AtMost:
    """The most that an argument may be in all actions of one transaction together.

    Attributes:
        amount: an integer, or of an asset the amount in its smallest unit.
        symbol: of an asset; None for an integer.
        text: as the configuration has it.
    """

    amount: int
    symbol: Symbol | None
    text: str

    @classmethod
    def parse(cls, kind: str, value: str | int) -> Self:
        """Return the bound for an argument of the type `kind`.

        Raises:
            FormatError: the type has no amounts, or `value` is no such amount.
        """
        if kind == "asset":
            asset = Asset.parse(value)
            amount, symbol = asset.amount, asset.symbol
        elif kind in _INTEGERS:
            amount, symbol = parse_integer(value), None
        else:
            raise FormatError(f"at_most is for assets and integers, and this is of type {kind}")
        if amount < 0:
            raise FormatError("at_most is not below zero")
        return cls(amount, symbol, str(value))

    def count(self, value: object) -> int:
        """Return the amount of an argument.

        Raises:
            FormatError: it is below zero, or of another token. Below zero it would make room for others.
        """
        if self.symbol is None:
            amount = parse_integer(value)
        else:
            asset = Asset.parse(value)
            amount = asset.amount
            if asset.symbol != self.symbol:
                raise FormatError(f"is {shown(value)}, not in {self.symbol}")
        if amount < 0:
            raise FormatError(f"is {shown(value)}, below zero")
        return amount


@dataclass(frozen=True, slots=True)
class Constraint:
    """What one argument may be.

    Attributes:
        argument: its name.
        kind: its type in the ABI.
        allowed: the values, packed; None where `at_most` counts, or everything is allowed.
        at_most: the bound, or None.
        text: the allowed values, for messages.
    """

    argument: str
    kind: str
    allowed: frozenset[bytes] | None
    at_most: AtMost | None
    text: str

    @classmethod
    def of(cls, settings: Settings, abi: Abi, argument: str, kind: str) -> Self:
        """Return what the configuration says of an argument.

        Raises:
            FormatError: it says nothing, several things, or a value that the argument cannot have.
        """
        given = [name for name in ("equal", "one_of", "at_most") if getattr(settings, name) is not None]
        given += ["anything"] if settings.anything else []
        if len(given) != 1:
            raise FormatError(f"has {' and '.join(given) or 'no condition'}; give exactly one: {_CHOICE}")
        if settings.at_most is not None:
            bound = AtMost.parse(kind, settings.at_most)
            return cls(argument, kind, None, bound, f"at most {bound.text}")
        if settings.anything:
            return cls(argument, kind, None, None, "anything")
        values = [settings.equal] if settings.one_of is None else list(settings.one_of)
        if not values:
            raise FormatError("one_of is empty, so nothing fits; name a value")
        packed = frozenset(abi.encode(kind, value) for value in values)
        text = " or ".join(shown(value) for value in values)
        return cls(argument, kind, packed, None, text)

    def misfit(self, abi: Abi, value: object) -> str:
        """Return why a value that was decoded does not fit, nothing if it does. `at_most` is the caller's to add up."""
        if self.allowed is None or abi.pack(self.kind, value) in self.allowed:
            return ""
        return f"is {shown(value)}, not {self.text}"


_CHOICE: Final = 'a value, one_of = [...], at_most = "1.0000 EOS" or anything = true'
