"""The place of the log in the tests of the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the path of a log that does not exist yet."""
    return tmp_path / "audit" / "audit.jsonl"


@pytest.fixture(autouse=True)
def nobody_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the reader its second look at a torn tail: no signer runs beside these tests."""
    monkeypatch.setattr("signer.signing.audit_reader._LOOK_SECONDS", 0)
