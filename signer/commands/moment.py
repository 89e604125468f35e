"""A point in time, as a person reads it."""

from __future__ import annotations

from datetime import UTC, datetime


def to_the_second(text: str | None) -> str:
    """Return an ISO 8601 text of the control API without its fraction of a second; `-` for nothing."""
    if text is None:
        return "-"
    return readable(datetime.fromisoformat(text).timestamp())


def readable(moment: object) -> str:
    """Return ISO 8601 in UTC, whole seconds, for a number of s since 1970; a text as it is; `-` for nothing."""
    if isinstance(moment, int | float) and not isinstance(moment, bool):
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return str(moment) if moment else "-"
