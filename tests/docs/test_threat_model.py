"""Each test that the threat model names exists, and each row names one."""

from __future__ import annotations

import re

import pytest
from rig.trial import REPOSITORY

_TEXT = (REPOSITORY / "deploy" / "threat-model.md").read_text(encoding="utf-8")
_ROWS = [line for line in _TEXT.splitlines() if line.startswith("| ") and "---" not in line][1:]
_NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", _TEXT)))


@pytest.mark.parametrize(("path", "name"), _NAMED)
def test_a_test_that_is_named_exists(path: str, name: str) -> None:
    source = (REPOSITORY / path).read_text(encoding="utf-8")

    assert re.search(rf"^ *(?:async )?def {name}\(", source, re.MULTILINE)


def test_every_attacker_has_a_row_that_is_whole() -> None:
    """Five columns, none empty, and a test in the last."""
    assert len(_ROWS) >= 20
    for row in _ROWS:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 5, row
        assert all(cells), row
        assert "::test_" in cells[4], row
