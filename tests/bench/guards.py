"""What the guards cost in the signing process, without all else: `PYTHONPATH=tests .venv/bin/python -m bench.guards`.

The mean of a request and its signature, in us, with every rule on; the best of several runs.
"""

from __future__ import annotations

import os
import time
import timeit
from itertools import count
from typing import Final

from signer.signing.lease import Authority
from signer.signing.producer_guard import ProducerGuard, Terms
from signer.signing.repeats import Repeats

_S: Final = 1_000_000_000
_NUMBER: Final = 5_000
_RUNS: Final = 9
_NODES: Final = {f"key-{i}": "primary" if i % 2 else "standby" for i in range(20)}


def main() -> None:
    """Measure and print."""
    terms = Terms("enforce", 252 * _S, "enforce", 10 * _NUMBER * _RUNS, 6 * _S, "observe", savanna=True)
    guard, repeats, numbers = ProducerGuard("local", terms, _NODES), Repeats(), count(1)
    guard.see(Authority(frozenset(_NODES), (frozenset(_NODES),)), 21, savanna=True)
    tail = os.urandom(28)

    def request() -> bytes:
        digest = next(numbers).to_bytes(4) + tail
        guard.check("primary", "key-1", digest, "uid 0")
        repeats.find(digest, "key-1", time.monotonic_ns())
        guard.check_rate("primary", "key-1", "uid 0")
        return digest

    def whole() -> None:
        digest = request()
        guard.give("primary", "key-1", digest, "uid 0")
        repeats.keep(digest, "key-1", "SIG", time.monotonic_ns())

    whole()
    for name, measured in (("request", request), ("request and signature", whole)):
        best_s = min(timeit.repeat(measured, number=_NUMBER, repeat=_RUNS)) / _NUMBER
        print(f"{name}: {best_s * 1e6:.2f} us")


if __name__ == "__main__":
    main()
