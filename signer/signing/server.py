"""uvicorn, taught to lose no connection that it accepted and to leave signals to its owner."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from signer.signing.connection import Connection, Listener

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

#: A connection that was accepted and has not spoken is waited for this long, in s.
_DRAIN_S = 2.0
_POLL_S = 0.01


class Server(uvicorn.Server):
    """uvicorn that loses no accepted connection when it ends and leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the handlers alone: the supervisor decides when we end."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let every accepted connection be answered, then end.

        uvicorn closes connections whose first bytes it has not read yet; a client then sees a reset. Here they have
        _DRAIN_S to speak.
        """
        for server in self.servers:
            server.close()
        end = time.monotonic() + _DRAIN_S
        while self.server_state.connections and time.monotonic() < end:
            await asyncio.sleep(_POLL_S)
        await super().shutdown(sockets)


def build(app: Any, listeners: list[Listener], sockets: list[socket.socket]) -> Server:  # noqa: ANN401 - any ASGI app
    """Return a server of `app` whose connections know their listener. Sockets in the listeners' order."""
    by_name = {sock.getsockname(): listener for listener, sock in zip(listeners, sockets, strict=True)}
    protocol = type("BoundConnection", (Connection,), {"listeners": by_name})
    timeout_s = max((listener.request_timeout_s for listener in listeners), default=1.0)
    return Server(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=1024,
            timeout_keep_alive=max(1, int(timeout_s)),
        )
    )
