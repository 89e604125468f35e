"""When nodeos will ask next. Pure: times go in and come out.

A producer signs 12 blocks at a steady beat and is then silent until its next round (nodeos:
block_timing_util.hpp). Both the beat and the round repeat, so both are learned from the requests themselves. A
processor that comes out of an idle pause runs Python at half its speed for the first fraction of a millisecond,
whatever ran 20 ms before; only work in the last two milliseconds helps (tests/bench, warm-up on and off). So the
rehearsals that keep the way of a signature warm are spent just before a request is due.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Requests further apart than this belong to different rounds, in s. Slots are 0.5 s apart; nodeos may skip one.
_ROUND_GAP_S: Final = 2.0
#: A pause is so many beats and more. A sole producer's is 1.05 s: nodeos makes 12 blocks in 5.4 s of their 6.
_PAUSE: Final = 1.5
#: The turn of a producer, in s: 12 slots of 0.5 s (nodeos: config.hpp, producer_repetitions and block_interval_ms).
_TURN_S: Final = 6.0
#: A repeat is believed when two intervals in a row differ by less than this, in s.
_TOLERANCE_S: Final = 0.030
#: Requests that come closer than this keep everything warm themselves, in s.
_SHORTEST_BEAT_S: Final = 0.1
#: The longest round that is worth remembering: 125 producers of 12 blocks (eosio.system's max_producers), in s.
_MAX_ROUND_S: Final = 125 * 6.0


@dataclass(slots=True)
class Pace:
    """Learns the beat within a round and the interval between rounds.

    Attributes:
        requested: the last request, in s of the caller's clock.
        gap: between the last two of a round, in s.
        beat: of the requests of a round, in s.
        round_began: in s of the caller's clock.
        round: from one's begin to the next one's, in s.
        resumed: the last request after a pause, in s of the caller's clock.
    """

    requested: float | None = None
    gap: float | None = None
    beat: float | None = None
    round_began: float | None = None
    round: float | None = None
    resumed: float | None = None

    def observe(self, at: float) -> None:
        """Take note of a request at `at`, in s of a clock that never goes back."""
        last, self.requested = self.requested, at
        gap = at - last if last is not None else None
        if gap is None or gap > _PAUSE * (self.beat or _ROUND_GAP_S):
            self.resumed = at
        if gap is not None and gap < _ROUND_GAP_S:
            steady = self.gap is not None and abs(gap - self.gap) < _TOLERANCE_S
            self.beat = gap if steady or self.beat is None else self.beat
            self.gap = gap
            return
        if self.round_began is not None and at - self.round_began < _MAX_ROUND_S:
            self.round = at - self.round_began
        self.round_began = at

    @property
    def last(self) -> float:
        """When the last request came, in s; long ago if none did."""
        return self.requested if self.requested is not None else float("-inf")

    def due(self, now: float) -> float | None:
        """Return when the next request is expected, in s, or None if nothing is known.

        The beat first: one beat after the last request. When that has passed, the next round.
        """
        beat = self._steady_beat
        if self.requested is not None and beat is not None and self.requested + beat >= now:
            return self.requested + beat
        if self.round_began is not None and self.round is not None and self.round_began + self.round >= now:
            return self.round_began + self.round
        return None

    def between(self, now: float, end: float) -> Iterator[float]:
        """Yield when requests are expected from `now` until `end`, in s: beat after beat, where there is one.

        A request that has not come yet may come with the next beat, as long as the round may go on. Rounds of every
        producer begin at the same point of 6 s, and what is alone on its chain has no other pause than that.
        """
        if self.resumed is not None:
            begin = self.resumed + _TURN_S * math.ceil((now - self.resumed) / _TURN_S)
            while begin <= end:
                yield begin
                begin += _TURN_S
        at, beat = self.due(now), self._steady_beat
        if self.requested is not None and beat is not None and now - self.requested < _ROUND_GAP_S:
            at = self.requested + beat * math.ceil((now - self.requested) / beat)
        while at is not None and at <= end:
            yield at
            at = at + beat if beat is not None else None

    @property
    def _steady_beat(self) -> float | None:
        return self.beat if self.beat is not None and self.beat >= _SHORTEST_BEAT_S else None
