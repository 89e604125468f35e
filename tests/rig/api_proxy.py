"""An HTTP proxy in front of a node's API, which can lose, change or delay answers."""

from __future__ import annotations

import contextlib
import http.server
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import httpx

from rig.condition import HANG_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


@dataclass
class Answer:
    """What the node said."""

    status: int
    body: bytes


class ApiProxy:
    """A proxy on 127.0.0.1 to `target`, an address `http://HOST:PORT`.

    Attributes:
        url: its own address.
        target: may be changed at any time: the node was replaced.
        passes: takes the path; where it says no, the node is not asked and the connection is closed.
        twist: takes the path and what the node said; its answer is sent. None: the connection is closed without one.
        paths: the paths that were asked for, in their order.
    """

    def __init__(self, target: str) -> None:
        proxy = self
        self.target = target
        self.twist: Callable[[str, Answer], Answer | None] = lambda _path, answer: answer
        self.passes: Callable[[str], bool] = lambda _path: True
        self.paths: list[str] = []
        self._client = httpx.Client(trust_env=False, timeout=HANG_S)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                proxy.paths.append(self.path)
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if not proxy.passes(self.path):
                    self.close_connection = True
                    return
                try:
                    said = proxy._client.request(self.command, proxy.target + self.path, content=body)
                except httpx.TransportError:
                    self.close_connection = True
                    return
                answer = proxy.twist(self.path, Answer(said.status_code, said.content))
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the asker did not wait
                    self.wfile.write(answer.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # An asker that is killed resets its connections: no news.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._client.close()


def is_push(path: str) -> bool:
    """Whether a transaction is sent to it."""
    return path.rpartition("/")[2] in ("send_transaction2", "send_transaction", "push_transaction")
