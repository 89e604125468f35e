"""Feed many bad inputs to one part of the signer, and check that each is refused well or rightly accepted.

    PYTHONPATH=tests python -m fuzz wallet --inputs 1000000

Ends with 1 at the first input that breaks a law: an exception that is not the part's own, an answer that takes too
long, a 2xx for what is malformed, a trace or a secret in an answer or a log. The same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from fuzz.config_texts import ConfigTexts
from fuzz.http_bytes import HttpBytes
from fuzz.kept_bytes import KeptBytes
from fuzz.outcome import LogWatch
from fuzz.token_uris import TokenUris
from fuzz.wallet_bodies import Wallets

if TYPE_CHECKING:
    from collections.abc import Callable

#: s of processor time for one input.
_TOO_SLOW_S: Final = 2.0


class _Target(Protocol):
    def one(self) -> None: ...


_TARGETS: Final[dict[str, Callable[[Random, Counter[str]], _Target]]] = {
    "wallet": Wallets,
    "http": HttpBytes,
    "kept": KeptBytes,
    "config": ConfigTexts,
    "uri": TokenUris,
}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=_TARGETS)
    parser.add_argument("--inputs", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    watch = LogWatch()
    target = _TARGETS[given.target](Random(given.seed), counts)  # noqa: S311 - a fuzzer repeats itself
    began, slowest, good, done = time.monotonic(), 0.0, True, 0
    while good and done < given.inputs:
        done += 1
        start = time.thread_time()
        try:
            target.one()
            watch.check()
        except Exception:  # noqa: BLE001 - any other exception is what is looked for
            traceback.print_exc(file=sys.stdout)
            good = False
        took = time.thread_time() - start
        slowest = max(slowest, took)
        if took > _TOO_SLOW_S:
            print(f"an input took {took:.2f} s")
            good = False
    print(f"inputs: {done}")
    for what, count in sorted(counts.items()):
        print(f"{what}: {count}")
    print(f"slowest: {slowest * 1000:.0f} ms of processor time; all: {time.monotonic() - began:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
