"""When nodeos will ask next. Pure: times go in and come out.

A producer signs 12 blocks at a steady beat and is then silent until its next round (nodeos:
block_timing_util.hpp). Both the beat and the round repeat, so both are learned from the requests themselves. A
processor that comes out of an idle pause runs Python at half its speed for the first fraction of a millisecond,
whatever ran 20 ms before; only work in the last two milliseconds helps (tests/bench, warm-up on and off). So the
rehearsals that keep the way of a signature warm are spent just before a request is due.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Requests further apart than this belong to different rounds, in s. Slots are 0.5 s apart; nodeos may skip one.
_ROUND_GAP_S: Final = 2.0
#: A repeat is believed when two intervals in a row differ by less than this, in s.
_TOLERANCE_S: Final = 0.030
#: Requests that come closer than this keep everything warm themselves, in s.
_SHORTEST_BEAT_S: Final = 0.1
#: The longest round that is worth remembering: 125 producers of 12 blocks (eosio.system's max_producers), in s.
_MAX_ROUND_S: Final = 125 * 6.0


class Pace:
    """Learns the beat within a round and the interval between rounds."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._gap: float | None = None
        self._beat: float | None = None
        self._round_began: float | None = None
        self._round: float | None = None

    def observe(self, at: float) -> None:
        """Take note of a request at `at`, in s of a clock that never goes back."""
        last, self._last = self._last, at
        gap = at - last if last is not None else None
        if gap is not None and gap < _ROUND_GAP_S:
            steady = self._gap is not None and abs(gap - self._gap) < _TOLERANCE_S
            self._beat = gap if steady or self._beat is None else self._beat
            self._gap = gap
            return
        if self._round_began is not None and at - self._round_began < _MAX_ROUND_S:
            self._round = at - self._round_began
        self._round_began = at

    @property
    def last(self) -> float:
        """When the last request came, in s; long ago if none did."""
        return self._last if self._last is not None else float("-inf")

    def due(self, now: float) -> float | None:
        """Return when the next request is expected, in s, or None if nothing is known.

        The beat first: one beat after the last request. When that has passed, the next round.
        """
        beat = self._steady_beat
        if self._last is not None and beat is not None and self._last + beat >= now:
            return self._last + beat
        if (
            self._round_began is not None
            and self._round is not None
            and self._round_began + self._round >= now
        ):
            return self._round_began + self._round
        return None

    def between(self, now: float, end: float) -> Iterator[float]:
        """Yield when requests are expected from `now` until `end`, in s: beat after beat, where there is one.

        A request that has not come yet may come with the next beat, as long as the round may go on.
        """
        at, beat = self.due(now), self._steady_beat
        if self._last is not None and beat is not None and now - self._last < _ROUND_GAP_S:
            at = self._last + beat * math.ceil((now - self._last) / beat)
        while at is not None and at <= end:
            yield at
            at = at + beat if beat is not None else None

    @property
    def _steady_beat(self) -> float | None:
        return self._beat if self._beat is not None and self._beat >= _SHORTEST_BEAT_S else None
