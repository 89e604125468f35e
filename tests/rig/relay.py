"""A relay that loses chosen requests: proof that the judgement sees a failed signature."""

from __future__ import annotations

import contextlib
import http.server
import threading
from typing import TYPE_CHECKING, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType


class Relay:
    """An HTTP relay on 127.0.0.1 to `target`; requests whose ordinals (from 1) are in `lose` get no answer.

    Attributes:
        requests: how many have come.
    """

    def __init__(self, target: str, *, lose: Collection[int]) -> None:
        relay = self
        self.requests = 0
        self._client = httpx.Client(base_url=target, trust_env=False)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                relay.requests += 1
                body = self.rfile.read(int(self.headers["content-length"]))
                if relay.requests in lose:
                    self.close_connection = True
                    return
                answer = relay._client.post(self.path, content=body)
                self.send_response(answer.status_code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # nodeos did not wait
                    self.wfile.write(answer.content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._client.close()
