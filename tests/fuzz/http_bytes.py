"""Bytes on a connection of a listener: into the gate and uvicorn's protocol, whole or in pieces.

A second parser (h11) judges: what is answered with a 2xx has to be one well-formed request to it, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from typing import TYPE_CHECKING, Final

import h11
import uvloop
from fuzz.damage import Damage
from fuzz.outcome import check_answer
from fuzz.world import World

from signer.antelope.keys import Digest, PublicKey
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature
from signer.signing.connection import Call
from signer.signing.server import build_gates

if TYPE_CHECKING:
    from collections import Counter
    from random import Random


_HEAD: Final = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [A-Za-z ]+\r\n((?:[a-z-]+: [^\r\n]*\r\n)+)\r\n")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
#: s. Nothing here waits for a token.
_PATIENCE_S: Final = 5.0
#: A client that leaves its side open sees for so long whether it is answered, in s.
_OPEN_S: Final = 0.005
#: Much more than a listener here takes, and less than a socket's buffer holds.
_LONGEST: Final = 50_000
#: At times the client does this between two pieces.
_TURNS: Final = 3
_TRICKS: Final = (
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
    ),
    *(
        b"Content-Length: 0\r\n",
        b"Content-Length: +3\r\n",
        b"Content-Length: 3, 3\r\n",
        b"Content-Length: 0x3\r\n",
    ),
    *(
        b"Content-Length: 99999999999999999999\r\n",
        b"Content-Length: -1\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
    ),
    *(
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
        b"Upgrade: h2c\r\n",
        b"Connection: keep-alive\r\n",
        b"\n",
    ),
    *(
        b"Host: evil.example\r\n",
        b"Origin: http://evil.example\r\n",
        b"X: \x00\r\n",
        b"X:\x0b\r\n",
        b" folded\r\n",
    ),
    *(
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"-1\r\n",
        b"3;a=b\r\n",
        b"3 \r\n",
        b"0\r\nTrailer: x\r\n\r\n",
        b": x\r\n",
    ),
    *(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/0.9\r\n\r\n",
    ),
)


class HttpBytes:
    """One connection at a time."""

    def __init__(self, random: Random, counts: Counter[str]) -> None:
        self._random = random
        self._counts = counts
        self._damage = Damage(random)
        self._loop = uvloop.new_event_loop()  # as the signing process has it
        self._loop.set_exception_handler(self._lost)
        self._failure = ""
        self._world = World()
        self._valid = self._requests()
        self._loop.run_until_complete(self._start())

    def _lost(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self._failure = self._failure or repr(context)

    async def _start(self) -> None:
        self._listeners = {kind: self._world.listener(kind) for kind in ("node", "wallet")}
        # On a unix socket; POST / signs there, too.
        self._listeners["node"].peers = frozenset({0})
        self._server = build_gates(self._world.app, list(self._listeners.values()))
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        self._sockets = [socket.create_server(("127.0.0.1", 0)) for _ in self._listeners]
        for sock in self._sockets:
            sock.setblocking(False)
        await self._server.startup(self._sockets)
        self._gates = dict(zip(self._listeners, self._server._gates, strict=True))  # noqa: SLF001 - its ways in

    def _requests(self) -> list[bytes]:
        found = []
        for key in self._world.block:
            body = json.dumps([self._random.randbytes(32).hex(), str(key)]).encode()
            for line in (b"POST /v1/wallet/sign_digest HTTP/1.1", b"POST / HTTP/1.1"):
                head = (
                    line
                    + b"\r\nHost: localhost\r\nUser-Agent: Boost.Beast/330\r\nContent-Type: application/json\r\n"
                )
                found.append(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
                half = len(body) // 2
                chunks = b"%x\r\n%b\r\n%x;x=y\r\n%b\r\n0\r\n\r\n" % (
                    half,
                    body[:half],
                    len(body) - half,
                    body[half:],
                )
                found.append(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        reads = (b"GET /v1/wallet/get_public_keys", b"OPTIONS /x", b"POST /v1/wallet/list_wallets", b"HEAD /")
        return found + [line + b" HTTP/1.1\r\nHost: localhost\r\n\r\n" for line in reads]

    def one(self) -> None:
        """Make an input, send it, judge the answer."""
        random = self._random
        data = random.choice(self._valid)
        chance = random.random()
        if chance < 0.05:
            self._counts["valid"] += 1
        elif chance < 0.1:
            self._counts["random"] += 1
            data = random.randbytes(random.choice((1, 4, 40, 5000)))
        else:
            self._counts["mutated from valid"] += 1
            data = self._mutated(data)
        sending = self._send(data[:_LONGEST], random.choice(("node", "node", "node", "wallet")))
        self._loop.run_until_complete(asyncio.wait_for(sending, 3 * _PATIENCE_S))
        assert not self._failure, self._failure

    def _mutated(self, data: bytes) -> bytes:
        random = self._random
        for _ in range(random.choice((1, 1, 2))):
            if random.random() < 0.5:
                ends = [match.end() for match in re.finditer(rb"\r\n", data)] or [0]
                place = random.choice(ends)
                data = data[:place] + random.choice(_TRICKS) * random.choice((1, 1, 1, 150)) + data[place:]
            elif random.random() < 0.2:
                data += random.choice(self._valid)
            else:
                data = self._damage.of_bytes(data, self._valid)
        return data

    async def _send(self, data: bytes, kind: str) -> None:
        listener = self._listeners[kind]
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            theirs.setblocking(False)
            cuts = sorted(
                self._random.sample(range(len(data) + 1), min(self._random.choice((0, 0, 1, 3)), len(data)))
            )
            pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
            gate = self._gates[kind]
            call = Call(listener, "uid 0 pid 7", permitted=True)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for number, piece in enumerate(pieces):
                    await self._loop.sock_sendall(ours, piece)
                    if not number:
                        gate.rehearse(theirs, call)
                    for _ in range(self._random.randint(0, _TURNS)):
                        await asyncio.sleep(0)
            closes = self._random.random() < 0.9
            if closes:
                with contextlib.suppress(OSError):
                    ours.shutdown(socket.SHUT_WR)
            answer = await self._answer(ours, _PATIENCE_S if closes else _OPEN_S, closes=closes)
        try:
            self._judge(data, kind, answer)
        except h11.RemoteProtocolError as error:
            raise AssertionError(f"answered {answer!r} to {data!r}, which is malformed: {error}") from None
        async with asyncio.timeout(_PATIENCE_S):
            while self._server.unanswered or listener.open or listener.waiting:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)

    async def _answer(self, ours: socket.socket, patience_s: float, *, closes: bool) -> bytes:
        answer = b""
        try:
            async with asyncio.timeout(patience_s):
                with contextlib.suppress(ConnectionResetError):
                    while data := await self._loop.sock_recv(ours, 65536):
                        answer += data
        except TimeoutError:
            assert not closes, "neither an answer nor an end"
        return answer

    def _judge(self, data: bytes, kind: str, answer: bytes) -> None:
        check_answer(answer)
        answer = answer.removeprefix(_CONTINUE)
        if not answer:
            self._counts["closed"] += 1
            return
        match = _HEAD.match(answer)
        assert match is not None, answer
        headers = dict(line.split(b": ", 1) for line in match[2].split(b"\r\n") if line)
        content = answer[match.end() :]
        assert headers[b"connection"] == b"close", answer
        without = not content and b"HEAD " in data
        assert without or int(headers[b"content-length"]) == len(content), (data, answer)
        status = int(match[1])
        if status not in (200, 201):
            self._counts[f"status {status}"] += 1
            assert status in (400, 404, 413, 500), answer
            assert without or json.loads(content)["code"] == status, answer
            return
        self._counts["accepted"] += 1
        request, body = _as_h11_reads(data)
        if status == 200:
            self._is_a_reading(kind, request, body)
            return
        assert kind == "node", data
        assert request.method == b"POST", data
        assert request.target in (b"/v1/wallet/sign_digest", b"/"), data
        digest, key = json.loads(body)
        assert re.fullmatch("[0-9a-fA-F]{64}", digest), data
        assert PublicKey.parse(key) in self._world.block, data
        signature = Signature.parse(json.loads(content))
        assert recover(Digest(bytes.fromhex(digest)), signature) == PublicKey.parse(key), data

    def _is_a_reading(self, kind: str, request: h11.Request, body: bytes) -> None:
        if request.method == b"OPTIONS":
            return
        paths = {b"/v1/wallet/get_public_keys"}
        if kind == "wallet":
            paths |= {b"/v1/wallet/list_wallets", b"/v1/node/get_supported_apis"}
            assert not any(name in (b"origin", b"sec-fetch-site") for name, _ in request.headers), request
        assert request.target in paths, request
        assert body.strip(b" \t\r\n") in (b"", b"{}"), (request, body)


def _as_h11_reads(data: bytes) -> tuple[h11.Request, bytes]:
    """Return the first request in `data` and its body, as another parser understands it."""
    line, end, rest = data.lstrip(b"\r\n").partition(b"\n")
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(re.sub(rb" +", b" ", line) + end + rest)  # a recipient may: RFC 9112, section 3
    parser.receive_data(b"")
    request = parser.next_event()
    assert isinstance(request, h11.Request), (data, request)
    body = b""
    while isinstance(event := parser.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage), (data, event)
    return request, body
