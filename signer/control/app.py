"""The control API: what people and their tools ask, each with a token of their own."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException

import signer
from signer.control import problem
from signer.control.auth import Person, Scope, TokenStoreError
from signer.control.border import Border
from signer.control.gate import Gate
from signer.control.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from signer.config import Config
    from signer.control.auth import TokenStore

    Status = Callable[[], Awaitable[dict[str, Any]]]

#: The supervisor answers within ms; longer than this and it is not there.
_STATUS_TIMEOUT_S: Final = 2.0

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem (RFC 9457).",
        "content": {
            problem.MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail", "code"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                        "code": {"type": "string"},
                        "errors": {"type": "array", "items": {"type": "object"}},
                    },
                }
            }
        },
    }
}


class Health(BaseModel):
    """Says that somebody answers, and nothing else: anyone may ask."""

    status: Literal["ok"] = "ok"


class WhoAmI(BaseModel):
    """The person behind the token."""

    name: str
    scopes: list[Scope]


router = APIRouter(prefix="/v1", responses=_PROBLEMS)
_bearer = HTTPBearer(auto_error=False, description="A token of the form sgn_...")


async def _person(request: Request, _: Annotated[object, Security(_bearer)]) -> Person:
    gate: Gate = request.app.state.gate
    return gate.admit(request.headers.getlist("authorization"), _caller(request))


def _require(scope: Scope) -> Callable[[Person], Awaitable[Person]]:
    async def check(person: Annotated[Person, Depends(_person)]) -> Person:
        if scope not in person.scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{scope}"'  # RFC 6750 section 3.1
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                "scope",
                f"This needs a token with the scope {scope}.",
                {"www-authenticate": challenge},
            )
        return person

    return check


@router.get("/health")
@router.get("/health/live")
async def live() -> Health:
    """Tell that the process answers."""
    return Health()


@router.get("/health/ready")
async def ready(request: Request) -> Health:
    """Tell that the process can authenticate people."""
    request.app.state.gate.check()
    return Health()


@router.get("/whoami")
async def whoami(person: Annotated[Person, Depends(_person)]) -> WhoAmI:
    """Tell whose token this is."""
    return WhoAmI(name=person.name, scopes=sorted(person.scopes))


@router.get("/status", dependencies=[Depends(_require(Scope.VIEW))])
async def status(request: Request) -> dict[str, Any]:
    """Return the signer's status, as the admin socket gives it."""
    ask: Status = request.app.state.status
    try:
        async with asyncio.timeout(_STATUS_TIMEOUT_S):
            return await ask()
    except TimeoutError:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "supervisor",
            "The signer's supervisor does not answer; signing does not depend on it.",
            {"retry-after": "1"},
        ) from None


@router.get("/openapi.json", dependencies=[Depends(_person)], include_in_schema=False)
async def openapi(request: Request) -> dict[str, Any]:
    """Return the description of this API."""
    app: FastAPI = request.app
    return app.openapi()


def create_app(config: Config, tokens: TokenStore, status: Status) -> FastAPI:
    """Return the control application.

    Args:
        config: for the addresses of its control listeners, which the Host header may name.
        tokens: who may use it.
        status: asks the supervisor for the signer's status.
    """
    app = FastAPI(
        title="Antelope signer: control",
        version=signer.__version__,
        openapi_url=None,  # served by a route that asks for a token
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.gate = Gate(tokens)
    app.state.status = status
    app.include_router(router)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(RequestValidationError, _validation_problem)
    app.add_exception_handler(TokenStoreError, _store_problem)
    listeners = [each for each in config.listeners if each.kind == "control"]
    app.add_middleware(Border, hosts=frozenset(each.tcp.host for each in listeners if each.tcp is not None))
    return app


def _caller(request: Request) -> str:
    """Return who asks, as a limit counts them: the user on a unix socket, the address on TCP."""
    call = request.scope.get("extensions", {}).get("signer")
    if call is not None and call.listener.peers is not None:
        return str(call.caller).partition(" pid ")[0]
    return request.client.host if request.client is not None else "unix"


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    status_code = HTTPStatus(error.status_code)
    code = status_code.phrase.lower().replace(" ", "-")
    detail = {
        HTTPStatus.NOT_FOUND: "There is nothing at this path.",
        HTTPStatus.METHOD_NOT_ALLOWED: "This path does not take this method; see the Allow header.",
    }.get(status_code, "The request cannot be served as it is.")
    return _response(status_code, code, detail, headers=dict(error.headers or {}))


async def _validation_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    # Place and kind only: what was sent may hold a secret in the wrong place.
    errors = [{"at": [str(part) for part in each["loc"]], "kind": each["type"]} for each in error.errors()]
    return _response(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "A part of the request has the wrong form.", errors=errors
    )


async def _store_problem(_: Request, __: Exception) -> Response:
    return _response(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "store",
        "The store of tokens cannot be read; see the signer's log.",
        headers={"retry-after": "5"},
    )


def _response(
    status_code: HTTPStatus,
    code: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    errors: list[dict[str, object]] | None = None,
) -> Response:
    content = problem.body(status_code, code, detail, errors or ())
    return Response(content, status_code.value, headers, problem.MEDIA_TYPE)
