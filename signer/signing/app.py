"""The node listeners' HTTP: keosd's two useful endpoints, and its 404 for all else.

sign_digest is answered by a plain ASGI function in front of FastAPI: routing and validation cost more time than the
signature itself (tests/bench has the figures). Every answer says `Connection: close`: then no connection is ever idle,
and neither an idle timeout nor a reload nor a restart can lose a request (README, 'Connections').
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response

from signer.signing import envelope
from signer.signing.envelope import FaultError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from signer.signing.connection import Call
    from signer.signing.guard import Guard
    from signer.signing.keyring import Keyring
    from signer.signing.service import Service

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger("signer.signing")

SIGN_DIGEST = "/v1/wallet/sign_digest"
_JSON = (b"content-type", b"application/json")
_CLOSE = (b"connection", b"close")
_CREATED = 201
#: keosd's statuses on sign_digest: everything of an answer up to its length.
_HEADS = {
    status: f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: ".encode()
    for status, phrase in ((201, "Created"), (400, "Bad Request"), (500, "Internal Server Error"))
}
_ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]


class App:
    """Answers one request: sign_digest itself, the rest through FastAPI."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._api = _api(service.guard, service.keys)

    def sign_fast(self, call: Call, body: bytes, answer: Callable[[bytes], None]) -> None:
        """Sign for a gate; `answer` gets the bytes of the whole HTTP answer."""
        self._service.sign_digest(call, body, lambda outcome: answer(_http(outcome)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI request: what did not come as nodeos sends it."""
        if scope["type"] == "http" and scope["method"] == "POST" and not scope["query_string"]:
            call: Call = scope["extensions"]["signer"]
            if call.listener.kind == "node" and (
                scope["path"] == SIGN_DIGEST or (scope["path"] == "/" and call.listener.peers is not None)
            ):
                await self._sign(call, receive, send)
                return
        await self._api(scope, receive, send)

    async def _sign(self, call: Call, receive: Receive, send: Send) -> None:
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        if message["type"] == "http.disconnect":
            return
        ended: asyncio.Future[str | FaultError] = asyncio.get_running_loop().create_future()
        self._service.sign_digest(call, body, ended.set_result)
        status, content = _content(await ended)
        headers = [_JSON, (b"content-length", str(len(content)).encode()), _CLOSE]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _content(outcome: str | FaultError) -> tuple[int, bytes]:
    if isinstance(outcome, FaultError):
        return outcome.fault.status, envelope.body(outcome.fault, outcome.message)
    return _CREATED, b'"%b"' % outcome.encode()


def _http(outcome: str | FaultError) -> bytes:
    """Return a whole HTTP answer, as the slow way would send it."""
    status, content = _content(outcome)
    return b"%b%d\r\nconnection: close\r\n\r\n%b" % (_HEADS[status], len(content), content)


def _answer(status: int, content: bytes) -> Response:
    return Response(content, status, headers={"connection": "close"}, media_type="application/json")


def _api(guard: Guard, keys: Keyring) -> FastAPI:
    """Everything but sign_digest."""
    api = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)

    @api.middleware("http")
    async def envelope_every_fault(request: Request, proceed: Any) -> Response:  # noqa: ANN401 - Starlette's type
        try:
            guard.check_peer(request.scope["extensions"]["signer"])
            if request.url.query:
                return _unknown_endpoint()  # keosd matches the whole target: beast_http_session.hpp:159-162
            answer: Response = await proceed(request)
        except FaultError as error:
            return _answer(error.fault.status, envelope.body(error.fault, error.message))
        return answer if answer.status_code < 300 else _unknown_endpoint()  # noqa: PLR2004

    @api.options("/{path:path}")
    async def options(path: str) -> Response:  # noqa: ARG001 - every path
        return _answer(200, b"{}")  # keosd: beast_http_session.hpp:151-154

    @api.api_route("/v1/wallet/get_public_keys", methods=_ANY_METHOD)
    async def get_public_keys(request: Request) -> Response:
        call: Call = request.scope["extensions"]["signer"]
        if call.listener.kind != "node":
            return _unknown_endpoint()
        body = (await request.body()).strip(b" \t\r\n")
        if body not in (b"", b"{}"):
            fault = envelope.INVALID_REQUEST
            return _answer(fault.status, envelope.body(fault, "no parameter should be given"))
        names = [entry.public_key.fc for entry in keys.of_node(call.listener.node)]
        return _answer(200, json.dumps(names, separators=(",", ":")).encode())

    return api


def _unknown_endpoint() -> Response:
    fault = envelope.UNKNOWN_ENDPOINT
    return _answer(fault.status, envelope.body(fault, "Unknown Endpoint"))
