"""Block numbers on a Savanna chain, where a digest is the block's id. Pure.

The id begins with the block's number, 4 bytes, big-endian (Spring block_header.cpp:14-26, block_state.cpp:71-82). A
number that does not rise is worth an alarm and nothing more: after a change of forks a node rightly makes another block
of the same or a lower number in a later slot, and the choice of forks does not look at numbers (Spring
fork_database.cpp:68-75).

What this cannot stop: a node that was taken over. The number is 4 bytes of a hash: a digest with one of the next
1,200 numbers, ten minutes, costs 2^32 / 1,200 or about 3.6 million hashes.
"""

from __future__ import annotations

_NUMBER_BYTES = 4


class Height:
    """The highest block number that a producer was given a signature for, since this process started."""

    __slots__ = ("_digest", "highest")

    def __init__(self) -> None:
        self.highest = 0
        self._digest = b""

    def give(self, digest: bytes) -> int | None:
        """Take the digest of a signature. Return its number if it is not above all before and the digest is new."""
        number = int.from_bytes(digest[:_NUMBER_BYTES])
        if number > self.highest:
            self.highest, self._digest = number, digest
            return None
        return None if digest == self._digest else number
