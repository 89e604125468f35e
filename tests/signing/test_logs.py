"""The laws of logging: lines are JSON, and a process whose standard error nobody reads goes on."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from rig.condition import HANG_S
from rig.trial import REPOSITORY

from signer.logs import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    _, text = process.communicate(timeout=HANG_S)

    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["count"] for line in lines] == list(range(100))
    assert {tuple(line) for line in lines} == {("at", "level", "process", "event", "count", "key")}


def test_a_reader_that_does_not_read_stops_nothing() -> None:
    """The pipe holds 64 KiB; twenty thousand lines are 6 MB."""
    process = _run(20_000, subprocess.PIPE)
    assert process.stdout is not None

    assert process.stdout.readline() == "done\n"
    assert process.wait(timeout=HANG_S) == 0
    assert process.stderr is not None
    process.stderr.close()
    process.stdout.close()


def _extras(tree: ast.Module) -> Iterator[ast.Dict]:
    """Yield the dict of each `extra=`, also where it was given a name before."""
    named: dict[str, list[ast.Dict]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for target in node.targets:
                named.setdefault(ast.unparse(target), []).append(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "extra":
            yield from named.get(ast.unparse(node.value), [])
            yield from (each for each in ast.walk(node.value) if isinstance(each, ast.Dict))


def test_every_field_that_the_code_gives_is_written() -> None:
    """One that is not among them would be left out in silence."""
    used: dict[str, str] = {}
    for package in ("signer", "hsm"):
        for file in (REPOSITORY / package).rglob("*.py"):
            for extra in _extras(ast.parse(file.read_text(encoding="utf-8"))):
                used |= {str(key.value): str(file) for key in extra.keys if isinstance(key, ast.Constant)}
    assert {"caller", "rotation", "reason"} <= set(used)
    assert {name: file for name, file in used.items() if name not in FIELDS} == {}
