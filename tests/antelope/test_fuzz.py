"""A short run of the fuzzer: everything is refused in one way, or accepted and given back byte for byte."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
INPUTS = 30_000


def test_nothing_breaks_the_unpacker() -> None:
    """No other exception, no hang, no partial acceptance; the inputs get far, and to nearly every branch."""
    done = subprocess.run(
        [sys.executable, "-m", "antelope.fuzz_unpacker", "--inputs", str(INPUTS)],
        env={"PYTHONPATH": str(TESTS), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    found = {
        name: int(count) for name, count in re.findall(r"^([a-zA-Z ]+): (\d+)", done.stdout, re.MULTILINE)
    }
    assert found["inputs"] == INPUTS
    assert found["damaged from valid and read to the last field"] > INPUTS / 10
    assert found["accepted"] > INPUTS / 10
    coverage = re.search(r"^branches: \d+ of \d+, ([0-9.]+) %$", done.stdout, re.MULTILINE)
    assert coverage is not None
    # All but those of setting up, of values that no bytes and no JSON give, and the rarest.
    assert float(coverage[1]) > 88
