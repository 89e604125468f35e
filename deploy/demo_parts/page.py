"""The page of the demo: how everything is, and buttons that break it.

A request only names an act; the main thread carries it out. Only this machine is listened to, and a page from
elsewhere cannot use it: the host must be this one, and an act that a browser sends must come from this page.
"""

from __future__ import annotations

import json
import queue
import threading
from concurrent.futures import Future
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from localchain.errors import LocalChainError

from demo_parts.errors import DemoError
from demo_parts.progress import say

if TYPE_CHECKING:
    from demo_parts.faults import Faults
    from demo_parts.world import World

_FILES: Final = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_FAULT: Final = "/faults/"
#: s that the main thread waits for an act before it looks at the chain.
_TURN_S: Final = 0.1
#: s that a request waits for its act: a node takes the chain anew.
_ACT_S: Final = 120.0


class Page:
    """The server. It answers 503 until `show`.

    Raises:
        DemoError: the port cannot be used.
    """

    def __init__(self, port: int) -> None:
        page = self

        class Handler(_Handler):
            """Knows its page."""

            owner = page

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise DemoError(
                f"port {port} cannot be used: {error.strerror}; stop what listens there, or give another --port"
            ) from None
        self._server.daemon_threads = True
        self.hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self.url = f"http://127.0.0.1:{port}/"
        self.world: World | None = None
        self.faults: Faults | None = None
        self._wanted: queue.SimpleQueue[tuple[str, Future[str]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def show(self, world: World, faults: Faults) -> None:
        """Answer from now on."""
        self.world, self.faults = world, faults

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def ask(self, name: str) -> str:
        """Let the main thread carry out an act; return what it did.

        Raises:
            DemoError: it cannot be done now.
            TimeoutError: it took too long.
        """
        done: Future[str] = Future()
        self._wanted.put((name, done))
        return done.result(_ACT_S)

    def carry_out_one(self) -> None:
        """Carry out one act that somebody asked for, or return after a moment. For the main thread."""
        try:
            name, done = self._wanted.get(timeout=_TURN_S)
        except queue.Empty:
            return
        if self.faults is None:
            done.set_exception(DemoError("nothing runs yet"))
            return
        try:
            said = self.faults.carry_out(name)
        except (DemoError, LocalChainError, OSError) as error:
            done.set_exception(DemoError(str(error)))
        else:
            say(said)
            done.set_result(said)


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    owner: Page
    server_version = "demo"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a file of the page, or with how everything is."""
        if not self._is_for_us():
            return
        if self.path in _FILES:
            name, kind = _FILES[self.path]
            self._answer(HTTPStatus.OK, Path(__file__).with_name(name).read_bytes(), kind)
        elif self.path != "/state":
            self._say(HTTPStatus.NOT_FOUND, "there is nothing here")
        elif self.owner.world is None or self.owner.faults is None:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, "it is being built")
        else:
            view = self.owner.world.view() | {"faults": list(self.owner.faults.names)}
            self._json(HTTPStatus.OK, view)

    def do_POST(self) -> None:
        """Carry out an act."""
        if not self._is_for_us():
            return
        origin = self.headers.get("Origin")
        if origin is not None and origin not in [f"http://{host}" for host in self.owner.hosts]:
            self._say(HTTPStatus.FORBIDDEN, "another page sent this")
            return
        name = self.path.removeprefix(_FAULT)
        if (
            self.owner.faults is None
            or not self.path.startswith(_FAULT)
            or name not in self.owner.faults.names
        ):
            self._say(HTTPStatus.NOT_FOUND, "there is no such fault")
            return
        try:
            self._json(HTTPStatus.OK, {"done": self.owner.ask(name)})
        except (DemoError, TimeoutError) as error:
            self._say(HTTPStatus.CONFLICT, str(error) or "it takes too long")

    def _is_for_us(self) -> bool:
        """Whether the request names this host: a name that was made to point here is another."""
        if self.headers.get("Host") in self.owner.hosts:
            return True
        self._say(HTTPStatus.FORBIDDEN, "this host is not meant")
        return False

    def _say(self, status: HTTPStatus, problem: str) -> None:
        self._json(status, {"problem": problem})

    def _json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._answer(status, json.dumps(value).encode(), "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")  # a body that was not read must not become a request
        self.send_header(
            "Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, _format: str, *_values: object) -> None:
        """Say nothing: the page asks every second."""
