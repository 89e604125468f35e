"""Two nodes must not be given signatures for one slot, whoever holds the lease by then. Pure.

Nobody sees the slot in a digest. What is seen is time: nodeos makes blocks of consecutive slots 450 to 500 ms apart
(producer_plugin, produce-block-offset-ms: 450 ms over the 12 of a round; 450 ms in Leap 5), and two nodes whose clocks
agree make blocks for one slot within some ms.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: Two signatures of different nodes that are nearer than this are for one slot, in ns: a slot less what the cadence and
#: a loaded machine take of it.
APART_NS: Final = 400_000_000


class Given(NamedTuple):
    """The newest signature of a producer: for whom, of what, when (ns of CLOCK_MONOTONIC), and with a right to it.

    Without one it was given where the lease is observed and another node held it.
    """

    node: str
    digest: bytes
    at_ns: int
    claimed: bool = True


def same_block(last: Given | None, node: str, digest: bytes, now_ns: int) -> bool:
    """Return whether another node was given a signature of this very digest for this slot."""
    return last is not None and _of_another(last, node, now_ns) and last.digest == digest


def same(last: Given | None, node: str, digest: bytes, now_ns: int) -> bool:
    """Return whether another node was given a signature of another digest for what must be the same slot."""
    return last is not None and _of_another(last, node, now_ns) and last.digest != digest


def _of_another(last: Given, node: str, now_ns: int) -> bool:
    return last.node != node and now_ns - last.at_ns < APART_NS
