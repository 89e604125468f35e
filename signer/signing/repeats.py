"""Signatures that were given lately, for whoever asks for the same digest with the same key again. Pure; memory only.

An R1 or K1 signature has a random nonce: signed twice, a block would have two signatures. The same one twice is one
block, and the token has nothing to do.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

#: How long a signature is given again, in ns. Whoever asks for the same digest again does so within
#: a nodeos' timeout, or replays a request within minutes.
KEPT_NS: Final = 300 * 1_000_000_000
#: Signatures that are kept: at 12 in a round of 126 s that is hours, under a flood the newest.
MOST: Final = 2048


class Repeats:
    """The signatures of the last minutes, by digest and key."""

    __slots__ = ("_given",)

    def __init__(self) -> None:
        # Not a dict: that one looks for its first item past all that went before.
        self._given: OrderedDict[tuple[bytes, str], tuple[str, int]] = OrderedDict()

    def find(self, digest: bytes, key: str, now_ns: int) -> str | None:
        """Return the signature (SIG_ text) that `key` (PUB_ form) gave of `digest`, None if it gave none lately."""
        found = self._given.get((digest, key))
        if found is None or now_ns - found[1] >= KEPT_NS:
            return None
        return found[0]

    def keep(self, digest: bytes, key: str, signature: str, now_ns: int) -> None:
        """Keep a signature; the oldest makes place, and so do those that are too old."""
        given = self._given
        given.pop((digest, key), None)
        given[digest, key] = (signature, now_ns)
        for _ in range(2):  # two out for one in: the old ones go without a sweep
            oldest = next(iter(given))
            if len(given) > MOST or now_ns - given[oldest][1] >= KEPT_NS:
                del given[oldest]
