"""Columns of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def lines(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a header and its rows in columns, two blanks apart. What is not printable becomes `?`."""
    table = [[_plain(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _plain(cell: object) -> str:
    return "".join(char if char.isprintable() else "?" for char in str(cell))
