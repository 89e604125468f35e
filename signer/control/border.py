"""The outermost part of the control application: hosts, peers, headers, and nothing uncaught behind it."""

from __future__ import annotations

import ipaddress
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from signer.control import problem
from signer.control.problem import ProblemError
from signer.host import host_name

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("signer.control")

#: Sent with every answer that does not bring its own. `no-store`: answers are for the one who asked, and change.
HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_RAW_HEADERS: Final = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


class Border:
    """ASGI middleware around the application.

    Args:
        hosts: names and addresses, beside localhost, that the Host header may carry.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                own = message.get("headers", ())
                names = {name.lower() for name, _ in own}
                message["headers"] = [*own, *(each for each in _RAW_HEADERS if each[0] not in names)]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, send_with_headers)
        except ProblemError as refusal:
            await _answer(send_with_headers, refusal)
        except Exception:
            # Type and place only reach the log (signer/logs.py), and nothing of it the caller.
            log.exception("request failed")
            if started:
                raise
            internal = HTTPStatus.INTERNAL_SERVER_ERROR
            await _answer(
                send_with_headers, ProblemError(internal, "internal", "The request failed; see the log.")
            )

    def _check(self, scope: Scope) -> None:
        call = scope.get("extensions", {}).get("signer")
        if call is not None and not call.permitted:
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                "peer",
                "This user may not use this socket; see `peers` in the configuration.",
            )
        given = [value for name, value in scope["headers"] if name == b"host"]
        if len(given) != 1 or not self._is_ours(given[0], scope):
            raise ProblemError(
                HTTPStatus.MISDIRECTED_REQUEST, "host", "The Host header does not name this server."
            )

    def _is_ours(self, host: bytes, scope: Scope) -> bool:
        """Tell whether `host` names us: a page whose name was rebound to our address sends its own name."""
        name = host_name(host.decode("latin-1"))
        if name in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # An address cannot be rebound. On a wildcard listener it is the one that the connection came to.
        server = scope.get("server") or ("",)
        return address.is_loopback or name == server[0]


async def _answer(send: Send, refusal: ProblemError) -> None:
    content = problem.body(refusal.status, refusal.code, refusal.detail, refusal.errors)
    headers = {"content-type": problem.MEDIA_TYPE, "content-length": str(len(content)), **refusal.headers}
    raw: list[Any] = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status.value, "headers": raw})
    await send({"type": "http.response.body", "body": content})
