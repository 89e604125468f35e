"""The control API: what people and their tools ask, each with a token of their own."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Request, Response

import signer
from signer import telemetry
from signer.control import (
    destruction,
    events,
    freeze,
    health,
    leases,
    metrics,
    nodes,
    permissions,
    problem,
    producers,
    refusal,
    rings,
    rotations,
    tokens,
)
from signer.control.access import Anybody, person, require
from signer.control.auth import Scope
from signer.control.border import Border
from signer.control.gate import Gate
from signer.control.pages import pages
from signer.control.services import Given, Services
from signer.control.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from signer.config import Config
    from signer.control.auth import TokenStore
    from signer.control.services import ChainReader, ChainWatch, Journal, RotationService, Supervisor

log = logging.getLogger("signer.control")

#: One file for each noun.
_ROUTED: Final = (
    rotations,
    events,
    producers,
    permissions,
    nodes,
    rings,
    destruction,
    freeze,
    leases,
    tokens,
    health,
    metrics,
)
_ABOUT: Final = """\
What people and their tools ask of the signer. Times are ISO 8601 in UTC.

Every request but those for `/v1/health/live` and `/v1/health/ready` carries `Authorization: Bearer sgn_...`. Scopes,
none of which implies another:
`view` reads and tries; `operate` asks for rotations, ends them, freezes and attests; `approve` agrees to what somebody
else asked for; `admin` makes tokens, ends freezes and destroys keys.

Every refusal is an RFC 9457 problem with a stable `code`. `POST /v1/rotations` takes an `Idempotency-Key`; every other
POST may simply be sent again: what is done already stays as it is.
"""


class WhoAmI(View):
    """The person behind the token."""

    name: str
    """Their name."""
    scopes: list[Scope]
    """What they may do."""


router = APIRouter(prefix="/v1", responses=problem.RESPONSES)


@router.get("/whoami")
async def whoami(asking: Anybody) -> WhoAmI:
    """Tell whose token this is."""
    return WhoAmI(name=asking.name, scopes=sorted(asking.scopes))


@router.get("/status", dependencies=[Depends(require(Scope.VIEW))])
async def status(services: Given) -> dict[str, Any]:
    """Return the signer's status, as the admin socket gives it."""
    return await services.supervisor.status()


@router.get("/openapi.json", dependencies=[Depends(person)], include_in_schema=False)
async def openapi(request: Request) -> dict[str, Any]:
    """Return the description of this API."""
    app: FastAPI = request.app
    return app.openapi()


def create_app(
    config: Config,
    token_store: TokenStore,
    supervisor: Supervisor,
    journal: Journal,
    *,
    rotation_service: RotationService | None = None,
    chains: Mapping[str, ChainReader] | None = None,
    watches: Mapping[str, ChainWatch] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """Return the control application.

    Args:
        config: what is configured; the Host header may have the addresses and names of its control
            listeners.
        token_store: who may use it.
        supervisor: the signer's status, freezes and audit log.
        journal: rotations and evidence on disk.
        rotation_service: None where no chain is configured for rotations.
        chains: the API nodes of each chain that has some in the configuration.
        watches: what is seen on each of them.
        clock: the time of day (UTC).
    """
    app = FastAPI(
        title="Antelope signer: control",
        description=_ABOUT,
        version=signer.__version__,
        openapi_url=None,  # served by a route that asks for a token
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=telemetry.OFF,
    )
    app.state.gate = Gate(token_store)
    app.state.services = Services(
        config, token_store, supervisor, rotation_service, journal, chains or {}, watches or {}, clock
    )
    app.state.last_status = health.LastStatus(supervisor, clock)
    app.state.streams = events.Streams()
    for each in (router, *(module.router for module in _ROUTED)):
        app.include_router(each)
    pages.add_to(app)
    for kind in refusal.KINDS:
        app.add_exception_handler(kind, _refuse)
    listeners = [each for each in config.listeners if each.kind == "control"]
    addresses = {each.tcp.host for each in listeners if each.tcp is not None}
    app.add_middleware(Border, hosts=frozenset(addresses.union(*(each.names for each in listeners))))
    return app


async def _refuse(_: Request, error: Exception) -> Response:
    found = refusal.of(error)
    content = problem.body(found.status, found.code, found.detail, found.errors)
    return Response(content, found.status.value, dict(found.headers), problem.MEDIA_TYPE)
