"""How often a caller may fail to authenticate. Pure: the caller brings a monotonic clock, in s."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from typing import Final

#: Failures that a caller has at once: a person who mistypes.
BURST: Final = 5
#: Then one for each of these seconds.
REFILL_S: Final = 5.0
#: Callers remembered; beyond them the one longest silent is forgotten.
MAX_CALLERS: Final = 1024
#: What one IPv6 customer usually holds (RFC 6177): it counts as one caller.
_IPV6_PREFIX: Final = 64
#: All of these are this machine (RFC 1122, section 3.2.1.3): any local program can call from each.
_LOOPBACK: Final = ipaddress.ip_network("127.0.0.0/8")


class Attempts:
    """A bucket of failures for each caller.

    Args:
        burst: failures at once.
        refill_s: then one for each of these seconds.
    """

    def __init__(self, burst: int = BURST, refill_s: float = REFILL_S) -> None:
        self._burst = float(burst)
        self._refill_s = refill_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def fail(self, caller: str, now_s: float) -> int:
        """Count a failure of `caller`; return 0, or the seconds (>= 1) until one is allowed again."""
        key = _network(caller)
        left, since = self._buckets.pop(key, (self._burst, now_s))
        left = min(self._burst, left + max(0.0, now_s - since) / self._refill_s)
        allowed = left >= 1
        self._buckets[key] = (left - 1 if allowed else left, now_s)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, math.ceil((1 - left) * self._refill_s))


def _network(caller: str) -> str:
    try:
        address = ipaddress.ip_address(caller)
    except ValueError:
        return caller
    if address in _LOOPBACK:
        return str(_LOOPBACK)
    if address.version == 4:  # noqa: PLR2004
        return caller
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
