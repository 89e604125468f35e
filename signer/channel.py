"""JSON messages and file descriptors between the supervisor and a process that it started.

A message is one JSON object in one or more SOCK_SEQPACKET packets: the first byte of each says whether more follow,
descriptors come with the last. Sending never blocks: what the kernel does not take now waits in memory, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Message = dict[str, Any]

#: Well below the kernel's default socket buffer (net.core.wmem_default, 212992 bytes).
_CHUNK = 48 * 1024
_MORE = b"+"
_LAST = b"."
#: No memory is left: read again after this long, in s.
_NO_MEMORY_S = 0.05
#: More descriptors than any message of ours carries (one for each listener).
_MAX_FDS = 253  # SCM_MAX_FD, linux/include/net/scm.h


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _packets(message: Message) -> list[bytes]:
    data = json.dumps(message, separators=(",", ":")).encode()
    chunks = [data[i : i + _CHUNK] for i in range(0, len(data), _CHUNK)]
    return [_MORE + chunk for chunk in chunks[:-1]] + [_LAST + chunks[-1]]


class Channel:
    """One end of a channel in an event loop.

    Args:
        sock: the end; it is made non-blocking.
        on_message: called with each message and its descriptors, which it owns from then on.
        on_closed: called once when the other side is gone.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[Message, list[int]], None],
        on_closed: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._on_message = on_message
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._unsent: deque[tuple[bytes, Sequence[int]]] = deque()
        self._partial: list[bytes] = []
        self._fds: list[int] = []
        self._open = True
        self._flushed: asyncio.Future[None] | None = None
        self._reading = True
        self._pausing = False
        self._loop.add_reader(sock.fileno(), self._readable)

    @property
    def unsent(self) -> int:
        """Packets that the kernel has not taken yet."""
        return len(self._unsent)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send `message` with `fds`. The descriptors are duplicated; the caller still owns its own.

        Raises:
            OSError: there is no descriptor left. Nothing was sent.
        """
        if not self._open:
            return
        packets = _packets(message)
        kept = _copies(fds)
        for packet in packets[:-1]:
            self._unsent.append((packet, ()))
        self._unsent.append((packets[-1], kept))
        if len(self._unsent) == len(packets):
            self._flush()

    async def flush(self) -> None:
        """Wait until the kernel has taken every packet, or the channel is closed."""
        while self._unsent and self._open:
            self._flushed = self._loop.create_future()
            await self._flushed

    async def quiet(self) -> None:
        """Read no more, from the end of a message on, and wait until all is sent. What comes waits in the kernel."""
        self._pausing = True
        if not self._partial:
            self._pause()
        while self._open and (self._reading or self._unsent):
            self._flushed = self._loop.create_future()
            await self._flushed

    def resume(self) -> None:
        """Read again."""
        self._pausing = False
        if not self._reading:
            self._reading = True
            self._watch()

    def fileno(self) -> int:
        """Return the descriptor of this end, -1 once it is closed."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close this end. The other side sees the end of the channel; on_closed is not called here."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._drop_unsent()
        self._wake()
        _close_all(self._fds)
        self._sock.close()

    def _flush(self) -> None:
        while self._unsent:
            packet, fds = self._unsent[0]
            try:
                if fds:
                    socket.send_fds(self._sock, [packet], list(fds))
                else:
                    self._sock.send(packet)
            except BlockingIOError:
                self._loop.add_writer(self._sock.fileno(), self._flush)
                return
            except OSError:
                # The other side has ended. What it had sent before is still to be read, and tells of its end.
                self._drop_unsent()
                break
            self._unsent.popleft()
            _close_all(fds)
        self._loop.remove_writer(self._sock.fileno())
        self._wake()

    def _drop_unsent(self) -> None:
        for _, fds in self._unsent:
            _close_all(fds)
        self._unsent.clear()

    def _wake(self) -> None:
        if self._flushed is not None and not self._flushed.done():
            self._flushed.set_result(None)

    def _readable(self) -> None:
        try:
            self._read()
        except ConnectionResetError:
            # The other side has ended and left something of ours unread. Linux says so once and first; what it had
            # sent is still here, and then its end (net/unix/af_unix.c, unix_release_sock). libuv watches no more.
            while self._open and self._reading:
                self._read()

    def _read(self) -> None:
        """Take one packet.

        Raises:
            ConnectionResetError: see above.
        """
        try:
            packet, fds = _packet(self._sock)
        except BlockingIOError:
            return
        except MemoryError:
            # The packet is still there. Called again at once, the loop would do nothing else, and log each time.
            self._loop.remove_reader(self._sock.fileno())
            self._loop.call_later(_NO_MEMORY_S, self._watch)
            return
        except ConnectionResetError:
            raise
        except OSError:
            self._lost()
            return
        self._fds.extend(fds)
        if not packet:
            self._lost()
            return
        self._partial.append(packet[1:])
        if packet[:1] == _MORE:
            return
        data, owned = b"".join(self._partial), self._fds
        self._partial, self._fds = [], []
        if self._pausing:
            self._pause()
        self._on_message(json.loads(data), owned)

    def _watch(self) -> None:
        if self._open and self._reading:
            self._loop.add_reader(self._sock.fileno(), self._readable)

    def _pause(self) -> None:
        self._reading = False
        self._loop.remove_reader(self._sock.fileno())
        self._wake()

    def _lost(self) -> None:
        self.close()
        self._on_closed()


def send_blocking(sock: socket.socket, message: Message) -> None:
    """Send a message where no event loop runs any more; one that nobody takes is dropped."""
    with contextlib.suppress(OSError):
        for packet in _packets(message):
            sock.send(packet)


def receive_blocking(sock: socket.socket) -> tuple[Message, list[int]]:
    """Read one message before an event loop runs.

    Raises:
        EOFError: the other side is gone.
    """
    partial: list[bytes] = []
    owned: list[int] = []
    while True:
        packet, fds = _packet(sock)
        owned.extend(fds)
        if not packet:
            _close_all(owned)
            raise EOFError("the supervisor closed the channel")
        partial.append(packet[1:])
        if packet[:1] == _LAST:
            return json.loads(b"".join(partial)), owned


def _packet(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Receive one packet, and the descriptors that came with it."""
    packet, fds, _, _ = socket.recv_fds(sock, _CHUNK + 1, _MAX_FDS)
    for fd in fds:
        # recv_fds does not hand its flags, as MSG_CMSG_CLOEXEC, to the kernel (python/cpython, Lib/socket.py).
        os.set_inheritable(fd, False)
    return packet, fds


def _copies(fds: Sequence[int]) -> list[int]:
    found: list[int] = []
    try:
        for fd in fds:
            found.append(os.dup(fd))  # noqa: PERF401 - those that there are have to be closed again
    except OSError:
        _close_all(found)
        raise
    return found


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
