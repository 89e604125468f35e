"""What the log says of requests that are not signed: the first at once, the rest as a number. Pure.

nodeos asks again hundreds of times a second when it is refused (Leap). The audit log has every one of them; who looks
at the log at night needs the line that says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signer.signing import envelope

if TYPE_CHECKING:
    from signer.signing.service import Decision

#: A repeated refusal is logged once in this time, in s, with the number of those between.
_EVERY_S: Final = 10.0
#: Different refusals that are told apart; beyond that all count as one. Rules, our keys and nodes are few.
_MOST: Final = 1000


@dataclass(slots=True)
class _Repeated:
    said_at: float
    unsaid: int = 0


class Refusals:
    """Decides which refusals the log shows."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], _Repeated] = {}

    def note(self, decision: Decision) -> int | None:
        """Return how many like `decision` were not shown since the last that was, or None if this one is not shown."""
        # A key that is not configured: whoever asks can choose among as many as they like.
        key = "" if decision.rule == envelope.MISSING_KEY.name else decision.key
        kind = (decision.rule, key, decision.node)
        if kind not in self._seen and len(self._seen) >= _MOST:
            kind = ("", "", "")
        repeated = self._seen.get(kind)
        if repeated is None:
            self._seen[kind] = _Repeated(decision.at)
            return 0
        if abs(decision.at - repeated.said_at) < _EVERY_S:
            repeated.unsaid += 1
            return None
        unsaid, repeated.unsaid, repeated.said_at = repeated.unsaid, 0, decision.at
        return unsaid
