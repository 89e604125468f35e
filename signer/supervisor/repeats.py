"""Keeps a flood of refusals from filling the disk: the first ones have lines of their own, others are counted. Pure.

Laws, for each minute:

* A signature, whatever became of it, always has its own line. It is the token that bounds how many there are.
* Of all else, refusals, failures, signatures that are given again, what was too late before the token was asked: of
  those that are alike, in verdict, rule, node, key and caller, the first `per_minute` have one each.
* Of those that are not alike, `GROUPS` times as many in all: who asks can choose keys, and ports to ask from.
* All others are in the counts of `repeated` lines, one for each group that had its own lines, one for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signer.signing.audit import Repeated, Verdict

if TYPE_CHECKING:
    from signer.signing.audit import Decision

#: How long refusals are counted together, s.
MINUTE_S: Final = 60.0
#: Groups of refusals that may have all of their lines in the same minute.
GROUPS: Final = 10
_COUNTED: Final = frozenset({Verdict.REFUSED, Verdict.FAILED, Verdict.REPEATED})


@dataclass(slots=True)
class _Group:
    """Refusals that are alike: those with lines, and those without."""

    lines: int = 0
    count: int = 0
    at: str = ""
    until: str = ""


class Repeats:
    """The refusals of one minute after the other.

    Whoever uses it calls `end` a minute after `began` is true.

    Args:
        per_minute: lines for refusals that are alike.

    Attributes:
        began: whether there was a refusal since the last end.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.began = False
        self._lines = 0
        self._groups: dict[tuple[str | None, ...], _Group] = {}
        self._rest = _Group()

    def has_line(self, decision: Decision) -> bool:
        """Tell whether a decision has a line of its own; if not, it is counted."""
        if decision.verdict not in _COUNTED and (decision.verdict != Verdict.LATE or decision.tries):
            return True
        self.began = True
        name = (decision.verdict, decision.rule, decision.node, decision.key, _origin(decision.caller))
        group = self._groups.get(name)
        if self._lines < GROUPS * self.per_minute and (group is None or group.lines < self.per_minute):
            self._groups.setdefault(name, _Group()).lines += 1
            self._lines += 1
            return True
        group = group or self._rest
        group.count += 1
        group.at = group.at or decision.at
        group.until = decision.at
        return False

    def end(self) -> list[Repeated]:
        """End the minute: return what was counted in it."""
        nothing = (None, None, None, None, None)
        counted = [*self._groups.items(), (nothing, self._rest)]
        self.began, self._lines, self._groups, self._rest = False, 0, {}, _Group()
        return [Repeated(group.at, group.until, group.count, *name) for name, group in counted if group.count]


def _origin(caller: str) -> str:
    """Return a caller without what is another one with each connection: the port, or the process."""
    if caller.startswith("uid "):
        return caller.partition(" pid ")[0]
    host, _, port = caller.rpartition(":")
    return host if port.isdigit() else caller
