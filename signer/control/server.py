"""uvicorn for the control listeners: bounded connections, and a problem also where HTTP itself is wrong."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import uvicorn

from signer.control import border, problem
from signer.signing.connection import Connection, Listener
from signer.signing.server import Server

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI

    from signer.control.events import Streams
    from signer.signing import envelope


class _ControlConnection(Connection):
    """A connection that answers what never reaches the application as the application would."""

    def _answer(self, fault: envelope.Fault, message: str) -> None:
        if self.transport.is_closing():
            return
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
        self.transport.write("\r\n".join([*lines, "", ""]).encode("ascii") + content)
        self.transport.close()


class ControlServer(Server):
    """A server that ends its streams first: their readers come back to the next one."""

    def __init__(self, config: uvicorn.Config, streams: Streams) -> None:
        super().__init__(config)
        self._streams = streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, end the streams, let every request be answered."""
        self._streams.end()
        await super().shutdown(sockets)


def build(app: FastAPI, listeners: list[Listener], sockets: list[socket.socket]) -> ControlServer:
    """Return a server of `app` on `sockets`, which are in the order of `listeners`."""
    by_name = {sock.getsockname(): listener for listener, sock in zip(listeners, sockets, strict=True)}
    timeout_s = max((listener.request_timeout_s for listener in listeners), default=1.0)
    return ControlServer(
        uvicorn.Config(
            app,
            http=type("BoundControlConnection", (_ControlConnection,), {"listeners": by_name}),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=max(1, int(timeout_s)),
        ),
        app.state.streams,
    )
