"""`/v1/health`: whether blocks can be signed, for whatever watches from outside.

No answer makes a token work: ready is what the supervisor knows (signer.supervisor.readiness). Who has no token learns
that something is wrong and where to look; names of nodes and tokens are for the scope `view`.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from fastapi import APIRouter, Request

from signer import health
from signer.control import problem
from signer.control.access import Viewer
from signer.control.problem import ProblemError
from signer.control.services import Given
from signer.control.view import View

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from signer.control.services import Supervisor

router = APIRouter(prefix="/v1/health", tags=["health"], responses=problem.RESPONSES)

#: However many ask, the supervisor and the signing process are asked this often at most, in s: anyone may ask here.
_KEPT_S: Final = 1.0


class Health(View):
    """Says that all is well, and nothing else: anyone may ask."""

    status: Literal["ok"] = "ok"
    """Always `ok`."""


class HealthDetail(View):
    """What is well and what is not."""

    ready: bool
    """Whether every node has a key that can sign."""
    obstacles: list[str]
    """Why not, a sentence each."""
    problems: list[str]
    """What else a person should look at, a sentence each."""
    proved_at: dict[str, float | None]
    """When each block token last made a signature that verified, in s since 1970; null: not since it was opened."""


class LastStatus:
    """The supervisor's status, at most a second old.

    Args:
        supervisor: is asked.
        clock: the time of day (UTC).
    """

    def __init__(self, supervisor: Supervisor, clock: Callable[[], datetime]) -> None:
        self._supervisor = supervisor
        self._clock = clock
        self._asked_at: datetime | None = None
        self._answer: asyncio.Task[dict[str, Any]] | None = None

    async def get(self) -> dict[str, Any]:
        """Return it. All who ask at once wait for one answer.

        Raises:
            AdminError: the supervisor does not answer.
        """
        now = self._clock()
        if (
            self._answer is None
            or self._asked_at is None
            or (self._answer.done() and abs((now - self._asked_at).total_seconds()) >= _KEPT_S)
        ):
            self._asked_at = now
            self._answer = asyncio.ensure_future(self._supervisor.status())
        return await asyncio.shield(self._answer)


@router.get("/live")
async def live() -> Health:
    """Tell that the control process answers."""
    return Health()


@router.get("/ready")
async def ready(request: Request) -> Health:
    """Tell that blocks can be signed and people let in. 503 `not-ready` otherwise."""
    request.app.state.gate.check()
    status = await request.app.state.last_status.get()
    if not status["ready"]:
        count = len(status["obstacles"])
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "not-ready",
            f"Not every node has a key that can sign ({count} {'obstacle' if count == 1 else 'obstacles'}). "
            "`signer status` says what is wrong, and so does /v1/health with a token of scope view.",
            {"retry-after": "1"},
        )
    return Health()


@router.get("")
async def show(_: Viewer, services: Given) -> HealthDetail:
    """Return what is well and what is not; 200 in both cases."""
    return HealthDetail.model_validate(health.report(await services.supervisor.status()))
