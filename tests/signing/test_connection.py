"""The bounds of a connection: time, bytes and number, each answered readably or closed."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from rig.condition import HANG_S

from signer.signing.connection import Listener
from signer.signing.server import build_gates

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Use = Callable[["World"], Awaitable[None]]

_MAX_HEADER = 2048
_MAX_BODY = 4096
_HEAD = b"POST /v1/wallet/x HTTP/1.1\r\nHost: localhost\r\n"


class App:
    """Answers a request when the test lets it, with so many blanks behind, in so many pieces."""

    def __init__(self, blanks: int = 0, pieces: int = 1) -> None:
        self.blanks = blanks
        self.pieces = pieces
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's types
        """Read the body, wait, answer with its length."""
        length = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            length += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        self.asked += 1
        await self.open.wait()
        content = str(length).encode() + b" " * self.blanks
        headers = [(b"content-length", str(len(content)).encode()), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        size = -(-len(content) // self.pieces)
        for at in range(0, len(content), size):
            piece, more = content[at : at + size], at + size < len(content)
            await send({"type": "http.response.body", "body": piece, "more_body": more})


class World:
    """A served listener and its clients."""

    def __init__(self, app: App, listener: Listener, address: tuple[str, int]) -> None:
        self.app = app
        self.listener = listener
        self.address = address
        self._writers: list[asyncio.StreamWriter] = []

    async def client(self, content: bytes = b"") -> Client:
        """Return a connection on which `content` was sent."""
        reader, writer = await asyncio.open_connection(*self.address)
        self._writers.append(writer)
        client = Client(reader, writer)
        await client.send(content)
        return client

    async def settled(self, condition: Callable[[], bool]) -> None:
        """Let the event loop run until `condition` holds."""
        async with asyncio.timeout(HANG_S):
            while not condition():  # noqa: ASYNC110 - what is waited for is the server
                await asyncio.sleep(0.001)

    async def waiting(self, count: int) -> None:
        """Wait until so many connections wait for the rest of their request."""
        await self.settled(lambda: len(self.listener.waiting) == count)

    async def close(self) -> None:
        """Close every client."""
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, content: bytes) -> None:
        """Send bytes."""
        self._writer.write(content)
        await self._writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        """Return status and body once the server has closed its side; status 0 for none."""
        try:
            data = await self._reader.read()
        except ConnectionResetError:
            return 0, b""
        head, _, body = data.partition(b"\r\n\r\n")
        return (int(head.split()[1]), body) if head else (0, b"")

    async def refusal(self) -> tuple[int, str]:
        """Return the status and the envelope's error name."""
        status, body = await self.answer()
        envelope = json.loads(body)
        assert envelope["code"] == status
        name: str = envelope["error"]["name"]
        return status, name


def serve(use: Use, *, most: int = 16, timeout_s: float = HANG_S, app: App | None = None) -> None:
    """Run `use` against a server on a port of its own."""

    async def run() -> None:
        served = app or App()
        listener = Listener("node", "primary", "test", None, most, _MAX_HEADER, _MAX_BODY, timeout_s)
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        if served.blanks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # its connections have it from here
        server = build_gates(served, [listener])  # type: ignore[arg-type]  # App's two ways in are all it needs
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        world = World(served, listener, sock.getsockname())
        try:
            await asyncio.wait_for(use(world), HANG_S)
        finally:
            await world.close()
            server.end()
            await serving

    asyncio.run(run())


def whole(body: bytes) -> bytes:
    """A request with a body."""
    return _HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def chunked(body: bytes) -> bytes:
    """The same, in a chunk whose length was not told before."""
    return _HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("form", [whole, chunked])
def test_a_body_at_the_limit_is_taken(form: Callable[[bytes], bytes]) -> None:
    async def use(world: World) -> None:
        client = await world.client(form(b"x" * _MAX_BODY))
        assert await client.answer() == (200, str(_MAX_BODY).encode())

    serve(use)


@pytest.mark.parametrize("form", [whole, chunked])
@pytest.mark.parametrize("length", [_MAX_BODY + 1, 2_000_000])
def test_a_body_over_the_limit_is_answered_413(form: Callable[[bytes], bytes], length: int) -> None:
    """The client reads the answer although it sent more than anybody read."""

    async def use(world: World) -> None:
        client = await world.client(form(b"x" * length))
        assert await client.refusal() == (413, "signer_body_too_large_exception")
        assert world.app.asked == 0

    serve(use)


def test_what_refused_clients_still_send_is_read_slowly() -> None:
    """Eight clients that send without end are read in one piece each 20 ms, all together: nodeos has the rest."""

    async def use(world: World) -> None:
        sent = 0

        async def send_without_end() -> None:
            nonlocal sent
            client = await world.client(_HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n")
            while True:
                await client.send(b"x" * 65_536)
                sent += 65_536

        senders = [asyncio.create_task(send_without_end()) for _ in range(8)]
        await world.settled(lambda: world.listener.discarding == len(senders))
        before, began = sent, time.monotonic()
        # The time is the condition itself.
        await world.settled(lambda: time.monotonic() - began > 0.5)
        # 25 pieces of 256 kB, and what the kernel's buffers take on both sides. Read at once it is ten times that.
        assert sent - before < 40_000_000
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)

    serve(use, timeout_s=5.0)


def test_a_header_over_the_limit_is_answered_413() -> None:
    async def use(world: World) -> None:
        client = await world.client(_HEAD + b"X: " + b"x" * _MAX_HEADER + b"\r\nContent-Length: 0\r\n\r\n")
        assert await client.refusal() == (413, "signer_body_too_large_exception")

    serve(use)


def test_a_header_without_end_is_answered_413() -> None:
    async def use(world: World) -> None:
        client = await world.client(_HEAD + b"X: " + b"x" * (_MAX_HEADER + _MAX_BODY))
        assert await client.refusal() == (413, "signer_body_too_large_exception")

    serve(use)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS client hello
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        _HEAD + b"Content-Length: nine\r\n\r\n",
        _HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        _HEAD + b"no colon\r\n\r\n",
    ],
)
def test_what_is_not_http_is_answered_400(garbage: bytes) -> None:
    async def use(world: World) -> None:
        client = await world.client(garbage)
        assert await client.refusal() == (400, "invalid_http_request")
        assert world.app.asked == 0

    serve(use)


@pytest.mark.parametrize("sent", [b"", b"POST /v1", _HEAD, whole(b"xx")[:-1]])
def test_a_request_that_is_not_whole_in_time_is_closed(sent: bytes) -> None:
    async def use(world: World) -> None:
        client = await world.client(sent)
        assert await client.answer() == (0, b"")
        await world.settled(lambda: world.listener.open == 0)

    serve(use, timeout_s=0.05)


def test_a_whole_request_may_wait_for_its_answer_longer_than_that() -> None:
    async def use(world: World) -> None:
        world.app.open.clear()
        client = await world.client(whole(b"four"))
        idle = await world.client(_HEAD)
        assert await idle.answer() == (0, b"")  # the time is over, for this one
        world.app.open.set()
        assert await client.answer() == (200, b"4")

    serve(use, timeout_s=0.05)


def test_a_full_listener_closes_the_connection_that_has_waited_longest() -> None:
    async def use(world: World) -> None:
        waiting = []
        for count in range(1, 4):
            waiting.append(await world.client(_HEAD))
            await world.waiting(count)
        client = await world.client(whole(b"four"))
        assert await client.answer() == (200, b"4")
        assert await waiting[0].answer() == (0, b"")
        assert world.listener.evicted == 1
        for later in waiting[1:]:
            await later.send(b"Content-Length: 1\r\n\r\nx")
            assert await later.answer() == (200, b"1")

    serve(use, most=3)


def test_a_full_listener_never_closes_a_connection_whose_request_is_in_work() -> None:
    async def use(world: World) -> None:
        world.app.open.clear()
        working = [await world.client(whole(b"four")) for _ in range(3)]
        await world.settled(lambda: world.app.asked == 3)
        assert await (await world.client(whole(b"four"))).answer() == (0, b"")
        world.app.open.set()
        assert [await client.answer() for client in working] == [(200, b"4")] * 3

    serve(use, most=3)


@pytest.mark.parametrize(
    ("blanks", "pieces"), [(50_000, 1), (1_000_000, 1), (1_000_000, 20)], ids=["kept", "full", "stream"]
)
def test_an_answer_that_nobody_reads_is_given_up_in_time(blanks: int, pieces: int) -> None:
    """Whether uvicorn's buffer takes it all, or is full when it ends, or in the middle."""

    async def use(world: World) -> None:
        with _deaf(world), _deaf(world):
            await world.settled(lambda: world.app.asked == 2)
            assert world.listener.open == 2
            await world.settled(lambda: world.listener.open == 0)
        assert not world.listener.waiting

    serve(use, timeout_s=0.3, app=App(blanks, pieces))


def test_an_answer_that_nobody_reads_makes_place() -> None:
    async def use(world: World) -> None:
        with _deaf(world), _deaf(world), _deaf(world):
            await world.settled(lambda: world.app.asked == 3)
            await world.waiting(3)
            status, _ = await (await world.client(whole(b"four"))).answer()
            assert (status, world.listener.evicted) == (200, 1)

    serve(use, most=3, app=App(50_000))


def _deaf(world: World) -> socket.socket:
    """Return a connection that has asked and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    sock.connect(world.address)
    sock.sendall(whole(b"four"))
    return sock


def test_a_burst_does_not_exceed_the_limit() -> None:
    async def use(world: World) -> None:
        clients = await asyncio.gather(*(world.client(_HEAD) for _ in range(12)))
        await world.settled(lambda: world.listener.evicted == 9 and world.listener.open == 3)
        answers = asyncio.gather(*(client.answer() for client in clients))
        for client in clients:
            try:
                await client.send(b"Content-Length: 1\r\n\r\nx")
            except ConnectionError:
                continue
        assert sorted(status for status, _ in await answers) == [0] * 9 + [200] * 3

    serve(use, most=3)


def test_the_first_of_pipelined_requests_is_answered_and_ends_the_connection() -> None:
    async def use(world: World) -> None:
        client = await world.client(whole(b"four") + whole(b"sixsix"))
        assert await client.answer() == (200, b"4")
        again = await world.client(whole(b"four"))
        assert await again.answer() == (200, b"4")

    serve(use)


@pytest.mark.parametrize("more", [b"\x00garbage\r\n\r\n", whole(b"x" * (_MAX_BODY + 1)), b"x" * 100_000])
def test_what_follows_a_whole_request_does_not_spoil_its_answer(more: bytes) -> None:
    async def use(world: World) -> None:
        world.app.open.clear()
        client = await world.client(whole(b"four") + more)
        await world.settled(lambda: world.app.asked == 1)
        world.app.open.set()
        assert await client.answer() == (200, b"4")

    serve(use)


def test_a_client_that_leaves_leaves_its_place() -> None:
    async def use(world: World) -> None:
        for content in (b"", _HEAD, whole(b"xx")[:-1]):
            client = await world.client(content)
            await world.waiting(1 if content else 0)
            client._writer.close()  # noqa: SLF001
            await world.settled(lambda: world.listener.open == 0)
        assert not world.listener.waiting

    serve(use)


def test_malformed_requests_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """One line a minute and listener, with a caller, a reason and how many there were."""

    async def use(world: World) -> None:
        for _ in range(20):
            client = await world.client(b"\x00garbage\r\n\r\n")
            assert (await client.refusal())[0] == 400
        assert world.listener.malformed == 20
        world.listener.malformed_silent_until = 0.0  # a minute later
        await (await world.client(b"hello\r\n\r\n")).answer()

    serve(use)

    said = [record for record in caplog.records if record.name == "signer.signing"]
    assert [record.getMessage() for record in said] == ["malformed request refused"] * 2
    assert [record.__dict__["count"] for record in said] == [1, 20]
    assert said[0].__dict__["listener"] == "test"
    assert said[0].__dict__["caller"].startswith("127.0.0.1:")


def test_what_uvicorn_says_of_each_malformed_request_is_not_logged() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import logging; from signer.logs import configure; configure('signing');"
                "logging.getLogger('uvicorn.error').warning('Invalid HTTP request received.');"
                "logging.getLogger('uvicorn.error').error('a fault')"
            ),
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "a fault" in done.stderr
    assert "Invalid HTTP" not in done.stderr
