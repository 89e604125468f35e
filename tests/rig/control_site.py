"""The control application with a store of tokens and a clock that the test moves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from fastapi import FastAPI

    from rig.fake_rotations import FakeChain, FakeRotations, FakeSupervisor, FakeWatch
    from signer.control.auth import TokenStore
    from signer.rotation.journal import Journal


@dataclass
class Clock:
    """The time of day and the monotonic clock, moved together."""

    now: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    monotonic_s: float = 1000.0

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        self.monotonic_s += seconds


@dataclass
class Site:
    """The application, and how to ask it."""

    app: FastAPI
    tokens: TokenStore
    clock: Clock
    status: dict[str, Any]
    supervisor: FakeSupervisor
    rotations: FakeRotations
    journal: Journal
    chain: FakeChain
    watch: FakeWatch
    known: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        path: str,
        *,
        token: str | None = None,
        method: str = "GET",
        host: str = "localhost",
        headers: list[tuple[str, str]] | None = None,
        json: object = None,
        client: tuple[str, int] = ("127.0.0.1", 40000),
    ) -> httpx.Response:
        """Send one request and return the answer."""
        every = list(headers or [])
        if token is not None:
            every.append(("authorization", f"Bearer {token}"))
        if host:
            every.append(("host", host))

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=client)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                request = http.build_request(method, path, headers=every, json=json)
                if not host:
                    del request.headers["host"]
                return await http.send(request)

        return asyncio.run(send())

    def person(self, name: str) -> str:
        """Return the token of a person who may do everything."""
        if name not in self.known:
            self.known[name] = self.token("view", "operate", "approve", "admin", name=name)
        return self.known[name]

    def token(self, *scopes: str, name: str = "alice", seconds: float | None = None) -> str:
        """Make a token; without scopes one that may view."""
        expires = None if seconds is None else self.clock.now + timedelta(seconds=seconds)
        return self.tokens.create(name, scopes or ("view",), expires, self.clock.now)


def status() -> dict[str, Any]:
    """Return the status of a signer that is well, as far as the control process looks at it."""
    return {
        "state": "serving",
        "ready": True,
        "obstacles": [],
        "problems": [],
        "alarms": [],
        "frozen": [],
        "only": None,
        "version": "0",
        "started_at": 1.0,
        "restarts": 0,
        "generation": 1,
        "answers": {"signing": True, "control": True},
        "disk": {"free_bytes": None, "size_bytes": None},
        "nodes": {},
        "keys": [],
        "tokens": {
            "primary": {
                "purpose": "block",
                "state": "logged-in",
                "reason": "",
                "lanes": [],
                "lanes_configured": 2,
                "proved_at": 2.0,
            }
        },
        "counters": {"decisions": [], "tries": {}, "lanes_lost": {}},
        "latency": {},
        "audit": {"seq": 1, "waiting": 0, "lost": 0, "degraded": ""},
        "control": {"state": "ready", "pid": 1, "restarts": 0},
        "chains": {},
        "guards": {},
        "production": None,
    }


def is_problem(answer: httpx.Response, status: int, code: str) -> None:
    """Check that an answer is this problem, in the form of RFC 9457."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content = answer.json()
    assert set(content) - {"errors"} == {"type", "title", "status", "detail", "code"}
    assert (content["status"], content["code"]) == (status, code)
    assert "Traceback" not in answer.text
