"""Who asks, and whether they may: the dependencies of every route but health."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request, Security
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.security import HTTPBearer

from signer.control.auth import Person, Scope
from signer.control.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi.routing import APIRoute

    from signer.control.gate import Gate

_bearer = HTTPBearer(auto_error=False, description="A token of the form sgn_...")


async def person(request: Request, _: Annotated[object, Security(_bearer)]) -> Person:
    """Return whose token the request carries.

    Raises:
        ProblemError: 401 or 429; 422 for a query parameter that the route does not have.
        TokenStoreError: the store failed.
    """
    gate: Gate = request.app.state.gate
    found = gate.admit(request.headers.getlist("authorization"), caller(request))
    _refuse_unknown_parameters(request)
    return found


def _refuse_unknown_parameters(request: Request) -> None:
    """Refuse what the route does not take: a slip in a parameter's name would ask another question than was meant."""
    route: APIRoute = request.scope["route"]
    known = {each.alias for each in get_flat_params(route.dependant) if isinstance(each.field_info, Query)}
    if not known.issuperset(request.query_params):
        # The name is not repeated: what was sent may be a secret in the wrong place.
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid",
            f"The query has a parameter that is unknown here; known are: {', '.join(sorted(known)) or 'none'}.",
            errors=[{"at": ["query"], "kind": "extra_forbidden"}],
        )


def require(scope: Scope) -> Callable[[Person], Awaitable[Person]]:
    """Return a dependency that gives the person, if their token has `scope`; else 403 `scope`."""

    async def check(asking: Annotated[Person, Depends(person)]) -> Person:
        must(asking, scope)
        return asking

    return check


def must(asking: Person, scope: Scope) -> None:
    """Raise a ProblemError, 403 `scope`, if the person's token lacks `scope`."""
    if scope not in asking.scopes:
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'  # RFC 6750 section 3.1
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "scope",
            f"This needs a token with the scope {scope}.",
            {"www-authenticate": challenge},
        )


#: Anybody with a token.
Anybody = Annotated[Person, Depends(person)]
#: May read, and try what would happen.
Viewer = Annotated[Person, Depends(require(Scope.VIEW))]
#: May move production, and stop it.
Operator = Annotated[Person, Depends(require(Scope.OPERATE))]
#: May agree to what somebody else asked for.
Approver = Annotated[Person, Depends(require(Scope.APPROVE))]
#: May change who has access, end a freeze, destroy keys.
Admin = Annotated[Person, Depends(require(Scope.ADMIN))]


def caller(request: Request) -> str:
    """Return who asks, as a limit counts them: the user on a unix socket, the address on TCP."""
    call = request.scope.get("extensions", {}).get("signer")
    if call is not None and call.listener.peers is not None:
        return str(call.caller).partition(" pid ")[0]
    return request.client.host if request.client is not None else "unix"
