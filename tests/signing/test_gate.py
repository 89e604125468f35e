"""The laws of the gate: nodeos' request takes the short way, everything else the long one, and both answer alike."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from rig.condition import HANG_S

from signer.signing.connection import Call, Listener
from signer.signing.server import build_gates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from signer.signing.gate import Gate
    from signer.signing.server import GateServer

_BODY = b'["%b","EOS"]' % (b"ab" * 32)


class _App:
    """Answers on either way and notes which one a request took."""

    def __init__(self) -> None:
        self.fast: list[bytes] = []
        self.slow: list[tuple[bytes, bytes]] = []
        self.calls: list[Call] = []

    def sign_fast(self, call: Call, body: bytes, answer: Callable[[bytes], None]) -> None:
        self.calls.append(call)
        self.fast.append(body)
        answer(b"HTTP/1.1 201 Created\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfast")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's types
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.slow.append((scope["extensions"]["target"], body))
        headers = [(b"content-length", b"4"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"slow"})


def _listener(*, kind: str = "node", hosts: frozenset[str] | None = None, most: int = 8) -> Listener:
    return Listener(
        kind=kind,
        node="primary",
        address="test",
        peers=None,
        max_connections=most,
        max_header_bytes=2048,
        max_body_bytes=1024,
        request_timeout_s=0.5,
        hosts=hosts,
    )


async def _with_gate(listener: Listener, use: Callable[[_App, tuple[str, int]], Awaitable[None]]) -> _App:
    app = _App()
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    address: tuple[str, int] = sock.getsockname()
    server = build_gates(app, [listener])  # type: ignore[arg-type]  # App's two ways in are all it needs
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        await asyncio.wait_for(use(app, address), HANG_S)
    finally:
        server.end()
        await asyncio.wait_for(serving, HANG_S)
    return app


async def _exchange(address: tuple[str, int], *pieces: bytes) -> bytes:
    """Send the pieces one by one, each in a packet of its own, and read to the end."""
    reader, writer = await asyncio.open_connection(*address)
    for number, piece in enumerate(pieces):
        if number:
            await asyncio.sleep(
                0
            )  # a turn of the loop, so that the gate sees the piece before the next one comes
        writer.write(piece)
        await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


def _request(
    *, line: bytes = b"POST /v1/wallet/sign_digest HTTP/1.1", headers: bytes = b"", body: bytes = _BODY
) -> bytes:
    return b"%b\r\nHost: 127.0.0.1:1\r\n%bContent-Length: %d\r\n\r\n%b" % (line, headers, len(body), body)


def _ask(listener: Listener, *pieces: bytes) -> tuple[_App, bytes]:
    answers: list[bytes] = []

    async def use(_app: _App, address: tuple[str, int]) -> None:
        answers.append(await _exchange(address, *pieces))

    app = asyncio.run(_with_gate(listener, use))
    return app, answers[0]


def test_a_request_in_one_piece_takes_the_short_way() -> None:
    beast = b"User-Agent: Boost.Beast/330\r\nContent-Type: application/json\r\n"

    app, answer = _ask(_listener(), _request(headers=beast))

    assert answer.endswith(b"fast")
    assert app.fast == [_BODY]
    assert app.calls[0].caller.startswith("127.0.0.1:")
    assert not app.calls[0].rehearsal


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(_request(line=b"GET /v1/wallet/sign_digest HTTP/1.1"), id="another method"),
        pytest.param(_request(line=b"POST /v1/wallet/sign_digest? HTTP/1.1"), id="a query"),
        pytest.param(_request(line=b"POST /v1/wallet/Sign_Digest HTTP/1.1"), id="capitals in the path"),
        pytest.param(_request(line=b"POST /v1/wallet/sign_digest HTTP/1.0"), id="HTTP 1.0"),
        pytest.param(_request(line=b"POST / HTTP/1.1"), id="the root on TCP"),
        pytest.param(_request(headers=b"Expect: 100-continue\r\n"), id="expect"),
        pytest.param(_request(headers=b"X: " + b"a" * 2100 + b"\r\n"), id="long header"),
    ],
)
def test_what_nodeos_does_not_send_takes_the_long_way(request_bytes: bytes) -> None:
    app, answer = _ask(_listener(), request_bytes)

    assert app.fast == []
    assert answer.endswith(b"slow") or b"413" in answer


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"Content-Length: 3\r\n", id="two lengths"),
        pytest.param(b"Transfer-Encoding: chunked\r\n", id="length and chunks"),
        pytest.param(b"Host: other\r\n", id="two hosts"),
        pytest.param(b" folded\r\n", id="folded line"),
        pytest.param(b"Bad Name: x\r\n", id="space in a name"),
        pytest.param(b"X: a\nY: b\r\n", id="bare line feed"),
    ],
)
def test_tricks_with_headers_never_take_the_short_way(headers: bytes) -> None:
    app, _ = _ask(_listener(), _request(headers=headers))

    assert app.fast == []


@pytest.mark.parametrize("cut", [1, 40, 90, len(_request()) - 1])
def test_a_request_in_pieces_is_answered_once(cut: int) -> None:
    whole = _request()

    app, answer = _ask(_listener(), whole[:cut], whole[cut:])

    assert answer.count(b"HTTP/1.1") == 1
    assert len(app.fast) + len(app.slow) == 1
    assert (app.fast or [app.slow[0][1]]) == [_BODY]


def test_two_requests_in_one_piece_never_take_the_short_way() -> None:
    app, answer = _ask(_listener(), _request() + _request())

    assert app.fast == []
    assert answer.count(b"HTTP/1.1") == 1  # the first answer closes the connection


def test_another_hosts_name_takes_the_long_way_where_it_is_refused() -> None:
    app, _ = _ask(_listener(hosts=frozenset({"localhost"})), _request())

    assert app.fast == []


def test_a_wallet_listener_has_no_short_way() -> None:
    app, answer = _ask(_listener(kind="wallet"), _request())

    assert app.fast == []
    assert answer.endswith(b"slow")


def test_garbage_gets_keosds_envelope() -> None:
    _, answer = _ask(_listener(), b"\x16\x03\x01 garbage \r\n\r\n")

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["error"]["code"] == 3200006


def test_a_client_that_says_nothing_is_let_go() -> None:
    async def use(_app: _App, address: tuple[str, int]) -> None:
        reader, writer = await asyncio.open_connection(*address)
        assert await reader.read() == b""
        writer.close()

    asyncio.run(_with_gate(_listener(), use))


def test_silent_clients_make_place_for_one_that_speaks() -> None:
    async def use(app: _App, address: tuple[str, int]) -> None:
        silent = [await asyncio.open_connection(*address) for _ in range(20)]
        assert (await _exchange(address, _request())).endswith(b"fast")
        assert len(app.fast) == 1
        assert await silent[0][0].read() == b""  # the oldest made place
        for _, writer in silent:
            writer.close()

    asyncio.run(_with_gate(_listener(most=4), use))


def test_a_connection_accepted_before_the_end_is_answered() -> None:
    """A stop loses no accepted connection, also one that has not spoken yet."""

    async def scene() -> None:
        app = _App()
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        address = sock.getsockname()
        server = build_gates(app, [_listener()])  # type: ignore[arg-type]  # as above
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup([sock])
        reader, writer = await asyncio.open_connection(*address)
        while not server.unanswered:  # noqa: ASYNC110 - the server tells nobody when it accepts
            await asyncio.sleep(0)  # until the gate has accepted it
        ending = asyncio.create_task(server.shutdown([sock]))
        await asyncio.sleep(0)  # a turn of the loop: the end has begun
        writer.write(_request())
        assert (await asyncio.wait_for(reader.read(), HANG_S)).endswith(b"fast")
        writer.close()
        await asyncio.wait_for(ending, HANG_S)

    asyncio.run(scene())


class _HoldingApp(_App):
    """Answers on the short way when it is told to; a listener of another kind is refused at once."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Callable[[bytes], None]] = []

    def sign_fast(self, call: Call, body: bytes, answer: Callable[[bytes], None]) -> None:
        self.fast.append(body)
        if call.listener.node == "primary":
            self.held.append(answer)
        else:
            answer(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")


@contextlib.asynccontextmanager
async def _held() -> AsyncIterator[tuple[_HoldingApp, Gate, tuple[str, int]]]:
    """Serve two nodes; a request of one is in work until the end. Yields the gate and the address of the other."""
    app = _HoldingApp()
    listeners = [_listener(), _listener(most=64)]
    listeners[1].node = "standby"
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in listeners]
    for sock in socks:
        sock.setblocking(False)
    server = build_gates(app, listeners)  # type: ignore[arg-type]  # as above
    serving = asyncio.create_task(server.serve(sockets=socks))
    waiting = asyncio.create_task(_exchange(socks[0].getsockname(), _request()))
    while not app.held:  # noqa: ASYNC110 - the gate tells nobody
        await asyncio.sleep(0.001)
    try:
        yield app, server._gates[1], socks[1].getsockname()  # noqa: SLF001 - only there it shows
    finally:
        for answer in app.held:
            answer(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        assert b" 201 " in await asyncio.wait_for(waiting, HANG_S)
        server.end()
        await serving


def _crowd(gate: Gate) -> None:
    """As after a storm, without its time. It lasts for a second."""
    gate._idle.take(100_000, asyncio.get_running_loop().time())  # noqa: SLF001 - only there it shows


def _storm(gate: Gate) -> None:
    """As in a storm, without its connections. It is over a second later."""
    gate._note_storm(time.monotonic_ns())  # noqa: SLF001 - only there it shows


async def _ask_uvicorn(address: tuple[str, int]) -> bytes:
    """Exchange a request that nodeos does not send; return the answer."""
    return await _exchange(address, _request(headers=b"TE: x\r\n"))


def test_what_leads_to_no_signature_uses_up_the_share_of_a_listener() -> None:
    async def scene() -> None:
        async with _held() as (_, gate, standby):
            counted: list[bool] = []
            count = gate._count_idle  # noqa: SLF001 - its share

            def take() -> None:
                counted.append(True)
                count()

            gate._count_idle = take  # type: ignore[method-assign]  # noqa: SLF001 - as above
            assert b" 500 " in await asyncio.wait_for(_exchange(standby, _request()), HANG_S)
            assert counted == [True]
            assert not gate._is_crowded()  # noqa: SLF001 - one refusal is within it

    asyncio.run(scene())


def test_a_crowd_has_passed_a_second_after_its_end() -> None:
    """However large it was: nodeos and cleos come right after it."""

    async def scene() -> None:
        async with _held() as (_, gate, _address):
            _crowd(gate)
            assert gate._is_crowded()  # noqa: SLF001 - as above
            began = time.monotonic()
            while gate._is_crowded():  # noqa: ASYNC110, SLF001 - as above
                await asyncio.sleep(0.01)
            assert time.monotonic() - began < 5.0

    asyncio.run(scene())


def test_a_turn_that_fails_is_followed_by_another() -> None:
    """Whatever happens to one connection, the listener goes on accepting."""

    async def scene() -> None:
        async with _held() as (_, gate, standby):
            _crowd(gate)
            read = gate._read  # noqa: SLF001 - as above

            def fail(conn: socket.socket, _: Call) -> bool:
                gate._read = read  # type: ignore[method-assign]  # noqa: SLF001 - as above
                conn.close()
                raise OSError(28, "No space left on device")

            gate._read = fail  # type: ignore[assignment,method-assign]  # noqa: SLF001 - as above
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            with contextlib.suppress(OSError):
                await asyncio.wait_for(_exchange(standby, _request()), HANG_S)
            assert b" 500 " in await asyncio.wait_for(_exchange(standby, _request()), HANG_S)

    asyncio.run(scene())


def test_silent_connections_make_room_for_one_that_speaks() -> None:
    """Also while the listener is crowded: the oldest silent one goes, not the request that waits for uvicorn."""

    async def scene() -> None:
        async with _held() as (_, gate, standby):
            _crowd(gate)
            gate._listener.max_connections = 8  # noqa: SLF001 - as above
            silent = [await asyncio.open_connection(*standby) for _ in range(8)]
            while len(gate._unspoken) < len(silent):  # noqa: ASYNC110, SLF001 - as above
                await asyncio.sleep(0)
            assert (await asyncio.wait_for(_ask_uvicorn(standby), HANG_S)).endswith(b"slow")
            assert gate._listener.evicted == 1  # noqa: SLF001 - as above
            for _, writer in silent:
                writer.close()

    asyncio.run(scene())


@pytest.mark.parametrize("besiege", [_crowd, _storm])
def test_a_listener_under_attack_pauses_between_its_turns(besiege: Callable[[Gate], None]) -> None:
    """A loop that turns without a pause keeps a lane, or nodeos, from a processor. uvloop: it counts whole ms."""

    async def scene() -> None:
        turns = 0
        async with _held() as (_, gate, standby):
            turn = gate._turn  # noqa: SLF001 - as above

            def count() -> None:
                nonlocal turns
                turns += 1
                turn()

            gate._turn = count  # type: ignore[method-assign]  # noqa: SLF001 - as above
            besiege(gate)
            began = time.monotonic()
            while time.monotonic() - began < 0.2:
                assert b" 500 " in await asyncio.wait_for(_exchange(standby, _request()), HANG_S)
            assert 0 < turns <= (time.monotonic() - began) * 1000 + 1

    uvloop.run(scene())


def test_without_descriptors_a_listener_in_a_storm_rests_and_evicts_no_more_than_otherwise() -> None:
    """Once in 20 ms, not in each of its turns."""

    async def scene() -> None:
        evictions = 0

        def count() -> None:
            nonlocal evictions
            evictions += 1

        class Short:
            def __init__(self, sock: socket.socket) -> None:
                self.fileno = sock.fileno

            def accept(self) -> None:
                raise OSError(errno.EMFILE, "Too many open files")

        async with _held() as (_, gate, standby):
            sock = gate._sock  # noqa: SLF001 - as above
            gate._evict = count  # type: ignore[method-assign]  # noqa: SLF001 - as above
            gate._sock = Short(sock)  # type: ignore[assignment]  # noqa: SLF001 - as above
            _storm(gate)
            asked = asyncio.create_task(_exchange(standby, _request()))
            began = time.monotonic()
            while time.monotonic() - began < 0.3:  # noqa: ASYNC110 - how often in a time is what is counted
                await asyncio.sleep(0.01)
            assert 0 < evictions <= (time.monotonic() - began) / 0.02 + 1
            gate._sock = sock  # noqa: SLF001 - as above
            assert b" 500 " in await asyncio.wait_for(asked, HANG_S)

    asyncio.run(scene())


def test_nodeos_goes_before_what_uvicorn_has_to_read() -> None:
    """Thirty others came first, and nodeos' request is answered before a third of them."""

    async def scene() -> None:
        async with _held() as (app, gate, standby):
            _crowd(gate)
            others = [asyncio.create_task(_ask_uvicorn(standby)) for _ in range(30)]
            while gate.pending < len(others):  # noqa: ASYNC110 - the gate tells nobody
                await asyncio.sleep(0)
            assert b" 500 " in await asyncio.wait_for(_exchange(standby, _request()), HANG_S)
            assert len(app.slow) < len(others) / 3
            # A request of the other node is with its token all the while, and shuts nobody out.
            answers = await asyncio.wait_for(asyncio.gather(*others), HANG_S)
            assert all(answer.endswith(b"slow") for answer in answers)

    asyncio.run(scene())


def test_nodeos_goes_before_a_burst_that_is_no_crowd_yet() -> None:
    """Within a slot it comes again and again, and is never 100 in a second."""

    async def scene() -> None:
        async with _held() as (app, gate, standby):
            others = [asyncio.create_task(_ask_uvicorn(standby)) for _ in range(30)]
            while gate.pending + len(app.slow) < len(others):  # noqa: ASYNC110 - the gate tells nobody
                await asyncio.sleep(0)
            assert not gate._is_crowded()  # noqa: SLF001 - as above
            assert b" 500 " in await asyncio.wait_for(_exchange(standby, _request()), HANG_S)
            assert len(app.slow) < len(others) / 3
            answers = await asyncio.wait_for(asyncio.gather(*others), HANG_S)
            assert all(answer.endswith(b"slow") for answer in answers)

    asyncio.run(scene())


def test_what_cannot_be_answered_in_time_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent clients, and more for uvicorn than it is handed until then."""
    monkeypatch.setattr("signer.signing.server._DRAIN_S", 0.1)

    async def scene() -> None:
        app = _App()
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        server = build_gates(app, [_listener(most=256)])  # type: ignore[arg-type]  # as above
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.001)
        gate = server._gates[0]  # noqa: SLF001 - as above
        _crowd(gate)
        clients = [await asyncio.open_connection(*sock.getsockname()) for _ in range(60)]
        for _, writer in clients[10:]:
            writer.write(b"P")  # and never more
        while gate.pending < len(clients):  # noqa: ASYNC110 - the gate tells nobody
            await asyncio.sleep(0)
        server.end()
        await asyncio.wait_for(serving, HANG_S)
        assert gate.pending == 0
        for _, writer in clients:
            writer.close()

    asyncio.run(scene())


def test_a_signature_that_was_given_before_is_of_those_that_crowd() -> None:
    """It takes no token, so nothing else bounds how many there are."""

    async def scene() -> None:
        async with _held() as (app, gate, standby):
            counted: list[bool] = []
            gate._count_idle = lambda: counted.append(True)  # type: ignore[method-assign]  # noqa: SLF001 - as above

            def again(call: Call, _body: bytes, answer: Callable[[bytes], None]) -> None:
                call.repeated = True
                answer(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

            app.sign_fast = again  # type: ignore[method-assign,assignment]
            assert b" 201 " in await asyncio.wait_for(_exchange(standby, _request()), HANG_S)
            assert counted == [True]

    asyncio.run(scene())


def test_a_full_queue_lets_the_oldest_go() -> None:
    async def scene() -> None:
        async with _held() as (_, gate, standby):
            _crowd(gate)
            gate._listener.max_connections = 8  # noqa: SLF001 - as above
            asked = [_ask_uvicorn(standby) for _ in range(40)]
            answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), HANG_S)
            served = [answer for answer in answers if isinstance(answer, bytes) and answer.endswith(b"slow")]
            assert len(served) >= 8
            assert gate._listener.evicted == len(asked) - len(served)  # noqa: SLF001 - as above

    asyncio.run(scene())


# -- in a storm of connections ---------------------------------------------------------------------------


def _calm(gate: Gate) -> None:
    """As after a storm, without its second."""
    gate._stormed_ns = -(10**12)  # noqa: SLF001 - as above


@contextlib.asynccontextmanager
async def _stormed() -> AsyncIterator[tuple[_App, GateServer, Gate, tuple[str, int]]]:
    app = _App()
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    server = build_gates(app, [_listener()])  # type: ignore[arg-type]  # as above
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.001)
    gate = server._gates[0]  # noqa: SLF001 - as above
    _storm(gate)
    try:
        yield app, server, gate, sock.getsockname()
    finally:
        server.end()
        await asyncio.wait_for(serving, HANG_S)


class _Client:
    """A client that keeps its connection, as nodeos does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, address: tuple[str, int]) -> _Client:
        return cls(*await asyncio.open_connection(*address))

    async def ask(self, request: bytes = b"") -> bytes:
        """Return the whole answer."""
        self._writer.write(request or _request())
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), HANG_S)
        return head + await asyncio.wait_for(self._reader.readexactly(4), HANG_S)

    async def is_ended(self) -> bool:
        """Wait for what comes next; return whether it is the end."""
        return await asyncio.wait_for(self._reader.read(1), HANG_S) == b""

    def leave(self) -> None:
        self._writer.close()


async def _is_kept(client: _Client) -> bool:
    return b"connection: close" not in await client.ask()


def test_a_connection_is_kept_in_a_storm_and_ended_by_the_first_answer_after_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        async with _stormed() as (app, _, gate, address):
            client = await _Client.connect(address)
            assert await _is_kept(client)
            assert await _is_kept(client)
            assert gate.pending == 0  # nobody waits for a connection that is idle
            _calm(gate)
            assert not await _is_kept(client)
            assert await client.is_ended()
            client.leave()
            assert len(app.fast) == 3

    asyncio.run(scene())
    said = [record for record in caplog.records if record.message.startswith("storm of connections")]
    assert [vars(record)["listener"] for record in said] == ["test"]


def test_a_kept_connection_that_is_woken_for_nothing_rests_on() -> None:
    """With the timer of a new one it would end, and its place be taken for ever."""

    async def scene() -> None:
        async with _stormed() as (_, _, gate, address):
            client = await _Client.connect(address)
            assert await _is_kept(client)
            (conn,) = gate._kept  # noqa: SLF001 - only there it shows
            gate._asks_again(conn)  # noqa: SLF001 - Linux does so seldom
            assert gate.pending == 0
            assert await _is_kept(client)
            client.leave()

    asyncio.run(scene())


def test_without_a_storm_no_connection_is_kept() -> None:
    _, answer = _ask(_listener(), _request())

    assert b"\r\nconnection: close\r\n" in answer


def test_who_wants_the_end_gets_it_in_a_storm_too() -> None:
    async def scene() -> None:
        async with _stormed() as (_, _server, _gate, address):
            client = await _Client.connect(address)
            assert b"connection: close" in await client.ask(_request(headers=b"Connection: close\r\n"))
            assert await client.is_ended()
            client.leave()

    asyncio.run(scene())


def test_a_few_connections_are_kept_and_no_more() -> None:
    """None makes place for another: it would lose a request."""

    async def scene() -> None:
        async with _stormed() as (_, _server, gate, address):
            clients = [await _Client.connect(address) for _ in range(6)]
            assert [await _is_kept(client) for client in clients] == [True] * 4 + [False] * 2
            assert await _is_kept(clients[0])
            clients[1].leave()
            while len(gate._kept) > 3:  # noqa: ASYNC110, SLF001 - the gate tells nobody
                await asyncio.sleep(0)
            clients[1] = await _Client.connect(address)
            assert await _is_kept(clients[1])  # who leaves gives the place back
            for client in clients:
                client.leave()

    asyncio.run(scene())


def test_a_refused_request_keeps_no_connection() -> None:
    async def scene() -> None:
        async with _held() as (_, gate, standby):
            _storm(gate)
            assert b" 500 " in await _exchange(standby, _request())  # reads to the end
            assert not gate._kept  # noqa: SLF001 - only there it shows

    asyncio.run(scene())


def test_what_else_comes_on_a_kept_connection_is_answered_and_ends_it() -> None:
    async def scene() -> None:
        async with _stormed() as (_, _server, _gate, address):
            client = await _Client.connect(address)
            assert await _is_kept(client)
            assert b"connection: close" in await client.ask(_request(headers=b"TE: x\r\n"))
            assert await client.is_ended()
            client.leave()

    asyncio.run(scene())


def _left(server: GateServer) -> list[tuple[dict[str, Any], list[int]]]:
    """End accepting, as a generation does; return what it sends then. The descriptors are the caller's."""
    sent: list[tuple[dict[str, Any], list[int]]] = []
    server.leave(lambda message, fds: sent.append((message, [os.dup(fd) for fd in fds])))
    return sent


def test_a_kept_connection_goes_to_the_next_generation_with_the_request_that_waits_on_it() -> None:
    async def scene() -> None:
        async with _stormed() as (app, server, _, address), _stormed() as (other, successor, gate, _address):
            client = await _Client.connect(address)
            assert await _is_kept(client)
            [left] = _left(server)
            asked = asyncio.create_task(client.ask())
            await asyncio.sleep(0)  # a turn of the loop: the request waits in the kernel
            _calm(gate)
            assert (len(app.fast), len(other.fast)) == (1, 0)
            assert successor.take(*left)
            # It was a storm there a moment ago, so it may be one here.
            assert b"connection: close" not in await asked
            assert (len(app.fast), len(other.fast)) == (1, 1)
            _calm(gate)
            assert not await _is_kept(client)
            assert await client.is_ended()
            client.leave()

    asyncio.run(scene())


def test_a_kept_connection_is_ended_where_nobody_can_go_on_with_it() -> None:
    async def scene() -> None:
        async with (
            _stormed() as (_, server, _gate, address),
            _stormed() as (_other, successor, _successor, _address),
        ):
            clients = [await _Client.connect(address) for _ in range(2)]
            for client in clients:
                assert await _is_kept(client)
            (message, first), second = _left(server)
            assert successor.take({**message, "listener": "gone"}, first)
            assert server.take(*second)  # one that ends itself
            assert [await client.is_ended() for client in clients] == [True, True]
            for client in clients:
                client.leave()

    asyncio.run(scene())


def test_a_kept_connection_that_cannot_be_handed_over_is_ended_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_message: object, _fds: object) -> None:
        raise OSError(24, "Too many open files")

    async def scene() -> None:
        async with _stormed() as (_, server, _gate, address):
            client = await _Client.connect(address)
            assert await _is_kept(client)
            server.leave(fail)
            assert await client.is_ended()
            client.leave()

    asyncio.run(scene())
    assert "a kept connection is lost" in [record.message for record in caplog.records]


def test_one_that_was_idle_for_longer_than_any_round_makes_place() -> None:
    async def scene() -> None:
        async with _stormed() as (_, _server, gate, address):
            clients = [await _Client.connect(address) for _ in range(5)]
            for client in clients[:4]:
                assert await _is_kept(client)
            for call in list(gate._kept.values())[:1]:  # noqa: SLF001 - only there it shows
                call.began_ns -= 10**12
            assert await _is_kept(clients[4])
            assert await clients[0].is_ended()
            assert await _is_kept(clients[1])
            for client in clients:
                client.leave()

    asyncio.run(scene())


def test_a_connection_has_its_place_while_its_request_is_in_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one that is answered at the same time does not take it."""

    async def scene() -> None:
        async with _stormed() as (app, _server, gate, address):
            clients = [await _Client.connect(address) for _ in range(5)]
            for client in clients[:4]:
                assert await _is_kept(client)
            held: list[Callable[[bytes], None]] = []
            monkeypatch.setattr(app, "sign_fast", lambda _call, _body, answer: held.append(answer))
            asked = asyncio.create_task(clients[0].ask())
            while not held:  # noqa: ASYNC110 - the gate tells nobody
                await asyncio.sleep(0)
            monkeypatch.undo()
            assert not await _is_kept(clients[4])
            left = gate.leave()
            assert len(left) == 3  # and it is not handed over in the middle of a request
            for conn in left:
                conn.close()
            held[0](b"HTTP/1.1 201 Created\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfast")
            assert b"connection: close" in await asked
            assert await clients[0].is_ended()
            for client in clients:
                client.leave()

    asyncio.run(scene())


def test_many_connections_within_a_moment_are_a_storm_and_as_many_over_time_are_none() -> None:
    async def scene() -> None:
        async with _stormed() as (_, _server, gate, address):
            _calm(gate)
            for _ in range(50):
                for _ in range(2):
                    socket.create_connection(address).close()
                await asyncio.sleep(0.01)  # it is the pace that is looked at
            client = await _Client.connect(address)
            slow = await _is_kept(client)
            client.leave()
            assert not slow
            kept = False
            while not kept:  # on a slow machine they may come too slowly
                for _ in range(10):
                    for _ in range(50):
                        socket.create_connection(address).close()
                    await asyncio.sleep(0.005)  # a full queue would stop this very loop
                client = await _Client.connect(address)
                kept = await _is_kept(client)
                client.leave()

    asyncio.run(asyncio.wait_for(scene(), 3 * HANG_S))
