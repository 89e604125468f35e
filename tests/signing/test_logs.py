"""The laws of logging: lines are JSON, and a process whose standard error nobody reads goes on."""

from __future__ import annotations

import json
import subprocess
import sys

_TIMEOUT_S = 30
_SCENE = """
import logging
from signer.logs import configure
configure("test")
for number in range({lines}):
    logging.getLogger("x").warning("line", extra={{"key": "k" * 200, "count": number}})
print("done", flush=True)
"""


def _run(lines: int, stderr: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _SCENE.format(lines=lines)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def test_every_line_is_json_with_constant_fields() -> None:
    process = _run(100, subprocess.PIPE)

    _, text = process.communicate(timeout=_TIMEOUT_S)

    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["count"] for line in lines] == list(range(100))
    assert {tuple(line) for line in lines} == {("at", "level", "process", "event", "count", "key")}


def test_a_reader_that_does_not_read_stops_nothing() -> None:
    """The pipe holds 64 KiB; twenty thousand lines are 6 MB."""
    process = _run(20_000, subprocess.PIPE)
    assert process.stdout is not None

    assert process.stdout.readline() == "done\n"
    assert process.wait(timeout=_TIMEOUT_S) == 0
    assert process.stderr is not None
    process.stderr.close()
    process.stdout.close()
