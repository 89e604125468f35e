"""What preflight finds: a fact that stops a rotation, or one that a person has to know."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """How much a finding weighs."""

    #: The rotation cannot happen, whoever asks.
    BLOCKER = "blocker"
    #: It can; a person says that they know.
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of preflight's answer.

    Attributes:
        rule: the stable name of the check.
        level: what it does.
        text: what was seen, for a person.
        remedy: what to do about it.
    """

    rule: str
    level: Level
    text: str
    remedy: str
