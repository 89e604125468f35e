"""What a test of the command line sees: how a command ended, and a server in the signer's place."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Answers:
    """What the server was asked, and what it answers: bytes for each path, as they are sent."""

    by_path: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str, object]] = field(default_factory=list)

    def json(self, path: str, value: object, status: int = 200) -> None:
        """Answer `path` with `value`."""
        body = json.dumps(value).encode()
        self.by_path[path] = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


@contextlib.contextmanager
def admin_server(path: Path) -> Iterator[Answers]:
    """Listen on `path`. A request without an answer is met with silence; after /v1/stop nobody listens."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    answers = Answers()
    thread = threading.Thread(target=_serve, args=(listener, answers))
    thread.start()
    try:
        yield answers
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        thread.join()
        listener.close()


def _serve(listener: socket.socket, answers: Answers) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, contextlib.suppress(OSError):
            asked = _read(connection)
            if asked is None:
                continue
            answers.asked.append(asked)
            answer = answers.by_path.get(asked[1])
            if answer is None:
                connection.recv(1)  # silent, until the client has had enough
                continue
            if asked[1] == "/v1/stop":
                listener.close()
            connection.sendall(answer)


def _read(connection: socket.socket) -> tuple[str, str, object] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    request, *headers = head.decode().split("\r\n")
    length = next((int(line.split(":")[1]) for line in headers if line.startswith("Content-Length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    method, path, _ = request.split(" ")
    return method, path, json.loads(body) if body else None
