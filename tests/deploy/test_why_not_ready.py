"""What quickstart says of a signer that runs and does not become ready."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rig.trial import REPOSITORY

if TYPE_CHECKING:
    import pytest

_WELL: dict[str, Any] = {
    "obstacles": ["node a has no key that can sign"],
    "tokens": {"a": {"purpose": "block", "state": "logged-in", "reason": ""}},
    "frozen": [],
    "keys": [{"role": "block", "label": "a-r1-1", "state": "active", "reason": ""}],
}


def test_a_busy_machine_is_told_from_a_signer_that_cannot_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """What opens its tokens is waited for longer."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "deploy"))
    has_begun = importlib.import_module("trial.running").has_begun

    def status(token: str, key: str) -> dict[str, Any]:
        tokens, keys = {"a": {"state": token}}, [{"role": "block", "token": "a", "state": key}]
        return {"state": "serving", "tokens": tokens, "keys": keys, "frozen": []}

    assert not has_begun(None)
    assert not has_begun(status("starting", "unavailable"))
    assert not has_begun(status("logged-in", "unavailable"))
    assert not has_begun(status("logged-in", "active") | {"state": "starting"})
    assert has_begun(status("logged-in", "unavailable") | {"frozen": [{"scope": "all"}]})
    assert has_begun(status("logged-in", "active"))
    assert has_begun(status("logged-in", "quarantined"))
    assert has_begun(status("away", "unavailable"))


def test_every_cause_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The obstacle alone does not say what to do."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "deploy"))
    why = importlib.import_module("trial.running").why_not_ready
    obstacle = ": node a has no key that can sign"
    away = {"a": {"purpose": "block", "state": "away", "reason": "CKR_DEVICE_REMOVED"}}
    frozen = [{"scope": "node", "name": "a", "reason": "a drill"}]
    quarantined = [{"role": "block", "label": "a-r1-1", "state": "quarantined", "reason": "not on the token"}]
    assert why(_WELL) == obstacle
    assert why(_WELL | {"tokens": away}) == f"{obstacle}; token a is away: CKR_DEVICE_REMOVED"
    assert why(_WELL | {"frozen": frozen}).startswith(f"{obstacle}; node a is frozen: a drill; 'signer unf")
    expected = f"{obstacle}; key a-r1-1 is quarantined: not on the token"
    assert why(_WELL | {"keys": quarantined}) == expected
    assert "does not answer" in why(None)
