"""Columns of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def lines(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a header and its rows in columns, two blanks apart. What is not printable becomes `?`."""
    table = [[plain(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def plain(cell: object) -> str:
    """Return the text of `cell` with `?` for what is not printable: nothing that is shown steers a terminal."""
    return "".join(char if char.isprintable() else "?" for char in str(cell))
