"""What a failed start shows of the log."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from rig.trial import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_refused_requests_do_not_hide_why_the_start_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that asks already makes many lines a second."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "deploy"))
    running, layout = importlib.import_module("trial.running"), importlib.import_module("trial.layout")
    trial = layout.Layout.of(tmp_path)
    before = '{"message": "of an earlier start"}\n'
    lines = ['{"message": "token state", "reason": "why"}', *['{"message": "request not signed"}'] * 100]
    trial.log.write_text(before + "\n".join(lines) + "\n", encoding="utf-8")

    assert running.log_tail(trial, len(before)) == lines[0]
