"""When nodeos will ask next, as the supervisor sees it: by the signatures that were given.

A process that begins is told, and does not work then (hsm.beginning). None of ours begins or ends then for a reload.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from signer.signing import audit
from signer.signing.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

#: No process begins for longer than this, in s; on a machine so busy that it does, sleeping helps nobody.
_AHEAD_S: Final = 5.0
#: How long a request and what nodeos does before it takes, in s.
_REQUEST_S: Final = 0.010
#: A processor is needed for so long, in s, by what a hand-over sets off (the kernel frees what processes had), and by a
#: process that begins, before it runs what could sleep: the kernel's exec, and Python's own start.
_QUIET_S: Final = 0.060
#: Many nodes may leave no room, and what was killed must be replaced within a second.
_PATIENCE_S: Final = 0.5


class Expected:
    """The pace of each node.

    Args:
        clock: s of CLOCK_MONOTONIC.
        wall: s since 1970, as the decisions have them.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)

    def note(self, entry: dict[str, Any]) -> None:
        """Take a decision of the signing process."""
        if entry["verdict"] == audit.Verdict.SIGNED and entry["role"] == "block":
            ago = self._wall() - entry["at"] + entry["micros"] / 1e6
            self._paces[entry["node"]].observe(self._clock() - ago)

    def remains(self) -> dict[str, Pace]:
        """Return what `adopt` needs in the next image of this process."""
        return dict(self._paces)

    def adopt(self, paces: dict[str, Pace]) -> None:
        """Go on with what the image before had learned."""
        self._paces.update(paces)

    def soon(self) -> list[float]:
        """Return when requests are expected within the next 5 s, in s of CLOCK_MONOTONIC, earliest first."""
        now = self._clock()
        return self._between(now, now + _AHEAD_S)

    def quiet_in(self) -> float:
        """Return in how many s, half of one at most, nodeos does not ask for a moment."""
        now = begin = self._clock()
        for at in self._between(now - _REQUEST_S, now + _PATIENCE_S):
            if at - begin > _QUIET_S:
                break
            begin = at + _REQUEST_S
        return begin - now

    async def quiet(self) -> None:
        """Wait for that, before a process ends or begins."""
        await asyncio.sleep(self.quiet_in())

    def _between(self, begin: float, end: float) -> list[float]:
        return sorted(at for pace in self._paces.values() for at in pace.between(begin, end))
