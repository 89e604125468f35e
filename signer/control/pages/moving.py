"""`/rotations`: look at rotations, try one, ask for one, agree to one, end one. The API's own routes do the work."""

from __future__ import annotations

import secrets
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from signer.control import rotations
from signer.control.auth import Scope
from signer.control.pages import overview, page, visit
from signer.control.pages.visit import Form, Looking, Sent
from signer.control.problem import ProblemError
from signer.control.rotations import RotationBody, RotationId
from signer.control.services import Given, Services

if TYPE_CHECKING:
    from signer.control.pages.board import Board
    from signer.control.pages.fragments import Fragments

router = APIRouter(route_class=page.PageRoute, include_in_schema=False)

Act = Literal["promote", "cycle", "emergency"]
#: What each act is called, and what it is for.
ACTS: Final = {
    "promote": ("Promote", "Production moves to a key of another node, which is up and in sync."),
    "cycle": ("Cycle", "The node that produces gets a fresh key of its ring."),
    "emergency": (
        "Emergency",
        "The producing node is dead: only blockers stop this, and approval comes after.",
    ),
}
_PAGE: Final = 25
_MAX_ID: Final = 2**53


@router.get("/rotations")
async def list_rotations(
    request: Request,
    looking: Looking,
    services: Given,
    before: Annotated[int | None, Query(ge=1, le=_MAX_ID)] = None,
) -> Response:
    """Show the rotations, newest first, and what may be asked for."""
    looking.must(Scope.VIEW)
    found = [] if services.rotations is None else list(services.rotations.list(_PAGE, before))
    return page.show(
        request,
        "rotations",
        looking,
        rotations=found,
        older=found[-1].id if len(found) == _PAGE else None,
        mark_of=overview.mark_of,
        acts=ACTS,
        configured=services.rotations is not None,
    )


@router.get("/rotations/{rotation_id}")
async def show(request: Request, rotation_id: RotationId, looking: Looking) -> Response:
    """Show one rotation, its progress and its history."""
    looking.must(Scope.VIEW)
    board: Board = request.app.state.board
    fragments: Fragments = request.app.state.fragments
    parts = fragments.draw(await board.glance(), looking.person.scopes, rotation_id)
    return page.show(request, "rotation", looking, parts=parts, rotation_id=rotation_id)


@router.get("/move/{act}")
async def ask(
    request: Request,
    act: Act,
    looking: Looking,
    services: Given,
    node: Annotated[str, Query(max_length=63)] = "",
) -> Response:
    """Ask what to do."""
    looking.must(Scope.OPERATE)
    return _form(request, act, looking, services, {"node": node})


@router.post("/move/{act}")
async def preview(request: Request, act: Act, form: Form, services: Given) -> Response:
    """Show what would happen, and ask for the token. Nothing is signed on chain or written down."""
    form.visit.must(Scope.OPERATE)
    return await _preview(request, act, form, services, None)


@router.post("/move/{act}/go")
async def go(request: Request, act: Act, form: Form, services: Given) -> Response:
    """Do it."""
    form.visit.must(Scope.OPERATE)
    try:
        visit.confirm(request, form)
    except ProblemError as refusal:
        return await _preview(request, act, form, services, refusal)
    rotation = await rotations.ask(
        _body(act, form), form.visit.person, services, Response(), form.text("once") or None
    )
    _hurry(request)
    return page.go(f"/rotations/{rotation.id}")


@router.get("/rotations/{rotation_id}/{act}")
async def decide(
    request: Request,
    rotation_id: RotationId,
    act: Literal["approve", "abort"],
    looking: Looking,
    services: Given,
) -> Response:
    """Ask whether a rotation is to be approved or ended."""
    looking.must(_scope(act))
    rotation = services.rotating().get(rotation_id)
    return page.show(request, "decide", looking, act=act, rotation=rotation, mark=overview.mark_of(rotation))


@router.post("/rotations/{rotation_id}/{act}")
async def decided(
    request: Request, rotation_id: RotationId, act: Literal["approve", "abort"], form: Form, services: Given
) -> Response:
    """Approve or end a rotation."""
    form.visit.must(_scope(act))
    do = rotations.approve if act == "approve" else rotations.abort
    await do(rotation_id, form.visit.person, services)
    _hurry(request)
    return page.go(f"/rotations/{rotation_id}")


def _scope(act: str) -> Scope:
    return Scope.APPROVE if act == "approve" else Scope.OPERATE


def _hurry(request: Request) -> None:
    board: Board = request.app.state.board
    board.hurry()


def _form(
    request: Request,
    act: Act,
    looking: visit.Visit,
    services: Services,
    given: dict[str, str],
    *,
    refusal: ProblemError | None = None,
) -> Response:
    config = services.config
    return page.show(
        request,
        "move",
        looking,
        act=act,
        title=ACTS[act][0],
        text=ACTS[act][1],
        nodes=[name for name, node in config.nodes.items() if config.chains[node.chain].producer is not None],
        chains=[name for name, chain in config.chains.items() if chain.producer is not None],
        given=defaultdict(str, given),
        refusal=refusal,
    )


async def _preview(
    request: Request, act: Act, form: Sent, services: Services, refusal: ProblemError | None
) -> Response:
    try:
        found = await rotations.dry_run(_body(act, form), form.visit.person, services)
    except ProblemError as problem:
        return _form(request, act, form.visit, services, form.fields, refusal=problem)
    blockers = [each for each in found.findings if each.level == "blocker"]
    warnings = [each for each in found.findings if each.level == "warning"]
    return page.show(
        request,
        "preview",
        form.visit,
        act=act,
        title=ACTS[act][0],
        found=found,
        blockers=blockers,
        warnings=warnings,
        fields={name: form.text(name) for name in ("node", "chain", "reason", "reactivate")},
        once=form.text("once") or secrets.token_urlsafe(16),
        approval=services.config.rotation.approval,
        refusal=refusal,
    )


def _body(act: Act, form: Sent) -> RotationBody:
    given: dict[str, Any] = {
        "kind": "cycle" if act == "cycle" else "promote",
        "chain": form.text("chain") or None,
        "node": form.text("node") or None,
        "reason": form.text("reason"),
        "emergency": act == "emergency",
        "accept_warnings": form.ticked("accept_warnings"),
        "reactivate": bool(form.text("reactivate")),
    }
    try:
        return RotationBody.model_validate(given)
    except ValidationError as error:
        raise page.invalid(error) from None
