"""FastAPI's telemetry is off: no provider of the environment sees a request. tests/control has the same."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
from fastapi import FastAPI
from fuzz.world import World
from rig.tracer_provider import Provider

if TYPE_CHECKING:
    import pytest
    from starlette.types import ASGIApp, Receive, Scope, Send

_TARGET = "/v1/wallet/get_public_keys"


async def _ask(app: ASGIApp) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        return await http.post(_TARGET)


def test_fastapi_asks_a_provider_unless_it_is_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this the next test could not fail."""
    provider = Provider.install(monkeypatch)
    asyncio.run(_ask(FastAPI()))
    assert provider.asked


def test_no_provider_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider.install(monkeypatch)
    with closing(World()) as world:
        extensions = {"signer": world.call("node"), "target": _TARGET.encode()}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await world.app({**scope, "extensions": extensions}, receive, send)

        answer = asyncio.run(_ask(app))
        assert set(map(str, world.block)) & set(answer.json())
    assert provider.asked == 0
