"""Raw C_Sign, the floor of every signature. Run as `python -m bench.floor`: plan on stdin, samples on stdout.

One process, one session, one operation for each sample: a K1 signature that nodeos takes needs two of them on average.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkcs11 import Mechanism

from bench.client import Clock, Mode, Samples
from hsm.keys import find_private
from hsm.module import Module
from hsm.pin import PinFile
from hsm.uri import parse_uri

if TYPE_CHECKING:
    from hsm.keys import SigningKey


@dataclass(frozen=True)
class TokenKey:
    """A key in a token.

    Attributes:
        uri: the token's, with its module.
        pin_file: path of the file with the user PIN.
        label: CKA_LABEL.
    """

    uri: str
    pin_file: str
    label: str


def _sign(key: SigningKey, mode: Mode) -> Samples:
    samples = Samples()
    clock = Clock(mode.period_ms / 2000)
    for number in range(mode.count):
        digest = os.urandom(32)
        if mode.kind == "steady":
            samples.delayed += clock.wait(number * mode.period_ms / 1000)
        began = time.perf_counter_ns()
        key.sign(digest, mechanism=Mechanism.ECDSA)
        samples.ns.append(time.perf_counter_ns() - began)
    return samples


def main() -> None:
    """Read `{"key": {...}, "mode": {...}}`, measure `closed` or `steady`, write the samples as JSON."""
    plan: dict[str, Any] = json.load(sys.stdin)
    asked, mode = TokenKey(**plan["key"]), Mode(**plan["mode"])
    uri = parse_uri(asked.uri)
    module = Module(uri.module_path or "")
    with module.session(uri, PinFile(Path(asked.pin_file)).read()) as session:
        key = find_private(session, asked.label)
        gc.collect()
        gc.freeze()
        gc.disable()
        samples = _sign(key, mode)
        gc.enable()
    json.dump(asdict(samples), sys.stdout)


if __name__ == "__main__":
    main()
