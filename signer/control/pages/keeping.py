"""`/keys`: every key and how it fares; and whether one may be destroyed. The API's own routes do the work."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from signer.control import destruction
from signer.control.auth import Scope
from signer.control.pages import page, visit
from signer.control.pages.visit import Form, Looking, Visit
from signer.control.problem import ProblemError
from signer.control.services import Given, Services

router = APIRouter(route_class=page.PageRoute, include_in_schema=False)


@router.get("/keys")
async def show(request: Request, looking: Looking, services: Given) -> Response:
    """Show every key, by token."""
    looking.must(Scope.VIEW)
    status = await services.supervisor.status()
    uses = {key: use for name in services.config.chains for key, use in services.journal.uses(name).items()}
    keys = status.get("keys", ())
    configured = {str(key.public_key) for key in services.config.keys}
    return page.show(
        request,
        "keys",
        looking,
        keys=keys,
        uses={str(key): use for key, use in uses.items()},
        gone=[str(key) for key in uses if str(key) not in configured],
    )


@router.get("/keys/{key}/destroy")
async def ask(request: Request, key: str, looking: Looking, services: Given) -> Response:
    """Show what would happen, and ask for the token."""
    looking.must(Scope.ADMIN)
    return await _ask(request, key, looking, services, None)


@router.post("/keys/{key}/destroy")
async def destroy(request: Request, key: str, form: Form, services: Given) -> Response:
    """Release the key for its destruction."""
    form.visit.must(Scope.ADMIN)
    try:
        visit.confirm(request, form)
        released = await destruction.destroy(key, form.visit.person, services)
    except ProblemError as refusal:
        return await _ask(request, key, form.visit, services, refusal)
    return page.show(request, "destroyed", form.visit, key=released.key)


async def _ask(
    request: Request, key: str, looking: Visit, services: Services, refusal: ProblemError | None
) -> Response:
    public_key = destruction.parse(key)
    configured = next((each for each in services.config.keys if each.public_key == public_key), None)
    return page.show(
        request,
        "destroy",
        looking,
        key=str(public_key),
        configured=configured,
        obstacle=await destruction.obstacle(public_key, services),
        refusal=refusal,
    )
