"""A store of tokens and the application around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rig.control_site import Clock, Site

from signer.config import Config, Listener, TcpAddress
from signer.control.app import create_app
from signer.control.auth import TokenStore
from signer.control.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenStore]:
    """Return an empty store."""
    store = TokenStore(tmp_path / "state" / "control.sqlite")
    yield store
    store.close()


@pytest.fixture
def site(tokens: TokenStore) -> Site:
    """Return the application with a TCP listener on 192.0.2.7."""
    listener = Listener.model_construct(kind="control", tcp=TcpAddress("192.0.2.7", 8902))
    config = Config.model_construct(listeners=(listener,))
    clock = Clock()

    answer: dict[str, Any] = {"state": "serving", "ready": True}

    async def status() -> dict[str, Any]:
        return answer

    app = create_app(config, tokens, status)
    app.state.gate = Gate(tokens, lambda: clock.now, lambda: clock.monotonic_s)
    return Site(app, tokens, clock, answer)
