"""Colour, where a person sees it: on a terminal, and not against their will (https://no-color.org)."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

if TYPE_CHECKING:
    from typing import TextIO

Colour = Literal["red", "green", "yellow", "cyan", "bold"]

#: ECMA-48, select graphic rendition.
_CODES: Final = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


@dataclass(frozen=True, slots=True)
class Palette:
    """Paints, or leaves as it is."""

    on: bool

    @classmethod
    def of_stdout(cls) -> Self:
        """Return what is right for standard output."""
        return cls(is_wanted(sys.stdout))

    def paint(self, colour: Colour, text: str) -> str:
        """Return `text` in `colour`."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.on else text


def is_wanted(stream: TextIO) -> bool:
    """Whether colour goes to `stream`."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
