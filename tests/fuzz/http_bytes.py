"""Bytes on a connection of a listener: into the gate and uvicorn's protocol, whole or in pieces.

A second parser (h11) judges: what is answered with a 2xx has to be one well-formed request to it, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import h11
import uvloop
from fuzz.damage import Damage
from fuzz.outcome import check_answer
from fuzz.world import World

from signer.antelope.keys import Digest, PublicKey
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature
from signer.signing import connection
from signer.signing.connection import Call
from signer.signing.fast_request import OF_WEB_PAGES
from signer.signing.server import build_gates

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable
    from random import Random

    from signer.signing.connection import Listener

_HEAD: Final = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [A-Za-z ]+\r\n((?:[a-z-]+: [^\r\n]*\r\n)+)\r\n")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
#: s. Nothing here waits for a token.
PATIENCE_S: Final = 5.0
#: A client that leaves its side open sees for so long whether it is answered, in s.
_OPEN_S: Final = 0.005
#: Much more than a listener here takes, and less than a socket's buffer holds.
_LONGEST: Final = 50_000
#: A client lets the loop turn so often at most between two pieces.
_TURNS: Final = 3
#: The next piece behind a refused request is read after so long, in s: one ms is the least that uvloop has.
_DISCARD_S: Final = 0.001
#: The part of the inputs that come while the listeners are crowded.
_CROWDED: Final = 0.02
#: What a gate has of its connections.
_HELD: Final = ("_kept", "_resting", "_ready", "_queue", "_unspoken", "_tasks", "answering")
#: So much more, or less, than any listener's share of what leads to no signature.
_WHOLE_SHARE: Final = 100_000
SIGN: Final = b"/v1/wallet/sign_digest"
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


#: What is sent, and the turns of the loop after it.
Piece = tuple[bytes, int]


class Answer(NamedTuple):
    """An answer as it stands on the wire: whether it ends the connection is what it says itself."""

    status: int
    length: int
    content: bytes
    ends: bool


class HttpBytes:
    """One connection at a time."""

    def __init__(self, random: Random, counts: Counter[str]) -> None:
        self._random = random
        self._counts = counts
        self._damage = Damage(random)
        self._loop = uvloop.new_event_loop()  # as the signing process has it
        self._loop.set_exception_handler(self._lost)
        self._failure = ""
        connection._DISCARD_S = _DISCARD_S  # noqa: SLF001 - the pace is looked at elsewhere
        self._world = World()
        self._valid = self._requests()
        self._loop.run_until_complete(self._start())

    def _lost(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self._failure = self._failure or repr(context)

    def _open(self) -> dict[str, tuple[Listener, socket.socket]]:
        """Return the listeners by name, each with its socket."""
        found = {
            kind: (self._world.listener(kind), socket.create_server(("127.0.0.1", 0)))
            for kind in ("node", "wallet")
        }
        # On a unix socket; POST / signs there, too.
        found["node"][0].peers = frozenset({0})
        return found

    async def _start(self) -> None:
        opened = self._open()
        self._listeners = {name: listener for name, (listener, _) in opened.items()}
        self._server = build_gates(self._world.app, list(self._listeners.values()))
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        self._sockets = {name: sock for name, (_, sock) in opened.items()}
        for sock in self._sockets.values():
            sock.setblocking(False)
        await self._server.startup(list(self._sockets.values()))
        self._gates = dict(zip(self._listeners, self._server._gates, strict=True))  # noqa: SLF001 - its ways in

    def _requests(self) -> list[bytes]:
        found = []
        for key in self._world.block:
            for target in (SIGN, b"/"):
                body, head = self._body(key), self._head(target)
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

    def _body(self, key: PublicKey) -> bytes:
        return json.dumps([self._random.randbytes(32).hex(), str(key)]).encode()

    @staticmethod
    def _head(target: bytes) -> bytes:
        """Return what nodeos sends before the length of the body."""
        return (
            b"POST %b HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Boost.Beast/330\r\n"
            b"Content-Type: application/json\r\n" % target
        )

    def one(self) -> None:
        """Make an input, send it, judge the answer."""
        random = self._random
        data = self._input(valid=0.05)
        self._crowd()
        sending = self._send(data, random.choice(("node", "node", "node", "wallet")))
        self._loop.run_until_complete(asyncio.wait_for(sending, 3 * PATIENCE_S))
        assert not self._failure, self._failure

    def _input(self, *, valid: float) -> bytes:
        """Return a valid request with the probability `valid`, else seldom random bytes, else one with damage."""
        random = self._random
        data = random.choice(self._valid)
        chance = random.random()
        if chance < valid:
            self._counts["valid"] += 1
        elif chance < valid + 0.05:
            self._counts["random"] += 1
            data = random.randbytes(random.choice((1, 4, 40, 5000)))
        else:
            self._counts["mutated from valid"] += 1
            data = self._mutated(data)
        return data[:_LONGEST]

    def _crowd(self) -> None:
        """Let the listeners be crowded, but seldom: each input waits for some ms then. Else their share is whole."""
        crowded = self._random.random() < _CROWDED
        self._counts["crowded"] += crowded
        for gate in self._gates.values():
            taken = _WHOLE_SHARE if crowded else -_WHOLE_SHARE
            gate._idle.take(taken, self._loop.time())  # noqa: SLF001 - without the time that it takes

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

    def _cut(self, data: bytes) -> list[Piece]:
        """Cut `data` anywhere, or not at all."""
        random = self._random
        cuts = sorted(random.sample(range(len(data) + 1), min(random.choice((0, 0, 1, 3)), len(data))))
        return self._paced(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True))

    def _paced(self, pieces: Iterable[bytes]) -> list[Piece]:
        return [(piece, self._random.randint(0, _TURNS)) for piece in pieces]

    async def _send(self, data: bytes, kind: str) -> None:
        listener = self._listeners[kind]
        before = sockets()
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            theirs.setblocking(False)
            (first, turns), *rest = self._cut(data)
            closes = self._random.random() < 0.9
            await self._loop.sock_sendall(ours, first)
            self._gates[kind].rehearse(theirs, Call(listener, "uid 0 pid 7", permitted=True))
            answers = await self._exchange(ours, [(b"", turns), *rest], closes=closes)
        assert len(answers) <= 1, answers
        assert all(answer.ends for answer in answers), answers
        self._judge(data, listener, answers)
        await self._end(before)

    async def _exchange(self, ours: socket.socket, pieces: list[Piece], *, closes: bool) -> list[Answer]:
        """Send the pieces, and return what is answered until the end."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece, turns in pieces:
                await self._loop.sock_sendall(ours, piece)
                for _ in range(turns):
                    await asyncio.sleep(0)
        if closes:
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_WR)
        return split(await self._answer(ours, PATIENCE_S if closes else _OPEN_S, closes=closes))

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

    async def _end(self, before: int) -> None:
        """Wait until nothing is left of any connection: in the gates, in uvicorn, of sockets but the `before`."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while self._left() or sockets() > before:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0)
        except TimeoutError:
            raise AssertionError(f"left of it: {self._left()}, {sockets() - before} sockets") from None

    def _left(self) -> list[str]:
        """Return what the server has of connections."""
        found = [name for gate in self._gates.values() for name in _HELD if getattr(gate, name)]
        found += ["open" for each in self._listeners.values() if each.open or each.waiting]
        return found + ["unanswered"] * self._server.unanswered

    # -- judging ---------------------------------------------------------------------------------------------

    def _judge(self, data: bytes, listener: Listener, answers: list[Answer]) -> None:
        """Judge all answers to `data`, in their order."""
        rest = data
        for answer in answers:
            if answer.status in (200, 201):
                self._counts["accepted"] += 1
                rest = self._accepted(rest, listener, answer)
            else:
                self._counts[f"status {answer.status}"] += 1
                self._refused(data, answer)
        if not answers or not answers[-1].ends:
            self._counts["closed"] += 1

    @staticmethod
    def _refused(data: bytes, answer: Answer) -> None:
        assert answer.status in (400, 404, 413, 500), answer
        assert answer.ends, answer
        without = not answer.content and b"HEAD " in data
        assert without or len(answer.content) == answer.length, (data, answer)
        assert without or json.loads(answer.content)["code"] == answer.status, answer

    def _accepted(self, data: bytes, listener: Listener, answer: Answer) -> bytes:
        """Judge a 2xx to the first request in `data`; return what follows that."""
        try:
            request, body, rest = _as_h11_reads(data)
        except h11.RemoteProtocolError as error:
            raise AssertionError(f"answered {answer!r} to {data!r}, which is malformed: {error}") from None
        without = not answer.content and request.method == b"HEAD"
        assert without or len(answer.content) == answer.length, (data, answer)
        headers = dict(request.headers)
        assert listener.hosts is None or headers[b"host"].partition(b":")[0].lower() == b"localhost", data
        assert answer.ends or b"connection" not in headers, data
        assert not OF_WEB_PAGES & headers.keys(), data
        if answer.status == 200:
            assert answer.ends, answer
            self._is_a_reading(listener, request, body)
            return rest
        assert listener.kind == "node", data
        assert request.method == b"POST", data
        assert request.target == SIGN or (request.target == b"/" and listener.peers is not None), data
        digest, key = json.loads(body)
        assert re.fullmatch("[0-9a-fA-F]{64}", digest), data
        assert PublicKey.parse(key) in self._world.block, data
        signature = Signature.parse(json.loads(answer.content))
        assert recover(Digest(bytes.fromhex(digest)), signature) == PublicKey.parse(key), data
        return rest

    @staticmethod
    def _is_a_reading(listener: Listener, request: h11.Request, body: bytes) -> None:
        if request.method == b"OPTIONS":
            return
        paths = {b"/v1/wallet/get_public_keys"}
        if listener.kind == "wallet":
            paths |= {b"/v1/wallet/list_wallets", b"/v1/node/get_supported_apis"}
        assert request.target in paths, request
        assert body.strip(b" \t\r\n") in (b"", b"{}"), (request, body)


def split(data: bytes) -> list[Answer]:
    """Return the answers in `data`, each of them well-formed; behind one that ends its connection nothing comes."""
    check_answer(data)
    found = []
    while data := data.removeprefix(_CONTINUE):
        match = _HEAD.match(data)
        assert match is not None, data
        headers = dict(line.split(b": ", 1) for line in match[2].split(b"\r\n") if line)
        ends = b"connection" in headers
        assert not ends or headers[b"connection"] == b"close", data
        length = int(headers[b"content-length"])
        content = data[match.end() :] if ends else data[match.end() :][:length]
        found.append(Answer(int(match[1]), length, content, ends))
        data = data[match.end() + len(content) :]
    return found


def sockets() -> int:
    """Return how many sockets this process has."""
    return sum(each.is_socket() for each in Path("/proc/self/fd").iterdir())


def _as_h11_reads(data: bytes) -> tuple[h11.Request, bytes, bytes]:
    """Return the first request in `data`, its body and what follows, as another parser understands it."""
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
    return request, body, parser.trailing_data[0]
