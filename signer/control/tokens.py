"""`/v1/tokens`: who may use this API. A token is shown once, when it is made."""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import Field

from signer.control import problem
from signer.control.access import Admin
from signer.control.auth import Scope
from signer.control.problem import ProblemError
from signer.control.services import Given
from signer.control.view import Body, View
from signer.errors import FormatError

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], responses=problem.RESPONSES)

#: As the command line has them.
_DAYS: Final = 90
_MAX_DAYS: Final = 3650


class TokenBody(Body):
    """The token to make."""

    name: str
    """The person who will use it: 1 to 63 letters, digits and _.@-, a letter or digit first."""
    scopes: Annotated[list[Scope], Field(min_length=1)]
    """What for. No scope implies another."""
    days: Annotated[int, Field(ge=1, le=_MAX_DAYS)] = _DAYS
    """Days until it expires."""


class TokenView(View):
    """An access token, without its text."""

    name: str
    """The person who has it."""
    scopes: list[Scope]
    """What for."""
    created_at: datetime
    """When it was made (UTC)."""
    expires_at: datetime | None
    """When it expires (UTC); null: never, as only a token of an older version does."""
    revoked_at: datetime | None
    """When it was ended (UTC); null: it was not."""


class TokenList(View):
    """All tokens ever issued, oldest first."""

    tokens: list[TokenView]
    """Without their texts."""


class NewToken(View):
    """A token that was just made."""

    name: str
    """The person who will use it."""
    token: str
    """The token, `sgn_...`. It cannot be read again."""
    expires_at: datetime
    """When it expires (UTC)."""


class RevokedToken(View):
    """A token that was ended."""

    revoked: str
    """The person who had it."""


@router.get("")
async def list_tokens(_: Admin, services: Given) -> TokenList:
    """Return who has, and had, a token."""
    return TokenList(
        tokens=[
            TokenView(
                name=each.name,
                scopes=sorted(each.scopes),
                created_at=each.created_at,
                expires_at=each.expires_at,
                revoked_at=each.revoked_at,
            )
            for each in services.tokens.list()
        ]
    )


@router.post("", status_code=HTTPStatus.CREATED)
async def create(body: TokenBody, person: Admin, services: Given) -> NewToken:
    """Make a token. It is in this answer and nowhere else; lost, it is revoked and another made."""
    now = services.clock()
    expires_at = now + timedelta(days=body.days)
    scopes = ", ".join(sorted(set(body.scopes)))
    # First: a line about a token that was not made, by a conflict, harms nobody; a token without a line might.
    await services.supervisor.act("token-create", person.name, f"for {body.name[:63]!a}, scopes {scopes}")
    try:
        token = services.tokens.create(body.name, body.scopes, expires_at, now)
    except FormatError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"{error}.") from None
    return NewToken(name=body.name, token=token, expires_at=expires_at)


@router.delete("/{name}")
async def revoke(name: Annotated[str, Path(max_length=63)], person: Admin, services: Given) -> RevokedToken:
    """End a person's token at once."""
    await services.supervisor.act("token-revoke", person.name, f"of {name!a}")
    services.tokens.revoke(name, services.clock())
    return RevokedToken(revoked=name)
