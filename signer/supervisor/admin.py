"""The admin socket: status, health, metrics, freeze, reload, stop. For root and the service's own uid.

It lives in the supervisor, so that a freeze needs neither the signing process nor the control process, chain or disk
database. HTTP on a unix socket; every answer but the metrics is JSON, an error is `{"error": {"code", "message",
"remedy"}}`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from signer import health
from signer.errors import AdminError, ConfigError
from signer.metrics.metric import CONTENT_TYPE
from signer.metrics.page import render

if TYPE_CHECKING:
    from starlette.requests import Request

    from signer.signing.connection import Call
    from signer.supervisor.run import Supervisor

_SCOPES = ("all", "node", "key")


def _error(status: int, code: str, message: str, remedy: str = "") -> JSONResponse:
    return JSONResponse(
        {"error": {"code": code, "message": message, "remedy": remedy}},
        status,
        headers={"connection": "close"},
    )


#: Acts of commands that change the signer's state without it (signer.commands.access).
_COMMANDS_ACTS: Final = frozenset({"token-create", "token-revoke"})

#: In which namespace this process's number means something (namespaces(7)).
_PID_NAMESPACE: Final = Path("/proc/self/ns/pid").stat().st_ino


class _BadRequestError(Exception):
    """The body is not what the endpoint takes."""


def _who(request: Request) -> str:
    call: Call = request.scope["extensions"]["signer"]
    return call.caller


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError):
        raise _BadRequestError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise _BadRequestError("the body is not a JSON object")
    return body


def _text(body: dict[str, Any], name: str, *, required: bool = True) -> str:
    value = body.get(name, "")
    if not isinstance(value, str) or (required and not value):
        raise _BadRequestError(f"{name}: a text is needed")
    return value


class AdminApp:
    """The admin socket's application."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._app = Starlette(
            routes=[
                Route("/v1/status", self._status, methods=["GET"]),
                Route("/v1/health", self._health, methods=["GET"]),
                Route("/v1/health/live", _live, methods=["GET"]),
                Route("/v1/health/ready", self._health, methods=["GET"]),
                Route("/metrics", self._metrics, methods=["GET"]),
                Route("/v1/freeze", self._freeze, methods=["POST"]),
                Route("/v1/unfreeze", self._unfreeze, methods=["POST"]),
                Route("/v1/reload", self._reload, methods=["POST"]),
                Route("/v1/upgrade", self._upgrade, methods=["POST"]),
                Route("/v1/stop", self._stop, methods=["POST"]),
                Route("/v1/alarms/clear", self._clear_alarm, methods=["POST"]),
                Route("/v1/act", self._act, methods=["POST"]),
                Route("/v1/measure", self._measure, methods=["POST"]),
                Route("/v1/lease", self._take_lease, methods=["POST"]),
                Route("/v1/token/retry", self._token_retry, methods=["POST"]),
            ],
            # Here and not around the application: Starlette answers what it does not know with a bare 500.
            exception_handlers={
                HTTPException: _http_error,
                _BadRequestError: _bad_request,
                ClientDisconnect: _bad_request,  # nobody gets it
                AdminError: _refused,
                ConfigError: _refused,
            },
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's types
        """Answer one request, after the peer's uid was checked."""
        if scope["type"] != "http":
            return
        call: Call = scope["extensions"]["signer"]
        if not call.permitted:
            text = f"{call.caller} is neither root nor the signer's user"
            await _error(403, "peer", text, "run it as root")(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _status(self, _request: Request) -> JSONResponse:
        return JSONResponse(await self._supervisor.status())

    async def _health(self, _request: Request) -> JSONResponse:
        """200 or 503, with the same content: some monitors look at the one, some at the other."""
        status = await self._supervisor.status()
        return JSONResponse(health.report(status), 200 if status["ready"] else 503)

    async def _metrics(self, _request: Request) -> Response:
        return Response(render(await self._supervisor.status()), headers={"content-type": CONTENT_TYPE})

    async def _freeze(self, request: Request) -> JSONResponse:
        scope, name, body = await self._scope(request)
        try:
            durable = await self._supervisor.freeze(scope, name, _who(request), _text(body, "reason"))
        except OSError as error:  # 500: the command line then writes the marker itself
            return _error(500, "freeze-failed", f"the freeze marker cannot be written: {error.strerror}")
        return JSONResponse({"frozen": {"scope": scope, "name": name}, "durable": durable})

    async def _unfreeze(self, request: Request) -> JSONResponse:
        scope, name, body = await self._scope(request)
        reason = _text(body, "reason", required=False)
        cleared = await self._supervisor.unfreeze(scope, name, _who(request), reason)
        return JSONResponse({"unfrozen": cleared.found, "durable": cleared.durable})

    async def _scope(self, request: Request) -> tuple[str, str, dict[str, Any]]:
        body = await _body(request)
        scope = _text(body, "scope")
        if scope not in _SCOPES:
            raise _BadRequestError(f"scope: one of {', '.join(_SCOPES)}")
        name = _text(body, "name", required=scope != "all")
        return scope, self._supervisor.frozen_name(scope, name), body

    async def _reload(self, request: Request) -> JSONResponse:
        await _body(request)
        done = await self._supervisor.reload(_who(request))
        return JSONResponse(done._asdict())

    async def _upgrade(self, request: Request) -> JSONResponse:
        await _body(request)
        return JSONResponse({"attempt": await self._supervisor.upgrade(_who(request))})

    async def _stop(self, request: Request) -> JSONResponse:
        # Read to its end: a client that still writes when the answer comes would see a broken pipe.
        body = await _body(request)
        if body.get("lose_audit") is not True:
            self._supervisor.refuse_loss_of_audit()
        self._supervisor.stop(_who(request))
        return JSONResponse({"stopping": True, "pid": os.getpid(), "pid_namespace": _PID_NAMESPACE})

    async def _clear_alarm(self, request: Request) -> JSONResponse:
        body = await _body(request)
        subject = _text(body, "subject", required=False) if "subject" in body else None
        name, reason = _text(body, "name"), _text(body, "reason")
        return JSONResponse({"cleared": self._supervisor.dismiss(name, subject, _who(request), reason)})

    async def _act(self, request: Request) -> JSONResponse:
        """Take what a command did by itself, for the audit log."""
        body = await _body(request)
        name = _text(body, "name")
        if name not in _COMMANDS_ACTS:
            raise _BadRequestError(f"name: one of {', '.join(sorted(_COMMANDS_ACTS))}")
        self._supervisor.act(name, _who(request), _text(body, "detail"))
        return JSONResponse({"recorded": name})

    async def _measure(self, request: Request) -> JSONResponse:
        body = await _body(request)
        micros = await self._supervisor.measure(_text(body, "token"), _text(body, "curve"))
        return JSONResponse({"micros": micros})

    async def _take_lease(self, request: Request) -> JSONResponse:
        body = await _body(request)
        chain, node, reason = (_text(body, name) for name in ("chain", "node", "reason"))
        await self._supervisor.take_lease(chain, node, _who(request), reason)
        return JSONResponse({"chain": chain, "node": node})

    async def _token_retry(self, request: Request) -> JSONResponse:
        token = _text(await _body(request), "token")
        self._supervisor.token_retry(token, _who(request))
        return JSONResponse({"retried": token})


async def _live(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def _bad_request(_request: Request, error: Exception) -> JSONResponse:
    return _error(400, "bad-request", str(error))


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    return _error(409, "refused", str(error))


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    return _error(error.status_code, "no-such-endpoint", error.detail)
