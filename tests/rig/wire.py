"""One HTTP exchange, byte by byte: clients that tidy up a request cannot send a bad one."""

from __future__ import annotations

import contextlib
import http.client
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: s. A deadline against a hang: a server that neither answers nor closes fails the test.
_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Address:
    """Where a listener is: a unix socket, or a port of 127.0.0.1."""

    unix: Path | None = None
    port: int = 0

    @property
    def kind(self) -> str:
        """`unix` or `tcp`."""
        return "tcp" if self.unix is None else "unix"

    @property
    def host(self) -> str:
        """What nodeos sends as Host: `127.0.0.1:PORT`, or the socket's path (http_client.cpp:260-270)."""
        return f"127.0.0.1:{self.port}" if self.unix is None else str(self.unix)

    def connect(self) -> socket.socket:
        """Return a connected socket."""
        if self.unix is None:
            return socket.create_connection(("127.0.0.1", self.port), _DEADLINE_S)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_DEADLINE_S)
        try:
            connection.connect(str(self.unix))
        except OSError:
            connection.close()
            raise
        return connection


@dataclass(frozen=True)
class Reply:
    """An HTTP answer. Status 0: the connection was closed without one."""

    status: int
    content_type: str
    body: bytes


def exchange(address: Address, request: bytes) -> Reply:
    """Send `request` on a new connection and return the answer."""
    with address.connect() as connection:
        # It may have answered before it had read everything.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        method = request.split(b" ", 1)[0].decode("latin-1")
        response = http.client.HTTPResponse(connection, method=method)
        try:
            response.begin()
            body = response.read()
        except (http.client.BadStatusLine, ConnectionResetError):
            return Reply(0, "", b"")
        finally:
            response.close()
        return Reply(response.status, response.getheader("content-type", ""), body)


def request(
    target: str,
    *,
    host: str,
    method: str = "POST",
    body: bytes = b"",
    headers: tuple[str, ...] = ("Content-Type: application/json",),
) -> bytes:
    """Return a request's bytes. Content-Length is added unless a header says how long the body is."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    said = {line.split(":", 1)[0].lower() for line in headers}
    if not said & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
