"""uvicorn for the control listeners: bounded connections, TLS, and a problem also where HTTP itself is wrong."""

from __future__ import annotations

import asyncio
import functools
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING

import uvicorn

from signer import selection
from signer.control import border, problem, tls
from signer.signing.connection import Call, Connection, Listener, identify
from signer.signing.server import Server

if TYPE_CHECKING:
    import ssl

    from fastapi import FastAPI

    from signer.config import Config
    from signer.control.events import Streams
    from signer.signing import envelope


class _ControlConnection(Connection):
    """A connection that answers what never reaches the application as the application would."""

    def __init__(self, listener: Listener, server: ControlServer) -> None:
        super().__init__(server.config, server.server_state, {})
        self._listener = listener

    def _find_call(self, transport: asyncio.Transport) -> Call:
        sock = transport.get_extra_info("socket")
        if self.client is None and sock.family != socket.AF_UNIX:
            transport.abort()  # the client reset it before it was accepted
            return Call(self._listener, "nobody", permitted=False)
        return identify(self._listener, sock, self.client)

    def eof_received(self) -> bool:  # type: ignore[override]  # as in Connection
        """Keep the way back open, which TLS does not know."""
        return self.transport.get_extra_info("sslcontext") is None and super().eof_received()

    def _refusal(self, fault: envelope.Fault, message: str) -> bytes:
        status = HTTPStatus(fault.status)
        content = problem.body(status, "http", message)
        headers = {
            "content-type": problem.MEDIA_TYPE,
            "content-length": str(len(content)),
            "connection": "close",
            **border.HEADERS,
        }
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            *(f"{name}: {text}" for name, text in headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + content


class ControlServer(Server):
    """A server of several listeners, each with its own TLS or none.

    It ends its streams first: their readers come back to the next process.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listeners: list[tuple[Listener, ssl.SSLContext | None]],
        streams: Streams,
    ) -> None:
        super().__init__(config)
        self._listeners = listeners
        self._streams = streams

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on each socket, in the order of the listeners."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        self.servers = []
        for (listener, context), sock in zip(self._listeners, sockets or [], strict=True):
            time_s = None if context is None else listener.request_timeout_s
            server = await loop.create_server(
                functools.partial(_ControlConnection, listener, self),
                sock=sock,
                ssl=context,
                ssl_handshake_timeout=time_s,
                ssl_shutdown_timeout=time_s,
                backlog=self.config.backlog,
            )
            self.servers.append(server)
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, end the streams, let every request be answered."""
        self._streams.end()
        await super().shutdown(sockets)


def build(config: Config, app: FastAPI) -> ControlServer:
    """Return a server of `app` on the control listeners of `config`. Give it their sockets in that order.

    Raises:
        ConfigError: a listener's certificate or key cannot be used, or a user does not exist.
    """
    listeners = [
        (Listener.of(each, config.limits), tls.context(each)) for each in selection.control_listeners(config)
    ]
    timeout_s = max((listener.request_timeout_s for listener, _ in listeners), default=1.0)
    return ControlServer(
        uvicorn.Config(
            app,
            http=_ControlConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=max(1, int(timeout_s)),
        ),
        listeners,
        app.state.streams,
    )
