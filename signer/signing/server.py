"""uvicorn, taught to lose no connection that it accepted and to leave signals to its owner."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn

from signer.signing.connection import Connection
from signer.signing.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from signer.channel import Message
    from signer.signing.app import App
    from signer.signing.connection import Call, Listener
    from signer.signing.gate import FastSigner

log = logging.getLogger("signer.signing")

#: Type of the message with a connection that one generation leaves to the next, by way of the supervisor.
KEPT: Final = "kept"
#: A connection that was accepted and has not spoken is waited for this long, in s.
_DRAIN_S = 2.0
_POLL_S = 0.01
#: The Date header counts seconds.
_TICK_S = 1.0


class Server(uvicorn.Server):
    """uvicorn that loses no accepted connection when it ends, ends at once, and leaves signals to us."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Let `serve` return once every accepted connection is answered."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        """Wait for the end, and keep the Date header right.

        uvicorn looks for its end every 0.1 s, and takes another 0.1 s for it. By then nodeos may ask again, and what
        ends takes a processor for some ms (signer.supervisor.expected).
        """
        ending = asyncio.create_task(self._ending.wait())
        while not ending.done():
            await self.on_tick(0)
            await asyncio.wait({ending}, timeout=_TICK_S)

    @property
    def unanswered(self) -> int:
        """Connections that were accepted and are still open."""
        return len(self.server_state.connections)

    def give_up(self) -> None:
        """Close what cannot be answered in time. Here: nothing."""

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
        await asyncio.sleep(_POLL_S)  # what was accepted a moment ago is no connection of uvicorn's yet
        end = time.monotonic() + _DRAIN_S
        while self.unanswered and time.monotonic() < end:  # noqa: ASYNC110 - uvicorn tells nobody of its last close
            await asyncio.sleep(_POLL_S)
        if self.unanswered:
            self.give_up()
            await super().shutdown(sockets)
            return
        for sock in sockets or []:
            sock.close()
        await self._wait_tasks_to_complete()
        await self.lifespan.shutdown()


class GateServer(Server):
    """A server whose listening sockets are gates: what nodeos sends takes the short way, all else goes to uvicorn."""

    def __init__(self, config: uvicorn.Config, listeners: list[Listener], signer: FastSigner) -> None:
        super().__init__(config)
        self._listeners = listeners
        self._signer = signer
        self._gates: list[Gate] = []

    @property
    def unanswered(self) -> int:
        """Connections that were accepted and are still open, at the gates or in uvicorn."""
        return super().unanswered + sum(gate.pending for gate in self._gates)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open a gate on each socket, in the order of the listeners."""
        await self.lifespan.startup()
        for listener, sock in zip(self._listeners, sockets or [], strict=True):
            signer = self._signer if listener.kind == "node" else None
            self._gates.append(Gate(listener, sock, signer, self._slow, self._gates))
        self.servers = cast("list[asyncio.Server]", self._gates)  # uvicorn closes them and waits, no more
        self.started = True

    def stop_accepting(self) -> None:
        """Leave new connections to the next generation from now on; what was accepted is answered."""
        for gate in self._gates:
            gate.close()

    def give_up(self) -> None:
        """Close what waits for uvicorn."""
        for gate in self._gates:
            gate.give_up()

    def leave(self, send: Callable[[Message, list[int]], None]) -> None:
        """Leave the connections that are kept between requests to the next generation, and keep no others.

        Args:
            send: to the supervisor, which hands them on.
        """
        # No gate is open before the start.
        for listener, gate in zip(self._listeners, self._gates, strict=False):
            for conn in gate.leave():
                with conn:
                    try:
                        send({"type": KEPT, "listener": listener.address}, [conn.fileno()])
                    except OSError as error:
                        fields = {"listener": listener.address, "reason": error.strerror}
                        log.warning("a kept connection is lost", extra=fields)

    def take(self, message: Message, fds: list[int]) -> bool:
        """Take a connection that the generation before left; return whether the message is about one."""
        if message["type"] != KEPT:
            return False
        if not fds:
            log.warning("a kept connection is lost", extra={"listener": message["listener"]})
            return True
        conn = socket.socket(fileno=fds[0])
        for listener, gate in zip(self._listeners, self._gates, strict=False):
            if listener.address == message["listener"]:
                gate.keep(conn)
                return True
        conn.close()  # the listener is not in the configuration any more
        return True

    def rehearse(self, conn: socket.socket, call: Call) -> None:
        """Serve a connection of our own, made to keep the way of a signature warm."""
        for gate in self._gates[:1]:
            gate.rehearse(conn, call)

    def _slow(self, call: Call, data: bytes) -> Connection:
        connection = Connection(self.config, self.server_state, {})
        connection.adopt(call, data)
        return connection


def build_gates(app: App, listeners: list[Listener]) -> GateServer:
    """Return the node listeners' server. Give it the sockets in the listeners' order."""
    return GateServer(_config(app, Connection, listeners), listeners, app)


def build(app: Any, listeners: list[Listener], sockets: list[socket.socket]) -> Server:  # noqa: ANN401 - any ASGI app
    """Return a server of `app` whose connections know their listener. Sockets in the listeners' order."""
    by_name = {sock.getsockname(): listener for listener, sock in zip(listeners, sockets, strict=True)}
    protocol = type("BoundConnection", (Connection,), {"listeners": by_name})
    return Server(_config(app, protocol, listeners))


def _config(app: Any, protocol: type[Connection], listeners: list[Listener]) -> uvicorn.Config:  # noqa: ANN401 - as above
    timeout_s = max((listener.request_timeout_s for listener in listeners), default=1.0)
    return uvicorn.Config(
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
