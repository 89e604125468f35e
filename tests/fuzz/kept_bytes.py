"""Bytes on connections that a listener keeps: each had a signature in a storm, and then anything comes on it.

All of it comes through the gate's own socket. nodeos has such a connection, too, and gets its signatures meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fuzz.http_bytes import PATIENCE_S, SIGN, HttpBytes, Piece, sockets, split

if TYPE_CHECKING:
    from signer.signing.connection import Listener
    from signer.signing.gate import Gate

#: Connections that a gate keeps.
_KEPT: Final = 4
#: Others than nodeos at a time; the last two of six find no place.
_OTHERS: Final = (1, 1, 1, 2, 5)
#: Requests that come on a connection after its first, at most.
_LATER: Final = (1, 1, 2, 4)
#: Longer than an input takes, in ns: so the storm goes on.
_AHEAD_NS: Final = 60_000_000_000
_LONG_AGO_NS: Final = -(10**12)


class _Plan(NamedTuple):
    """What one client sends after its first signature."""

    data: bytes
    pieces: list[Piece]
    closes: bool


class KeptBytes(HttpBytes):
    """A storm at a time: nodeos and some others, until all of them are gone."""

    def _open(self) -> dict[str, tuple[Listener, socket.socket]]:
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-")
        unix, tcp = self._world.listener("node"), self._world.listener("node")
        unix.peers = frozenset({os.getuid()})
        tcp.hosts = frozenset({"localhost"})
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(Path(self._folder.name) / "sock"))
        sock.listen()
        return {"unix": (unix, sock), "tcp": (tcp, socket.create_server(("127.0.0.1", 0)))}

    def _requests(self) -> list[bytes]:
        """Let the requests that a gate takes itself be most: only these go on."""
        found = super()._requests()
        return found + 3 * [each for each in found if b"Content-Length" in each]

    def one(self) -> None:
        """Make a storm and its clients, send their inputs, judge the answers."""
        random = self._random
        kind = random.choice(("unix", "unix", "unix", "tcp"))
        plans = [self._plan() for _ in range(random.choice(_OTHERS))]
        ends = random.random() < 0.1
        self._crowd()
        storm = self._storm(kind, plans, ends=ends)
        self._loop.run_until_complete(asyncio.wait_for(storm, 3 * PATIENCE_S))
        assert not self._failure, self._failure

    def _plan(self) -> _Plan:
        random = self._random
        inputs = [self._input(valid=0.3) for _ in range(random.choice(_LATER))]
        data = b"".join(inputs)
        pieces = self._paced(inputs) if random.random() < 0.5 else self._cut(data)
        return _Plan(data, pieces, closes=random.random() < 0.9)

    async def _storm(self, kind: str, plans: list[_Plan], *, ends: bool) -> None:
        """Let each client have a signature, then send its plan.

        Args:
            kind: the listener.
            plans: of all clients but nodeos.
            ends: after the first signatures the storm is over.
        """
        gate, before = self._gates[kind], sockets()
        clients = [await self._connect(kind) for _ in range(1 + len(plans))]
        kept = [await self._is_kept(client, kind) for client in clients]
        places = min(_KEPT, len(clients))
        assert kept == [True] * places + [False] * (len(clients) - places), kept
        if ends:
            gate._stormed_ns = _LONG_AGO_NS  # noqa: SLF001 - without its second
            self._counts["storm over"] += 1
        elif self._random.random() < 0.1:
            _wake(gate)
        nodeos, *others = clients
        async with asyncio.TaskGroup() as group:
            for client, plan in zip(others[: places - 1], plans, strict=False):
                group.create_task(self._go_on(client, kind, plan, ends=ends))
            still = await self._is_kept(nodeos, kind, storm=not ends)
        assert still is not ends
        if still:
            assert await self._is_kept(nodeos, kind)
        for client in clients:
            client.close()
        await self._end(before)

    async def _connect(self, kind: str) -> socket.socket:
        sock = socket.socket(self._sockets[kind].family)
        sock.setblocking(False)
        await self._loop.sock_connect(sock, self._sockets[kind].getsockname())
        return sock

    async def _is_kept(self, client: socket.socket, kind: str, *, storm: bool = True) -> bool:
        """Get a signature, as nodeos does; return whether the connection is kept. If it is not, it ends."""
        if storm:
            self._gates[kind]._note_storm(time.monotonic_ns() + _AHEAD_NS)  # noqa: SLF001 - only there it shows
        k1, r1 = self._world.block
        body = self._body(self._random.choice((k1, k1, k1, r1)))  # a K1 signature is judged sooner
        request = b"%bContent-Length: %d\r\n\r\n%b" % (self._head(SIGN), len(body), body)
        await self._loop.sock_sendall(client, request)
        data = b""
        async with asyncio.timeout(PATIENCE_S):
            while not (answers := split(data)) or len(answers[0].content) < answers[0].length:
                more = await self._loop.sock_recv(client, 65536)
                assert more, f"ended after {data!r}"
                data += more
            (answer,) = answers
            assert answer.status == 201, answer
            assert not self._accepted(request, self._listeners[kind], answer)
            if answer.ends:
                assert await self._loop.sock_recv(client, 1) == b"", "more than the last answer"
        return not answer.ends

    async def _go_on(self, client: socket.socket, kind: str, plan: _Plan, *, ends: bool) -> None:
        answers = await self._exchange(client, plan.pieces, closes=plan.closes)
        client.close()
        self._judge(plan.data, self._listeners[kind], answers)
        kept = sum(not answer.ends for answer in answers)
        assert not (kept and ends), "kept after the storm"
        self._counts["kept"] += kept
        self._counts["connections"] += 1


def _wake(gate: Gate) -> None:
    """As Linux does seldom: the connections that rest are woken, and nothing has come."""
    for conn in list(gate._resting):  # noqa: SLF001 - only there it shows
        gate._asks_again(conn)  # noqa: SLF001 - as above
