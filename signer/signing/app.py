"""The listeners' HTTP. Node listeners have keosd's two useful endpoints, and its 404 for all else.

Wallet listeners go to signer.signing.wallet.

sign_digest does not go through FastAPI: routing and validation cost more time than the signature itself (tests/bench
has the figures). Every answer says `Connection: close`: then no connection is ever idle, and neither an idle timeout
nor a reload nor a restart can lose a request (deploy/nodeos, 'Connections'). A gate takes that back in a storm.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from signer import telemetry
from signer.signing import envelope
from signer.signing.envelope import FaultError
from signer.signing.fast_request import OF_WEB_PAGES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from signer.signing.connection import Call
    from signer.signing.guard import Guard
    from signer.signing.keyring import Keyring
    from signer.signing.service import Service
    from signer.signing.wallet import Wallet

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SIGN_DIGEST = b"/v1/wallet/sign_digest"
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

    def __init__(self, service: Service, wallet: Wallet) -> None:
        self._service = service
        self._wallet = wallet
        self._api = _api(service.guard, service.keys)

    def sign_fast(self, call: Call, body: bytes, answer: Callable[[bytes], None]) -> None:
        """Sign for a gate; `answer` gets the bytes of the whole HTTP answer."""
        self._service.sign_digest(call, body, lambda outcome: answer(_http(outcome)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI request: what did not come as nodeos sends it."""
        if scope["type"] != "http":
            return
        call: Call = scope["extensions"]["signer"]
        target: bytes = scope["extensions"]["target"]
        call.from_page = any(name in OF_WEB_PAGES for name, _ in scope["headers"])
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if not target.startswith(b"/"):
            await _raw(400, envelope.bare(400, "Illegal request-target"))(scope, receive, send)
        elif (
            # RFC 9112, section 3.2: of two Host headers, two readers could choose differently.
            len(hosts) != (1 if hosts or scope["http_version"] == "1.1" else 0)
            or not call.listener.serves_host(hosts[0] if hosts else "")
        ):
            await _raw(400, envelope.bare(400, "Disallowed HTTP HOST header in the request"))(
                scope, receive, send
            )
        elif call.listener.kind == "wallet":
            body = await _body(receive)
            if body is not None:
                answer = await self._wallet.answer(call, scope["method"], target, body)
                await _raw(*answer)(scope, receive, send)
        elif (call.from_page or not call.permitted) and scope["method"] == "POST":
            await self._sign(call, receive, send)  # refused there, by name
        elif scope["method"] == "POST" and _signs(call, target):
            await self._sign(call, receive, send)
        elif target != scope["raw_path"] or scope["path"].encode() != target:
            await _unknown_endpoint()(scope, receive, send)
        else:
            await self._api(scope, receive, send)

    async def _sign(self, call: Call, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if body is None:
            return
        ended: asyncio.Future[str | FaultError] = asyncio.get_running_loop().create_future()
        self._service.sign_digest(call, body, ended.set_result)
        status, content = _content(await ended)
        headers = [_JSON, (b"content-length", str(len(content)).encode()), _CLOSE]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


async def _body(receive: Receive) -> bytes | None:
    """Return a request's body, None if the client has left."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return None if message["type"] == "http.disconnect" else body


def _content(outcome: str | FaultError) -> tuple[int, bytes]:
    if isinstance(outcome, FaultError):
        return outcome.fault.status, envelope.body(outcome.fault, outcome.message)
    return _CREATED, b'"%b"' % outcome.encode()


def _http(outcome: str | FaultError) -> bytes:
    """Return a whole HTTP answer, as the slow way would send it."""
    status, content = _content(outcome)
    return b"%b%d\r\nconnection: close\r\n\r\n%b" % (_HEADS[status], len(content), content)


def _signs(call: Call, target: bytes) -> bool:
    """Whether POST to `target` is a sign_digest. On unix POST / is one: nodeos can name no more there."""
    return target == SIGN_DIGEST or (target == b"/" and call.listener.peers is not None)


def _raw(status: int, content: bytes) -> Response:
    return Response(content, status, headers={"connection": "close"}, media_type="application/json")


def _fault(fault: envelope.Fault, message: str) -> Response:
    return _raw(fault.status, envelope.body(fault, message))


def _unknown_endpoint() -> Response:
    return _fault(envelope.UNKNOWN_ENDPOINT, "Unknown Endpoint")


def _api(guard: Guard, keys: Keyring) -> FastAPI:
    """Everything but sign_digest."""
    api = FastAPI(
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=telemetry.OFF
    )

    @api.exception_handler(HTTPException)
    async def unknown(_request: Request, _error: Exception) -> Response:
        return _unknown_endpoint()

    @api.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: Exception) -> Response:
        return _raw(
            400, b""
        )  # nobody gets it: a client that left in the middle of its body is no fault of ours

    @api.exception_handler(FaultError)
    async def fault(_request: Request, error: Exception) -> Response:
        assert isinstance(error, FaultError)  # noqa: S101 - registered for this type only
        return _fault(error.fault, error.message)

    @api.options("/{path:path}")
    async def options(request: Request, path: str) -> Response:  # noqa: ARG001 - every path
        guard.check_peer(request.scope["extensions"]["signer"])
        await request.body()  # half a request is none
        return _raw(200, b"{}")  # keosd: beast_http_session.hpp:151-154

    @api.api_route("/v1/wallet/get_public_keys", methods=_ANY_METHOD)
    async def get_public_keys(request: Request) -> Response:
        call: Call = request.scope["extensions"]["signer"]
        guard.check_peer(call)
        if (await request.body()).strip(b" \t\r\n") not in (b"", b"{}"):
            return _fault(envelope.INVALID_REQUEST, "no parameter should be given")
        names = [entry.public_key.fc for entry in keys.of_node(call.listener.node)]
        return _raw(200, json.dumps(names, separators=(",", ":")).encode())

    return api
