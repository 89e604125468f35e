"""The names of the producers of a demo's chain."""

from __future__ import annotations

from typing import Final

#: Ours.
OURS: Final = "bravo"
#: All, as many as a schedule elects (21), ours first.
NAMES: Final = (
    OURS,
    *("alpha", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo"),
    *("lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform"),
)
