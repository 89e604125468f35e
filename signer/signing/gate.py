"""A listening socket, and the short way through it for the one request that must be fast.

nodeos connects, sends one small sign_digest request in one piece and reads the answer. Such a request is read,
signed and answered right here: no transport, no task, no routing. Every Python function on the way costs most when
nothing ran for 450 ms, and that is how nodeos asks (tests/bench has both figures). Anything else, whole or in pieces,
well-formed or not, goes to uvicorn with the bytes that were read.

An answer ends its connection, but not in a storm of them: then the kernel takes ms to make one, and a nodeos that has
one already does not wait for that.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from signer.signing import fast_request
from signer.signing.allowance import Allowance
from signer.signing.connection import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from signer.signing.connection import Call, Connection, Listener
    from signer.signing.fast_request import FastRequest

log = logging.getLogger("signer.signing")

#: nodeos' request has about 350 bytes. What does not come in one read goes to uvicorn.
_READ = 4096
#: How the answer with a signature begins, and the header that ends its connection (signer.signing.app).
_SIGNED = b"HTTP/1.1 201"
_CLOSE = b"connection: close\r\n"
#: No descriptor is left: accept again after this long, in s.
_NO_DESCRIPTOR_S = 0.02
#: Requests that are refused, or that go to uvicorn, as every one to a wallet does: so many a listener may have at once,
#: and then in a second, before it is crowded. A nodeos whose key is refused asks some 20 times a second, cleos a few
#: times.
_IDLE_PER_S = 100
#: More connections than these within so many ns are a storm, until a second after the last of it: 2,000 a second cost
#: nodeos nothing yet (deploy/figures.md), but who asks in a closed loop waits for each of them. Counted by time and not
#: from request to request: nodeos is silent for minutes.
_COME = 50
_COME_NS = 100_000_000
_STORM_NS = 1_000_000_000
#: Connections that a listener keeps in a storm. nodeos has one, whatever the number of its keys.
_KEEP = 4
#: One that was idle for so long makes place for another, in ns: a round of the most producers that there can be is not
#: longer (eosio.system: max_producers is 125, of 12 blocks each).
_KEEP_IDLE_NS = 750_000_000_000
#: A storm is logged this often, in ns.
_SAY_AGAIN_NS = 60_000_000_000
#: A listener that is crowded or in a storm pauses between its turns, in s. uvloop counts whole ms: half of one would be
#: no pause at all, and a loop that turns without one keeps a lane, or nodeos, from a processor that they share.
_PAUSE_S = 0.001
#: In its turn it accepts whoever waits, so many at most and for half of so long, in ns: nodeos may be the last in the
#: kernel's queue, and a storm of connections that are gone already fills that. Then it reads requests until the time is
#: over, and the others in its next turn.
_TURN = 256
_TURN_NS = 1_000_000
#: Between two connections that are handed to uvicorn, in s: a burst of them is no crowd yet, and each may take 1 ms.
_NEXT_S = 0.002
#: The same on a crowded listener: with 2 ms, one signature in 80 failed under requests in a pipeline, with this one
#: none (deploy/figures.md).
_HAND_S = 1 / _IDLE_PER_S


class FastSigner(Protocol):
    """Signs a body and calls back with the whole HTTP answer."""

    def sign_fast(self, call: Call, body: bytes, answer: Callable[[bytes], None]) -> None:
        """Decide on `body`; call `answer` once with the bytes to send, now or later."""


class Gate:
    """Accepts on one listening socket.

    A listener that has many requests which lead to no signature (a storm of refused ones, of garbage) is crowded. Then
    it takes all connections that wait at once and pauses, and what is not a request as nodeos sends it waits in a queue
    for uvicorn. So the signing process keeps time for nodeos' requests, and the machine a processor for nodeos.

    In a storm of connections it keeps a few that got a signature. While one of these is idle, and not for longer than
    any round, it is never closed: nodeos would find that out with its next request, and lose it. The first answer
    after the storm ends it.

    Args:
        listener: whose connections these are.
        sock: non-blocking and listening.
        signer: takes the fast requests; None sends everything to uvicorn.
        slow: makes uvicorn's protocol for a call, given the bytes that were read.
        gates: all gates of this process, this one too once it is made.
    """

    def __init__(
        self,
        listener: Listener,
        sock: socket.socket,
        signer: FastSigner | None,
        slow: Callable[[Call, bytes], Connection],
        gates: Sequence[Gate] = (),
    ) -> None:
        self._listener = listener
        self._sock = sock
        self._signer = signer
        self._slow = slow
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unspoken: dict[int, tuple[socket.socket, asyncio.TimerHandle]] = {}
        self.answering = 0
        self._gates = gates
        self._ready: deque[tuple[socket.socket, Call]] = deque()
        self._pausing = False
        self._short = False  # of descriptors, a moment ago
        self._waited = False
        self._queue: deque[tuple[socket.socket, Call, bytes]] = deque()
        self._handing: asyncio.TimerHandle | None = None
        self._idle = Allowance(_IDLE_PER_S, self._loop.time())
        self._came = 0
        self._came_since_ns = 0
        self._stormed_ns = -_STORM_NS
        self._said_ns = -_SAY_AGAIN_NS
        self._leaving = False
        self._kept: dict[socket.socket, Call] = {}
        self._resting: set[socket.socket] = set()  # of these, the ones without a request in work
        self._closed = False
        self._open()

    @property
    def pending(self) -> int:
        """Connections that are accepted and not answered, outside uvicorn."""
        return len(self._unspoken) + len(self._ready) + self.answering + len(self._queue) + len(self._tasks)

    def _open(self) -> None:
        if not self._closed and not self._pausing and not self._short:
            self._loop.add_reader(self._sock.fileno(), self._acceptable)

    def close(self) -> None:
        """Stop accepting. What was accepted is still answered, and what waits in the kernel's queue by now.

        Of a storm only what a turn is enough for: the rest is the next generation's, or finds nobody.
        """
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._sock.fileno())
            end = time.monotonic_ns() + _TURN_NS
            while time.monotonic_ns() < end and (one := self._accept()) is not None:
                self._read(*one)

    async def wait_closed(self) -> None:
        """For uvicorn, which expects a server."""

    def rehearse(self, conn: socket.socket, call: Call) -> None:
        """Serve a connection of our own as if it had been accepted. It has been written to already."""
        self._read(conn, call)

    # -- one connection ------------------------------------------------------------------------------

    def _acceptable(self) -> None:
        """Take one request. The loop calls again while more wait, and other listeners have their turns between."""
        now = time.monotonic_ns()
        if self._is_crowded() or self._is_stormed(now):
            self._loop.remove_reader(self._sock.fileno())
            self._turn()
            return
        end = now + _TURN_NS
        while (one := self._accept()) is not None:
            if self._read(*one) or time.monotonic_ns() > end:
                return  # nodeos may be behind who is gone, or uvicorn's

    def _turn(self) -> None:
        """Accept all, then read: who has got an answer comes again at once, and waits for the next turn. Then pause."""
        self._pausing = True
        began = time.monotonic_ns()
        try:
            while (
                not self._closed
                and not self._short
                and len(self._ready) < _TURN
                and time.monotonic_ns() - began < _TURN_NS // 2
            ):
                one = self._accept()
                if one is None:
                    break
                self._ready.append(one)
            while self._ready and time.monotonic_ns() - began < _TURN_NS:
                self._read(*self._ready.popleft())
        finally:
            self._loop.call_later(_PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        """The pause is over."""
        if self._ready:
            self._turn()
        else:
            self._pausing = False
            self._open()

    def _look_again(self) -> None:
        """There may be descriptors again."""
        self._short = False
        self._open()

    def _is_crowded(self) -> bool:
        """Whether this listener has had its share of connections that lead to no signature."""
        return self._idle.is_used_up(self._loop.time())

    def _count_idle(self) -> None:
        """Count a connection that leads to no signature."""
        self._idle.take(1, self._loop.time())

    def _accept(self) -> tuple[socket.socket, Call] | None:
        """Take a connection, if one waits."""
        try:
            conn, address = self._sock.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE) and not self._closed:
                # The queue keeps who waits; asking again at once would only burn the processor.
                self._loop.remove_reader(self._sock.fileno())
                self._short = True
                self._loop.call_later(_NO_DESCRIPTOR_S, self._look_again)
                self._evict()
            return None  # or the client is gone, or another process was faster
        conn.setblocking(False)
        call = identify(self._listener, conn, address)
        call.began_ns = now = time.monotonic_ns()
        if now - self._came_since_ns > _COME_NS:
            self._came_since_ns, self._came = now, 0
        self._came += 1
        if self._came > _COME:
            self._note_storm(now)
        return conn, call

    def _read(self, conn: socket.socket, call: Call) -> bool:
        """Read what has come. Returns whether others have their turn now: not if it was nothing, or is uvicorn's."""
        try:
            data = conn.recv(_READ)
        except (BlockingIOError, InterruptedError):
            if conn in self._kept:
                self._rest(conn)  # woken for nothing
            else:
                self._wait(conn, call)
            return True
        except OSError:
            data = b""
        if not data:
            self._kept.pop(conn, None)
            conn.close()
            return False
        signer = self._signer
        short = len(data) < _READ and len(data) <= self._listener.max_header_bytes
        request = fast_request.parse(data) if signer is not None and short else None
        if signer is None or request is None or not self._is_ours(conn, request):
            self._kept.pop(conn, None)
            self._hand_to_uvicorn(conn, call, data)
            return False
        self.answering += 1
        signer.sign_fast(call, request.body, lambda answer: self._answer(conn, call, request, answer))
        return True

    def _is_ours(self, conn: socket.socket, request: FastRequest) -> bool:
        """Whether this listener signs for such a target and Host; uvicorn's way says why it does not."""
        if conn.family == socket.AF_UNIX:
            return True
        return not request.root and self._listener.serves_host(request.host)

    def _answer(self, conn: socket.socket, call: Call, request: FastRequest, answer: bytes) -> None:
        self.answering -= 1
        signed = answer.startswith(_SIGNED)
        keep = signed and self._may_keep(conn, call, request)
        if keep:
            answer = answer.replace(_CLOSE, b"", 1)
        try:
            # A fresh socket's buffer takes a few hundred bytes whole; a client that has left gets nothing.
            keep = conn.send(answer) == len(answer) and keep
        except OSError:
            keep = False
        if keep:
            self._keep(conn, call)
        else:
            self._kept.pop(conn, None)
            conn.close()
        if not signed or call.repeated:
            self._count_idle()

    # -- in a storm ----------------------------------------------------------------------------------

    def _is_stormed(self, now_ns: int) -> bool:
        """Whether there was a storm within the last second.

        Its connections are accepted by the dozen, with pauses: one by one they took more time than a real-time process
        may (hsm.realtime), and a usual one waited up to 4 ms behind the attacker (deploy/figures.md).
        """
        return now_ns - self._stormed_ns <= _STORM_NS

    def _note_storm(self, now_ns: int) -> None:
        self._stormed_ns = now_ns
        if now_ns - self._said_ns > _SAY_AGAIN_NS:
            self._said_ns = now_ns
            log.warning("storm of connections", extra={"listener": self._listener.address})

    def _may_keep(self, conn: socket.socket, call: Call, request: FastRequest) -> bool:
        """Whether a connection stays open after its signature."""
        if not self._is_stormed(call.began_ns) or self._leaving or call.rehearsal or request.ends:
            return False
        if conn in self._kept or len(self._kept) < _KEEP:
            return True
        for other in self._resting:
            if call.began_ns - self._kept[other].began_ns > _KEEP_IDLE_NS:
                self._release(other)
                other.close()
                return True
        return False

    def keep(self, conn: socket.socket) -> None:
        """Go on with a connection that the gate of another process kept on this listener."""
        conn.setblocking(False)
        try:
            address = conn.getpeername()
        except OSError:
            conn.close()  # the client is gone
            return
        if self._leaving or len(self._kept) >= 2 * _KEEP:  # its own, and another gate's
            conn.close()
            return
        call = identify(self._listener, conn, address)
        # There was a storm there, and this gate has just begun to count.
        call.began_ns = self._stormed_ns = time.monotonic_ns()
        self._keep(conn, call)

    def _keep(self, conn: socket.socket, call: Call) -> None:
        # So that a client whose machine died is gone some day.
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._kept[conn] = call
        self._rest(conn)

    def _rest(self, conn: socket.socket) -> None:
        """A kept connection has no request in work."""
        self._resting.add(conn)
        self._loop.add_reader(conn.fileno(), self._asks_again, conn)

    def _release(self, conn: socket.socket) -> None:
        self._loop.remove_reader(conn.fileno())
        self._resting.discard(conn)
        del self._kept[conn]

    def _asks_again(self, conn: socket.socket) -> None:
        """Read the next request of a connection. It has its place until the answer says that it ends."""
        self._loop.remove_reader(conn.fileno())
        self._resting.discard(conn)
        call = self._kept[conn]
        call.began_ns = time.monotonic_ns()
        self._read(conn, call)

    def leave(self) -> list[socket.socket]:
        """Keep nothing from now on. Returns what was kept and is idle, for the gate of another process."""
        self._leaving = True
        left = list(self._resting)
        for conn in left:
            self._release(conn)
        return left

    # -- the rest ------------------------------------------------------------------------------------

    def _wait(self, conn: socket.socket, call: Call) -> None:
        """The client has connected and not spoken yet. When the listener is full, the oldest of these makes place."""
        number = conn.fileno()
        timer = self._loop.call_later(self._listener.request_timeout_s, self._forget, number)
        self._unspoken[number] = (conn, timer)
        self._loop.add_reader(number, self._spoken, number, call)
        self._make_room()

    def _make_room(self) -> None:
        listener = self._listener
        if listener.open + len(self._unspoken) + len(self._queue) > listener.max_connections:
            self._evict()

    def _evict(self) -> None:
        """Let the connection go that has waited longest: for uvicorn if these are most, or without a whole request."""
        silent = len(self._listener.waiting) + len(self._unspoken)
        if len(self._queue) > silent:
            self._listener.evicted += 1
            self._queue.popleft()[0].close()
        elif self._listener.waiting:
            self._listener.evict_oldest()
        elif self._unspoken:
            self._listener.evicted += 1
            self._forget(next(iter(self._unspoken)))

    def _forget(self, number: int) -> None:
        conn, timer = self._unspoken.pop(number)
        timer.cancel()
        self._loop.remove_reader(number)
        conn.close()

    def _spoken(self, number: int, call: Call) -> None:
        conn, timer = self._unspoken.pop(number)
        timer.cancel()
        self._loop.remove_reader(number)
        call.began_ns = time.monotonic_ns()
        if self._pausing:
            self._ready.append((conn, call))
        else:
            self._read(conn, call)

    def _hand_to_uvicorn(self, conn: socket.socket, call: Call, data: bytes) -> None:
        self._count_idle()
        self._queue.append((conn, call, data))
        self._make_room()
        if self._handing is None:
            self._hand_next()

    def _hand_next(self) -> None:
        """Hand over the one that has waited longest; while a signature is in work, every other time."""
        self._handing = None
        if not self._queue:
            return
        self._waited = not self._waited and any(gate.answering for gate in self._gates)
        if not self._waited:
            self._hand(*self._queue.popleft())
        pause_s = _HAND_S if self._is_crowded() else _NEXT_S
        self._handing = self._loop.call_later(pause_s, self._hand_next)

    def give_up(self) -> None:
        """Close what has said nothing yet, or waits for uvicorn: the time in which it could be answered is over."""
        for number in list(self._unspoken):
            self._forget(number)
        while self._queue:
            self._queue.popleft()[0].close()

    def _hand(self, conn: socket.socket, call: Call, data: bytes) -> None:
        task = self._loop.create_task(self._connect(conn, call, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, conn: socket.socket, call: Call, data: bytes) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self._slow(call, data), conn)
        except OSError:
            conn.close()
