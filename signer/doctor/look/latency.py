"""Probe signatures at the pace of a round: silence, then one a slot. The running signer makes them, on software tokens.

They give way to every request of a node, which ends them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from signer.doctor.latency import ROUND
from signer.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signer.admin_client import AdminClient

#: Two seconds after the last signature nothing of it is in a cache any more; a producer of 21 is silent for 120 s.
_SILENCE_S: Final = 2.0
#: A producer signs every 462.5 ms (producer_plugin.cpp, cpu_effort).
_SLOT_S: Final = 0.4625
#: How long all of it takes, for a person who waits.
TAKES_S: Final = _SILENCE_S + ROUND * _SLOT_S


def rounds(admin: AdminClient, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[float]]:
    """Return how long probe signatures took, in ms, by token and curve. What was not made is not in it."""
    found: dict[tuple[str, str], list[float]] = {pair: [] for pair in pairs}
    if not pairs:
        return found
    due = time.monotonic() + _SILENCE_S
    for _ in range(ROUND):
        for number, (token, curve) in enumerate(pairs):
            # One after the other within a slot: nodes of one host sign at different times, too.
            time.sleep(max(0.0, due + number * _SLOT_S / len(pairs) - time.monotonic()))
            try:
                micros = admin.post("/v1/measure", {"token": token, "curve": curve})["micros"]
            except (AdminError, PermissionError):
                continue
            found[token, curve].append(micros / 1000)
        due += _SLOT_S
    return found
