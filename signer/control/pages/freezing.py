"""`/freeze`: stop signatures at once, and let them go on. The API's own routes do the work."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from signer.control import freeze
from signer.control.auth import Scope
from signer.control.freeze import FreezeBody, UnfreezeBody
from signer.control.pages import page, visit
from signer.control.pages.visit import Form, Looking, Visit
from signer.control.problem import ProblemError
from signer.control.services import Given, Services

if TYPE_CHECKING:
    from signer.control.pages.board import Board

router = APIRouter(route_class=page.PageRoute, include_in_schema=False)

What = Annotated[str, Query(max_length=200)]


@router.get("/freeze")
async def show(request: Request, looking: Looking, services: Given) -> Response:
    """Show what is frozen, and ask what else to freeze."""
    looking.must(Scope.VIEW)
    return await _show(request, looking, services, {}, None)


@router.post("/freeze")
async def freeze_(request: Request, form: Form, services: Given) -> Response:
    """Freeze. It asks for nothing more: who has to stop signatures has no time."""
    form.visit.must(Scope.OPERATE)
    scope, _, name = form.text("what").partition(" ")
    try:
        body = FreezeBody.model_validate({"scope": scope, "name": name, "reason": form.text("reason")})
        await freeze.freeze(body, form.visit.person, services)
    except ValidationError as error:
        return await _show(request, form.visit, services, form.fields, page.invalid(error))
    except ProblemError as refusal:
        return await _show(request, form.visit, services, form.fields, refusal)
    _hurry(request)
    return page.go("/freeze")


@router.get("/unfreeze")
async def ask(
    request: Request, looking: Looking, services: Given, scope: Literal["key", "node", "all"], name: What = ""
) -> Response:
    """Show what would sign again, and ask for the token."""
    looking.must(Scope.ADMIN)
    return await _ask(request, looking, services, scope=scope, name=name)


@router.post("/unfreeze")
async def unfreeze(request: Request, form: Form, services: Given) -> Response:
    """Unfreeze."""
    form.visit.must(Scope.ADMIN)
    given = {name: form.text(name) for name in ("scope", "name", "reason")}
    try:
        body = UnfreezeBody.model_validate(given)
    except ValidationError as error:
        raise page.invalid(error) from None
    try:
        visit.confirm(request, form)
    except ProblemError as refusal:
        return await _ask(request, form.visit, services, scope=body.scope, name=body.name, refusal=refusal)
    await freeze.unfreeze(body, form.visit.person, services)
    _hurry(request)
    return page.go("/freeze")


async def _show(
    request: Request, looking: Visit, services: Services, given: dict[str, str], refusal: ProblemError | None
) -> Response:
    status = await services.supervisor.status()
    return page.show(
        request,
        "freeze",
        looking,
        frozen=status.get("frozen", ()),
        nodes=list(services.config.nodes),
        keys=[each for each in services.config.keys if each.role != "probe"],
        labels=_labels(services),
        given=defaultdict(str, given),
        refusal=refusal,
    )


async def _ask(
    request: Request,
    looking: Visit,
    services: Services,
    *,
    scope: str,
    name: str,
    refusal: ProblemError | None = None,
) -> Response:
    status = await services.supervisor.status()
    frozen = status.get("frozen", ())
    return page.show(
        request,
        "unfreeze",
        looking,
        scope=scope,
        name=name,
        marker=next((each for each in frozen if (each["scope"], each["name"]) == (scope, name)), None),
        others=[each for each in frozen if (each["scope"], each["name"]) != (scope, name)],
        keys=[key for key in status.get("keys", ()) if _covers(scope, name, key)],
        labels=_labels(services),
        refusal=refusal,
    )


def _covers(scope: str, name: str, key: dict[str, Any]) -> bool:
    if key["role"] == "probe":
        return False
    return scope == "all" or name == (key["node"] if scope == "node" else key["public_key"])


def _labels(services: Services) -> dict[str, str]:
    return {str(key.public_key): key.label for key in services.config.keys}


def _hurry(request: Request) -> None:
    board: Board = request.app.state.board
    board.hurry()
