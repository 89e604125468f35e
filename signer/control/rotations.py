"""`/v1/rotations`: ask for one, try one, watch, agree, end."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final, Literal

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import Field, model_validator

from signer.antelope.keys import PublicKey
from signer.control import chains, problem
from signer.control.access import Approver, Operator, Viewer
from signer.control.problem import ProblemError
from signer.control.rotation_view import FindingView, RotationDetail, RotationList, RotationView
from signer.control.services import Given, Services
from signer.control.view import Body, View
from signer.errors import FormatError
from signer.rotation.rotation import Kind, Request, Rotation

if TYPE_CHECKING:
    from signer.control.services import RotationService

router = APIRouter(prefix="/v1/rotations", tags=["rotations"], responses=problem.RESPONSES)

#: Below SQLite's largest integer, far above any rotation.
_MAX_ID: Final = 2**53
_MAX_PAGE: Final = 200
_PAGE: Final = 20
#: As signer.rotation.rotations has it.
_MAX_REASON: Final = 400
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)

RotationId = Annotated[int, Path(ge=1, le=_MAX_ID, description="The rotation's number.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Any text of 1 to 255 printable ASCII characters without blanks, new for each intent. "
        "The same person with the same key and body gets the same rotation again, with 200 instead of 202.",
    ),
]


class RotationBody(Body):
    """What is asked for."""

    kind: Literal["promote", "cycle"]
    """`promote` moves production to a key of another node, `cycle` gives the producing node a fresh key."""
    chain: str | None = None
    """The chain's name in the configuration; null: the only one that has a producer."""
    node: str | None = None
    """The node that will produce; needed for `promote`. For `cycle`, null is the node that produces."""
    key: str | None = None
    """The key to register, as EOS..., PUB_K1_... or PUB_R1_...; null: the one that the ring gives."""
    reason: Annotated[str, Field(max_length=_MAX_REASON, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    """Why, in your words; needed for an emergency."""
    emergency: bool = False
    """The old node is dead: only blockers stop it, and approval comes afterwards."""
    accept_warnings: bool = False
    """You know the warnings, whatever they are."""
    reactivate: bool = False
    """Register the producer again if its row is inactive."""
    unattended: bool = False
    """Nobody watches: what the node lists has to be known from evidence of the kind `signed` or `file`."""
    may_return: bool = True
    """Whether the old key may be registered again by itself if the new node does not produce."""

    @model_validator(mode="after")
    def _agree(self) -> RotationBody:
        if self.kind == "promote" and self.node is None:
            raise ValueError("promote needs a node")
        if self.emergency and not self.reason.strip():
            raise ValueError("an emergency needs a reason")
        if self.emergency and self.unattended:
            raise ValueError("an emergency is attended")
        return self


class DryRunView(View):
    """What a rotation would do."""

    chain: str
    """The chain's name in the configuration."""
    kind: Kind
    """What was tried."""
    node: str
    """The node that would produce."""
    to_key: str
    """The key that would be registered."""
    from_keys: list[str]
    """The keys that the producer's row names."""
    from_node: str | None
    """The node of this signer that holds them; null: none."""
    findings: list[FindingView]
    """What preflight found."""
    transaction: dict[str, object] | None
    """The transaction, unsigned, as nodeos shows it; null where a blocker keeps it from being built."""
    expected_s: float | None
    """How long it takes on this chain from push to proof, in s; null: nobody knows."""


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    responses={200: {"model": RotationView, "description": "The rotation that this key made before."}},
)
async def ask(
    body: RotationBody,
    person: Operator,
    services: Given,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> RotationView:
    """Ask for a rotation. It goes on by itself; watch it by its events."""
    if idempotency_key is not None and _KEY.fullmatch(idempotency_key) is None:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid",
            "An Idempotency-Key has 1 to 255 printable ASCII characters without blanks.",
            errors=[{"at": ["header", "Idempotency-Key"], "kind": "form"}],
        )
    chain, key = _parse(body, services)
    rotations = services.rotating()
    async with services.asking:
        known = rotations.by_idempotency_key(person.name, idempotency_key) if idempotency_key else None
        if known is None:
            request = await _request(body, person.name, chain, services)
            rotation = await rotations.request(request, key, idempotency_key)
        elif _same(known, body, chain, key):
            rotation = known
            response.status_code = HTTPStatus.OK
        else:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "idempotency-key",
                f"You used this Idempotency-Key for rotation {known.id}, which asked for something else.",
            )
    response.headers["location"] = f"{router.prefix}/{rotation.id}"
    return _view(rotation, rotations)


@router.post("/dry-run")
async def dry_run(body: RotationBody, person: Viewer, services: Given) -> DryRunView:
    """Find out what a rotation would do, and what is in its way. Nothing is signed or written down."""
    chain, key = _parse(body, services)
    rotations = services.rotating()
    request = await _request(body, person.name, chain, services)
    found = await rotations.dry_run(request, key)
    return DryRunView(
        chain=chain,
        kind=request.kind,
        node=found.node,
        to_key=str(found.to_key),
        from_keys=[str(each) for each in found.from_keys],
        from_node=found.from_node,
        findings=[FindingView.of(each) for each in found.findings],
        transaction=None if found.transaction is None else dict(found.transaction),
        expected_s=found.expected_s,
    )


@router.get("")
async def list_rotations(
    _: Viewer,
    services: Given,
    limit: Annotated[int, Query(ge=1, le=_MAX_PAGE, description="At most so many.")] = _PAGE,
    before: Annotated[
        int | None, Query(ge=1, le=_MAX_ID, description="Only rotations with a smaller number.")
    ] = None,
) -> RotationList:
    """Return the rotations of all chains, newest first."""
    if services.rotations is None:
        return RotationList(rotations=[], next_before=None)
    found = services.rotations.list(limit, before)
    views = [RotationView.of(each, None) for each in found]
    return RotationList(rotations=views, next_before=views[-1].id if len(views) == limit else None)


@router.get("/{rotation_id}")
async def show(rotation_id: RotationId, _: Viewer, services: Given) -> RotationDetail:
    """Return one rotation with its history."""
    rotations = services.rotating()
    rotation = rotations.get(rotation_id)
    expected_s = _expected_s(rotation, rotations)
    return RotationDetail.with_history(rotation, expected_s, rotations.entries(rotation_id))


@router.post("/{rotation_id}/abort")
async def abort(rotation_id: RotationId, person: Operator, services: Given) -> RotationView:
    """End a rotation whose key is not registered yet. Asking again changes nothing."""
    rotations = services.rotating()
    rotation = rotations.get(rotation_id)
    if rotation.abort_by != person.name:
        rotation = await rotations.abort(rotation_id, person.name)
    return _view(rotation, rotations)


@router.post("/{rotation_id}/approve")
async def approve(rotation_id: RotationId, person: Approver, services: Given) -> RotationView:
    """Agree to a rotation that somebody else asked for. Agreeing again changes nothing."""
    rotations = services.rotating()
    rotation = rotations.get(rotation_id)
    if rotation.request.requested_by == person.name:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "same-person",
            f"{person.name} asked for rotation {rotation_id}; somebody else has to approve it.",
        )
    if rotation.approved_by != person.name:
        rotation = await rotations.approve(rotation_id, person.name)
    return _view(rotation, rotations)


def _view(rotation: Rotation, rotations: RotationService) -> RotationView:
    return RotationView.of(rotation, _expected_s(rotation, rotations))


def _expected_s(rotation: Rotation, rotations: RotationService) -> float | None:
    return rotations.expected_s(rotation.request.chain) if rotation.live else None


def _parse(body: RotationBody, services: Services) -> tuple[str, PublicKey | None]:
    """Return the chain and the key that the body names."""
    chain = chains.choose(services.config, body.chain)
    chains.require(services.config, chain)
    node = body.node
    if node is not None and (node not in services.config.nodes or services.config.nodes[node].chain != chain):
        known = ", ".join(name for name, each in services.config.nodes.items() if each.chain == chain)
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            "unknown-node",
            f"Chain {chain} has no node of that name; known are: {known}.",
        )
    if body.key is None:
        return chain, None
    try:
        return chain, PublicKey.parse(body.key)
    except FormatError:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid",
            "The key is not a public key: EOS..., PUB_K1_... or PUB_R1_...",
            errors=[{"at": ["body", "key"], "kind": "form"}],
        ) from None


async def _request(body: RotationBody, person: str, chain: str, services: Services) -> Request:
    node = body.node if body.node is not None else await _producing_node(chain, services)
    return Request(
        kind=Kind(body.kind),
        chain=chain,
        node=node,
        requested_by=person,
        reason=body.reason,
        emergency=body.emergency,
        accept_warnings=body.accept_warnings,
        reactivate=body.reactivate,
        unattended=body.unattended,
        may_return=body.may_return,
    )


async def _producing_node(chain: str, services: Services) -> str:
    """Return the node of this signer that holds the keys of the producer's row."""
    view = await services.rotating().producer(chain)
    if view.chain_view is None:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "chain",
            f"Which node produces is not known, because no API node of {chain} tells: {view.problem}; "
            "name the node.",
            {"retry-after": "5"},
        )
    node = chains.node_of(services.config, view.chain_view.row_keys)
    if node is None:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            "no-node",
            "No one node of this signer holds the key that the producer's row names; name the node.",
        )
    return node


def _same(known: Rotation, body: RotationBody, chain: str, key: PublicKey | None) -> bool:
    """Tell whether `known` is what `body` asks for. What the body leaves open may have become anything."""
    request = known.request
    asked = (body.kind, chain, body.reason, body.emergency, body.accept_warnings, body.reactivate)
    had = (
        request.kind.value,
        request.chain,
        request.reason,
        request.emergency,
        request.accept_warnings,
        request.reactivate,
    )
    return (
        (*asked, body.unattended, body.may_return) == (*had, request.unattended, request.may_return)
        and body.node in (None, request.node)
        and key in (None, known.to_key)
    )
