"""A short run of each fuzzer of input from outside. Each has a long form: `python -m fuzz TARGET --inputs N`.

tests/antelope/fuzz_unpacker.py does the same for transactions and ABIs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("target", "inputs", "more"),
    [
        ("wallet", 5_000, ()),
        ("http", 1_500, ("crowded",)),
        ("kept", 400, ("crowded", "kept", "storm over")),
        ("config", 1_500, ()),
        ("uri", 10_000, ()),
    ],
)
def test_nothing_breaks_it(target: str, inputs: int, more: tuple[str, ...]) -> None:
    """No other exception, no hang, no 2xx for what is malformed, no trace and no secret in an answer or a log."""
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", target, "--inputs", str(inputs)],
        env={"PYTHONPATH": str(_TESTS), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    found = {
        name: int(count) for name, count in re.findall(r"^([a-z 0-9]+): (\d+)", done.stdout, re.MULTILINE)
    }
    assert found["inputs"] == inputs
    assert found["mutated from valid"] > inputs / 10
    assert found["accepted"] > inputs / 50
    for name in more:
        assert found[name] > inputs / 200, name
