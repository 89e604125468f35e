"""One connection of a listener: who calls, through which listener, and the bounds in time and bytes.

uvicorn's protocol does the HTTP. Added here, because uvicorn has no place for it:
- each request carries the listener it came in through, the caller and the instant at which it began;
- a connection that has not delivered a whole request in time, or not read its answer, is closed; headers and bodies
  are bounded;
- each listener has room of its own: when it is full, the connection that has waited longest without a whole request
  makes place, so idle connections cannot lock nodeos out.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import struct
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from signer.host import host_name
from signer.selection import peer_uids
from signer.signing import envelope

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from signer.config import Limits, TcpAddress
    from signer.config import Listener as ListenerSettings

log = logging.getLogger("signer.signing")

#: struct ucred of SO_PEERCRED (unix(7)): pid, uid, gid.
_UCRED = struct.Struct("3i")
#: The parser gets so many bytes at a time.
_PIECE = 4096
#: Headers of a request, and pieces of its body: nodeos has 5 and 1.
_MAX_PIECES = 100
#: Malformed requests of a listener are logged this often, in s.
_SAY_AGAIN_S = 60.0
#: `: ` and the line's end.
_HEADER_EXTRA = 4
#: What follows a refused request is read and thrown away in pieces (of 256 kB at most, uvloop), one in so many s from
#: all connections of a listener together: a client that sends 10 MB may read why they were refused, and one that sends
#: them without end takes no time from a signature.
_DISCARD_S = 0.02


@dataclass(eq=False, slots=True)
class Listener:
    """A listening socket as the signing process knows it.

    Attributes:
        kind: `node` or `wallet`.
        node: the node it belongs to; empty for a wallet listener.
        address: for logs: `unix:/path` or `tcp:127.0.0.1:8900`.
        peers: uids that may call a unix socket; None on TCP.
        hosts: names that a Host header may have on TCP, without a port; None where any may stand (unix), empty where
            any IP literal may (a socket on all addresses).
        allow_stop: whether the signer may be stopped through a wallet listener.
        malformed: requests that were refused as no HTTP, or too long; those that a log line said; and the instant
            (s of the event loop's clock) before which no other line is written.
        waiting: connections that have no request in work: not delivered yet, or answered; oldest first.
        discarding: connections that were refused and still send.
    """

    kind: str
    node: str
    address: str
    peers: frozenset[int] | None
    max_connections: int
    max_header_bytes: int
    max_body_bytes: int
    request_timeout_s: float
    hosts: frozenset[str] | None = None
    allow_stop: bool = False
    open: int = 0
    evicted: int = 0
    malformed: int = 0
    malformed_said: int = 0
    malformed_silent_until: float = 0.0
    discarding: int = 0
    waiting: OrderedDict[Connection, None] = field(default_factory=OrderedDict)

    @classmethod
    def of(cls, settings: ListenerSettings, limits: Limits) -> Listener:
        """Return the listener that the configuration describes."""
        return cls(
            kind=settings.kind,
            node=settings.node or "",
            address=settings.address,
            peers=peer_uids(settings),
            max_connections=limits.max_connections,
            max_header_bytes=limits.max_header_bytes,
            max_body_bytes=limits.max_body_bytes,
            request_timeout_s=limits.request_timeout_ms / 1000,
            hosts=_hosts(settings.tcp),
            allow_stop=settings.allow_stop,
        )

    @property
    def one_request(self) -> bool:
        """Whether a connection ends with its first answer (signer.signing.app says so in each)."""
        return self.kind in ("node", "wallet")

    def evict_oldest(self) -> None:
        """Close the connection that has waited longest. It leaves the list at once: the next one evicts another."""
        oldest, _ = self.waiting.popitem(last=False)
        self.evicted += 1
        oldest.transport.abort()

    def note_malformed(self, caller: str, reason: str, now_s: float) -> None:
        """Count what was no request, and say so once a minute: a storm of it must not fill the disk."""
        self.malformed += 1
        if now_s < self.malformed_silent_until:
            return
        self.malformed_silent_until = now_s + _SAY_AGAIN_S
        unsaid, self.malformed_said = self.malformed - self.malformed_said, self.malformed
        fields = {"listener": self.address, "caller": caller, "reason": reason, "count": unsaid}
        log.warning("malformed request refused", extra=fields)

    def serves_host(self, host: str) -> bool:
        """Return whether a request may name `host`. keosd: common.hpp:189-205; it stops a page that rebinds DNS."""
        if self.hosts is None:
            return True
        name = host_name(host)
        if self.hosts:
            return name in self.hosts
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


@dataclass(eq=False, slots=True)
class Call:
    """What a request knows of its connection.

    Attributes:
        caller: `uid 1000 pid 4242` or `127.0.0.1:51312`.
        permitted: whether the peer's uid may use this listener. Always true on TCP.
        began_ns: CLOCK_MONOTONIC in ns of the request's first byte here.
        from_page: the request came from a web page.
        repeated: its last answer was a signature that had been given before.
        rehearsal: a request of our own that keeps the way of a signature warm. It may sign with probe keys and
            nothing else, and is neither counted nor recorded. No connection from outside ever has it.
    """

    listener: Listener
    caller: str
    permitted: bool
    began_ns: int = 0
    from_page: bool = False
    repeated: bool = False
    rehearsal: bool = False


def _hosts(tcp: TcpAddress | None) -> frozenset[str] | None:
    if tcp is None:
        return None
    if tcp.unspecified:
        return frozenset()
    return frozenset({tcp.host, "localhost"}) if tcp.loopback else frozenset({tcp.host})


def identify(listener: Listener, sock: socket.socket, address: object) -> Call:
    """Return the call of a connection just accepted: by the peer's uid on unix, by its address on TCP."""
    if sock.family == socket.AF_UNIX:
        pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return Call(listener, f"uid {uid} pid {pid}", listener.peers is None or uid in listener.peers)
    host, port = cast("tuple[str, int]", address)[:2]
    return Call(listener, f"{host}:{port}", permitted=True)


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the bounds above."""

    listeners: dict[Any, Listener]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._call: Call | None = None
        self._read_already = b""
        self._unread = 0
        self._body = self._pieces = self._head = 0
        self._refused = False
        self._deadline: asyncio.TimerHandle | None = None
        self._unread_answer: asyncio.TimerHandle | None = None

    def adopt(self, call: Call, data: bytes) -> None:
        """Before the connection is made: whose it is, and what was read of it already."""
        self._call = call
        self._read_already = data

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Find the listener and the caller, and make place."""
        super().connection_made(transport)
        if self._call is None:
            self._call = self._find_call(transport)
        listener = self._call.listener
        listener.open += 1
        listener.waiting[self] = None
        if listener.open > listener.max_connections:
            listener.evict_oldest()
            if transport.is_closing():
                return  # every other one has a request in work
        self._await_request()
        if self._read_already:
            data, self._read_already = self._read_already, b""
            began_ns = self._call.began_ns
            self.data_received(data)
            self._call.began_ns = began_ns  # it began when the gate read it

    def _find_call(self, transport: asyncio.Transport) -> Call:
        sock = transport.get_extra_info("socket")
        return identify(self.listeners[sock.getsockname()], sock, self.client)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        if self._call is not None:
            self._call.listener.open -= 1
            self._call.listener.discarding -= self._refused
            self._call.listener.waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        assert self._call is not None  # noqa: S101 - set when the connection was made
        self._unread = 0
        self._deadline = self.loop.call_later(self._call.listener.request_timeout_s, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Count what has come of the request before it is parsed."""
        call = self._call
        assert call is not None  # noqa: S101 - set when the connection was made
        if self._refused:
            if not self.transport.is_closing():
                self.transport.pause_reading()
                self.loop.call_later(_DISCARD_S * call.listener.discarding, self._read_on)
            return
        if self._is_answered_last():
            return
        if not self._unread:
            call.began_ns = time.monotonic_ns()
        self._unread += len(data)
        if self._unread > call.listener.max_header_bytes + call.listener.max_body_bytes:
            self.refuse_size("the request")
            return
        # In small pieces, so that a request made of a thousand headers or chunks is refused before it is parsed whole.
        for i in range(0, len(data), _PIECE):
            if self._refused or self.transport.is_closing() or self._is_answered_last():
                return
            super().data_received(data[i : i + _PIECE])

    def _is_answered_last(self) -> bool:
        """Whether a request is whole, and its answer ends the connection: what follows is not looked at."""
        return self._deadline is None and cast("Call", self._call).listener.one_request

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for it, uvicorn never needs it
        """Keep the way back open for a request in work: a client may close its own side after it has asked."""
        return self._deadline is None and not self._refused

    def on_message_begin(self) -> None:
        """Attach the call to the request's scope."""
        super().on_message_begin()
        self._body = self._pieces = self._head = 0
        self.scope["extensions"] = {"signer": cast("Any", self._call)}

    def on_url(self, url: bytes) -> None:
        """Count the target as part of the header."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header as it stands on the wire."""
        self._count(len(name) + len(value) + _HEADER_EXTRA)
        if name.lower() == b"transfer-encoding" and value.strip().lower() != b"chunked":
            self._answer(envelope.INVALID_REQUEST, "no transfer coding but chunked is understood here")
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        call = self._call
        assert call is not None  # noqa: S101 - set when the connection was made
        self._head += size
        self._pieces += 1
        if self._head > call.listener.max_header_bytes or self._pieces > _MAX_PIECES:
            self.refuse_size("the header")

    def on_headers_complete(self) -> None:
        """Keep the target as it was sent."""
        if self.parser.get_http_version() not in ("1.0", "1.1") or self.parser.should_upgrade():
            # The parser takes what follows an upgrade for another protocol, and reads no body.
            self._answer(envelope.INVALID_REQUEST, "HTTP/1.1 is spoken here, and nothing else")
        if self._refused:
            return
        self._pieces = 0
        # keosd matches the whole target as it was sent (beast_http_session.hpp:159-162); uvicorn decodes and splits it.
        cast("Any", self.scope["extensions"])["target"] = self.url
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Refuse a body that is too long."""
        if self._refused or self.transport.is_closing():
            return
        call = self._call
        assert call is not None  # noqa: S101 - set when the connection was made
        self._body += len(body)  # what the application has taken already counts too
        self._pieces += 1
        if self._body > call.listener.max_body_bytes or self._pieces > _MAX_PIECES:
            self.refuse_size("the body")
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole: it may wait for its answer as long as that takes."""
        if self._refused or self.transport.is_closing():
            return
        call = self._call
        assert call is not None  # noqa: S101 - set when the connection was made
        call.listener.waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A connection that stays open waits for its next request, one that closes for its client to read the answer.

        Either may make place for another, and neither waits for ever.
        """
        super().on_response_complete()
        if self in self.connections and self._call is not None:
            self._call.listener.waiting[self] = None
            self._await_request()

    def pause_writing(self) -> None:
        """Give a client that does not read its answer as long as one that does not send its request."""
        super().pause_writing()
        if self._call is not None and self._unread_answer is None:
            timeout_s = self._call.listener.request_timeout_s
            self._unread_answer = self.loop.call_later(timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads."""
        super().resume_writing()
        self._stop_waiting_for_reader()

    def _stop_waiting_for_reader(self) -> None:
        if self._unread_answer is not None:
            self._unread_answer.cancel()
            self._unread_answer = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP with keosd's envelope."""
        self._answer(envelope.INVALID_REQUEST, msg)

    def refuse_size(self, what: str) -> None:
        """Answer a request that is too long and close."""
        assert self._call is not None  # noqa: S101 - set when the connection was made
        listener = self._call.listener
        limit = f"{listener.max_header_bytes} bytes of header, {listener.max_body_bytes} bytes of body"
        self._answer(envelope.TOO_LARGE, f"{what} is longer than this listener takes: {limit}")

    def _answer(self, fault: envelope.Fault, message: str) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        assert self._call is not None  # noqa: S101 - set when the connection was made
        self._call.listener.discarding += 1
        if self._deadline is None:
            return  # it came after a whole request, whose answer ends the connection
        self._call.listener.note_malformed(self._call.caller, message, self.loop.time())
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            # The application has the head already. It hears that the client is gone, and nobody hears it any more.
            cycle.disconnected = True
            cycle.waiting_for_100_continue = False
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        self.transport.write(self._refusal(fault, message))
        # Closing would reset the connection over what the client still sends, and lose the answer. What comes is
        # thrown away until the client closes, or its time is up. TLS has no way to close one side only.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _refusal(self, fault: envelope.Fault, message: str) -> bytes:
        """Return the answer to what never reaches the application."""
        content = envelope.body(fault, message)
        head = (
            f"HTTP/1.1 {fault.status} {envelope.phrase(fault.status)}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
        )
        return head.encode() + content
