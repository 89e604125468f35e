"""The client loses a request where nodeos loses it, and connects where nodeos connects."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from bench.client import Mode, Side, measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SIGNED = b'HTTP/1.1 201 Created\r\nContent-Length: 7\r\n%s\r\n"SIG_K1'
_KEPT, _CLOSED = _SIGNED % b"", _SIGNED % b"connection: Close\r\n"
_REFUSED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\n{}"


class _Server:
    """Gives each connection its list of answers, one for each request, and then closes it."""

    def __init__(self, connections: Sequence[Sequence[bytes]]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.side = Side("test", "", self._listener.getsockname()[1], "/v1/wallet/sign_digest", "EOS1")
        self.received: list[bytes] = []
        self._connections = connections
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for answers in self._connections:
            connection, _ = self._listener.accept()
            with connection:
                for answer in answers:
                    self.received.append(connection.recv(65536))
                    for byte in answer:
                        connection.sendall(bytes((byte,)))

    def end(self) -> None:
        """Wait until everything was asked for."""
        self._thread.join()
        self._listener.close()


@pytest.fixture
def servers() -> Iterator[list[_Server]]:
    made: list[_Server] = []
    yield made
    for server in made:
        server.end()


def test_a_connection_is_used_as_long_as_the_answers_keep_it(servers: list[_Server]) -> None:
    servers.append(_Server([[_KEPT, _KEPT, _CLOSED], [_CLOSED]]))

    (samples,) = measure([servers[0].side], Mode("closed", 4))

    assert (len(samples.ns), samples.fresh, samples.failed) == (4, 2, [])
    assert all(
        request.startswith(b"POST /v1/wallet/sign_digest HTTP/1.1\r\n") for request in servers[0].received
    )
    assert len({request.rpartition(b"\r\n")[2] for request in servers[0].received}) == 4


def test_what_is_no_signature_is_a_failure(servers: list[_Server]) -> None:
    """A refusal keeps the connection; a server that went away without a word costs the next request."""
    servers.append(_Server([[_KEPT, _REFUSED, _KEPT], [_KEPT]]))

    (samples,) = measure([servers[0].side], Mode("closed", 5))

    assert (len(samples.ns), samples.fresh, samples.failed) == (5, 2, [1, 3])
    assert samples.reasons[0].startswith("500 ")


def test_sides_take_turns_and_rounds_change_who_begins(servers: list[_Server]) -> None:
    servers += [_Server([[_KEPT] * 4]), _Server([[_KEPT] * 4])]

    mode = Mode("rounds", 2, batch=2, period_ms=10, silence_s=0.01)
    first, second = measure([server.side for server in servers], mode)

    assert first.firsts == second.firsts == [0, 2]
    assert len(first.ns) == len(second.ns) == 4
    assert first.failed == second.failed == []
