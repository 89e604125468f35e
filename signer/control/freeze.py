"""`/v1/freeze` and `/v1/unfreeze`: stop signatures at once, and let them go on."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from signer.antelope.keys import PublicKey
from signer.control import problem
from signer.control.access import Admin, Operator
from signer.control.problem import ProblemError
from signer.control.services import Given
from signer.control.view import Body, View
from signer.errors import FormatError

if TYPE_CHECKING:
    from signer.config import Config

router = APIRouter(prefix="/v1", tags=["freeze"], responses=problem.RESPONSES)

_Reason = Annotated[str, Field(max_length=400, pattern=r"^[^\x00-\x1f\x7f]*$")]


class UnfreezeBody(Body):
    """What to let sign again."""

    scope: Literal["key", "node", "all"]
    """One key, all keys of one node, or every key."""
    name: str = ""
    """The public key in any form, or the node's name; empty for `all`."""
    reason: _Reason = ""
    """Why, for those who wonder."""


class FreezeBody(UnfreezeBody):
    """What to stop."""

    reason: Annotated[_Reason, Field(min_length=1)]
    """Why, for those who wonder. Needed."""


class Frozen(View):
    """What is frozen now. Nothing of it is signed after this answer."""

    scope: Literal["key", "node", "all"]
    """One key, all keys of one node, or every key."""
    name: str
    """The public key or the node; empty for `all`."""
    durable: bool
    """Whether that is on the disk. If not, the disk hangs, and a crash of the signer's host may undo it."""


class Unfrozen(Frozen):
    """What is frozen no more, unless another freeze covers it."""

    was_frozen: bool
    """Whether there was such a freeze."""


@router.post("/freeze")
async def freeze(body: FreezeBody, person: Operator, services: Given) -> Frozen:
    """Stop signatures of one key, of one node's keys, or of all. Needs no chain; asking again changes nothing."""
    name = _name(services.config, body)
    durable = await services.supervisor.freeze(body.scope, name, person.name, body.reason)
    return Frozen(scope=body.scope, name=name, durable=durable)


@router.post("/unfreeze")
async def unfreeze(body: UnfreezeBody, person: Admin, services: Given) -> Unfrozen:
    """End a freeze."""
    name = _name(services.config, body, known=False)
    found, durable = await services.supervisor.unfreeze(body.scope, name, person.name, body.reason)
    return Unfrozen(scope=body.scope, name=name, was_frozen=found, durable=durable)


def _name(config: Config, body: UnfreezeBody, *, known: bool = True) -> str:
    """Return the name as markers have it. A freeze of what is not configured would stop nothing, so it is refused."""
    name = body.name
    if body.scope == "all":
        if name:
            raise _invalid("The scope `all` takes no name.")
        return ""
    if body.scope == "key":
        try:
            name = str(PublicKey.parse(name))
        except FormatError:
            raise _invalid("The name is not a public key: EOS..., PUB_K1_... or PUB_R1_...") from None
    names = [str(key.public_key) for key in config.keys] if body.scope == "key" else list(config.nodes)
    if known and name not in names:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, f"unknown-{body.scope}", f"No {body.scope} of that name is configured."
        )
    return name


def _invalid(detail: str) -> ProblemError:
    errors = [{"at": ["body", "name"], "kind": "form"}]
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, errors=errors)
