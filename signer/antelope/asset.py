"""Amounts of tokens: `1.0000 EOS`, whose symbol is `4,EOS`.

Guarantees that an `Asset` is one that nodeos takes, and that it has one text: as many decimals as its symbol says.

Source: Leap libraries/chain/asset.cpp:28-95 and libraries/chain/include/eosio/chain/{asset,symbol}.hpp. nodeos also
reads `01 EOS`, `+1 EOS` and a symbol without letters: not here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from signer.errors import FormatError

#: asset.hpp: the magnitude is below 2^62.
_MAX_AMOUNT: Final = (1 << 62) - 1
#: symbol.hpp, max_precision.
_MAX_PRECISION: Final = 18

_CODE: Final = re.compile(r"[A-Z]{1,7}", re.ASCII)
_SYMBOL: Final = re.compile(r"(0|[1-9][0-9]?),([A-Z]{1,7})", re.ASCII)
_ASSET: Final = re.compile(r"(-?)(0|[1-9][0-9]{0,18})(?:\.([0-9]{1,18}))? ([A-Z]{1,7})", re.ASCII)


def parse_code(text: object) -> str:
    """`text`, which is the name of a token: one to seven letters of A to Z.

    Raises:
        FormatError: anything else.
    """
    if not isinstance(text, str) or not _CODE.fullmatch(text):
        raise FormatError("a symbol code is 1 to 7 letters of A to Z")
    return text


@dataclass(frozen=True, slots=True)
class Symbol:
    """A token's name and how many decimals its amounts have.

    Attributes:
        precision: 0 to 18.
        code: one to seven letters of A to Z.

    Raises:
        FormatError: anything else.
    """

    precision: int
    code: str

    def __post_init__(self) -> None:
        if not 0 <= self.precision <= _MAX_PRECISION:
            raise FormatError(f"a symbol's precision is 0 to {_MAX_PRECISION}, not {self.precision}")
        parse_code(self.code)

    @classmethod
    def parse(cls, text: object) -> Symbol:
        """The symbol in `4,EOS`.

        Raises:
            FormatError: anything else.
        """
        match = _SYMBOL.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise FormatError("a symbol is written as 4,EOS")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.precision},{self.code}"


@dataclass(frozen=True, slots=True)
class Asset:
    """An amount of a token.

    Attributes:
        amount: in the smallest unit: 10000 for `1.0000 EOS`; its magnitude is below 2^62.
        symbol: the token.

    Raises:
        FormatError: a larger amount.
    """

    amount: int
    symbol: Symbol

    def __post_init__(self) -> None:
        if abs(self.amount) > _MAX_AMOUNT:
            raise FormatError("the magnitude of an asset's amount is below 2^62")

    @classmethod
    def parse(cls, text: object) -> Asset:
        """The asset in `1.0000 EOS`.

        Raises:
            FormatError: anything else.
        """
        match = _ASSET.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise FormatError("an asset is written as 1.0000 EOS, with all its decimals")
        sign, whole, fraction, code = match.groups(default="")
        amount = int(whole + fraction)
        if sign and not amount:
            raise FormatError("an asset of nothing has no sign")
        return cls(-amount if sign else amount, Symbol(len(fraction), code))

    def __str__(self) -> str:
        digits = str(abs(self.amount)).rjust(self.symbol.precision + 1, "0")
        if self.symbol.precision:
            digits = f"{digits[: -self.symbol.precision]}.{digits[-self.symbol.precision :]}"
        return f"{'-' if self.amount < 0 else ''}{digits} {self.symbol.code}"
