"""A client that asks as nodeos does, and measures. Run as `python -m bench.client`: plan on stdin, samples on stdout.

One connection for each side, used again only if the answer keeps it alive (http_client.cpp:286-331), otherwise a new
one, whose making is part of the measured time. Unlike nodeos it waits 5 s, so that slow answers are measured too.

It imports nothing but the standard library, collects no garbage while it measures, and does everything in one thread:
nothing of it runs while it waits for an answer.
"""

from __future__ import annotations

import gc
import json
import os
import re
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["closed", "steady", "rounds"]

#: s. Long, so that what nodeos would give up is still measured.
_TIMEOUT_S = 5
#: struct timeval, for SO_RCVTIMEO and SO_SNDTIMEO (socket(7)).
_TIMEVAL = struct.pack("@ll", _TIMEOUT_S, 0)
_CREATED = b"201"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
#: Failures that are kept in words.
_MAX_REASONS = 5
_SAY_EVERY_S = 10.0


@dataclass(frozen=True)
class Side:
    """Whom to ask, for which key.

    Attributes:
        name: for reports.
        unix: path of a unix socket, or empty.
        port: of 127.0.0.1, if `unix` is empty.
        target: the request's path.
        key: the public key as nodeos sends it: `EOS...` or `PUB_R1_...`.
    """

    name: str
    unix: str
    port: int
    target: str
    key: str

    @property
    def address(self) -> str | tuple[str, int]:
        """What `socket.connect` takes."""
        return self.unix or ("127.0.0.1", self.port)

    def socket(self) -> socket.socket:
        """Return a socket that is not connected. The kernel keeps its time: Python would poll before each call."""
        new = socket.socket(socket.AF_UNIX if self.unix else socket.AF_INET)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            new.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL)
        return new

    def request(self) -> bytes:
        """Return a request for a random digest, with the headers of nodeos (http_client.cpp:260-283)."""
        body = json.dumps([os.urandom(32).hex(), self.key], separators=(",", ":"))
        host = self.unix or f"127.0.0.1:{self.port}"
        head = (
            f"POST {self.target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Boost.Beast/330\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return (head + body).encode()


@dataclass(frozen=True)
class Mode:
    """When to ask.

    Attributes:
        kind: `closed`: `count` for each side, in batches of `batch`, side after side. `steady`: one each `period_ms`,
            the sides spread evenly over the period. `rounds`: `count` times `silence_s` of silence and then
            `batch` as in steady; the side that begins a round changes from round to round.
    """

    kind: Kind
    count: int
    batch: int = 50
    period_ms: float = 450.0
    silence_s: float = 20.0


@dataclass
class Samples:
    """What one side showed, in the order of asking.

    Attributes:
        ns: time from before the connection, if one had to be made, to the whole answer; ns. Failures are in it.
        failed: indexes into `ns` of requests that got no signature.
        firsts: indexes into `ns` of the first request of each round.
        fresh: requests that had to connect.
        reasons: some of the failures, in words.
        delayed: requests that began late, because an answer before took so long.
    """

    ns: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    fresh: int = 0
    reasons: list[str] = field(default_factory=list)
    delayed: int = 0

    def fail(self, reason: str) -> None:
        """Note that the latest request got no signature."""
        self.failed.append(len(self.ns))
        if len(self.reasons) < _MAX_REASONS:
            self.reasons.append(reason)


class Asker:
    """One side's connection and samples."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.samples = Samples()
        self._address = side.address
        self._socket = side.socket()
        self._connected = False

    def ask(self, request: bytes) -> None:
        """Ask once and take the time."""
        samples = self.samples
        samples.fresh += not self._connected
        began = time.perf_counter_ns()
        try:
            if not self._connected:
                self._socket.connect(self._address)
                self._connected = True
            self._socket.sendall(request)
            head, body = _receive(self._socket)
            ended = time.perf_counter_ns()
        except BlockingIOError:
            ended = time.perf_counter_ns()
            samples.fail(f"no answer within {_TIMEOUT_S} s")
            self._renew()
        except OSError as error:
            ended = time.perf_counter_ns()
            samples.fail(f"{type(error).__name__}: {error}")
            self._renew()
        else:
            if head[9:12] != _CREATED or not body.startswith(b'"SIG_'):
                samples.fail(f"{head[9:12].decode()} {body[:400].decode(errors='replace')}")
            if _CLOSE.search(head):
                self._renew()
        samples.ns.append(ended - began)

    def _renew(self) -> None:
        """Drop the connection, and have the next socket at hand: to make it is Python's time, not nodeos'."""
        self._socket.close()
        self._socket = self.side.socket()
        self._connected = False

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()


def _receive(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return head and body of an answer with Content-Length.

    Raises:
        OSError: the connection ended before, or there is no length.
    """
    data = b""
    while (end := data.find(_HEAD_END)) < 0:
        data += _some(connection)
    found = _LENGTH.search(data, 0, end + 2)
    if found is None:
        raise OSError("an answer without Content-Length")
    whole = end + len(_HEAD_END) + int(found[1])
    while len(data) < whole:
        data += _some(connection)
    return data[: end + 2], data[end + len(_HEAD_END) : whole]


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("end of stream")
    return data


class Clock:
    """Absolute deadlines; after an answer that took too long they all move, so that no burst follows."""

    def __init__(self, tolerance_s: float) -> None:
        self._shift = time.perf_counter()
        self._tolerance_s = tolerance_s

    def wait(self, due_s: float) -> bool:
        """Sleep until `due_s` after the start. Returns whether that was missed by more than the tolerance."""
        left = self._shift + due_s - time.perf_counter()
        if left > 0:
            time.sleep(left)
            return False
        if left < -self._tolerance_s:
            self._shift -= left
            return True
        return False


def measure(sides: list[Side], mode: Mode) -> list[Samples]:
    """Ask all sides as `mode` says; return their samples in the order of `sides`."""
    askers = [Asker(side) for side in sides]
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        if mode.kind == "closed":
            _closed(askers, mode)
        elif mode.kind == "steady":
            _paced(askers, mode, mode.count, _Progress(mode.count))
        else:
            progress = _Progress(mode.count * mode.batch)
            for number in range(mode.count):
                for asker in askers:
                    asker.samples.firsts.append(len(asker.samples.ns))
                time.sleep(mode.silence_s)
                turn = number % len(askers)
                _paced(askers[turn:] + askers[:turn], mode, mode.batch, progress)
    finally:
        gc.enable()
        gc.unfreeze()
        for asker in askers:
            asker.close()
    return [asker.samples for asker in askers]


def _closed(askers: list[Asker], mode: Mode) -> None:
    progress = _Progress(mode.count)
    for begin in range(0, mode.count, mode.batch):
        size = min(mode.batch, mode.count - begin)
        for asker in askers:
            requests = [asker.side.request() for _ in range(size)]
            for request in requests:
                asker.ask(request)
        progress.add(size)


def _paced(askers: list[Asker], mode: Mode, count: int, progress: _Progress) -> None:
    period_s = mode.period_ms / 1000
    offset_s = period_s / len(askers)
    clock = Clock(offset_s / 2)
    for number in range(count):
        for place, asker in enumerate(askers):
            request = asker.side.request()
            asker.samples.delayed += clock.wait(number * period_s + place * offset_s)
            asker.ask(request)
        progress.add(1)


class _Progress:
    """Says on stderr how far it is; seldom, and between requests only."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._next = time.monotonic() + _SAY_EVERY_S

    def add(self, count: int) -> None:
        """Count requests of each side."""
        self._done += count
        if time.monotonic() > self._next:
            print(f"  {self._done} of {self._total}", file=sys.stderr, flush=True)
            self._next = time.monotonic() + _SAY_EVERY_S


def main() -> None:
    """Read `{"sides": [...], "mode": {...}}`, measure, write the samples as JSON."""
    plan: dict[str, Any] = json.load(sys.stdin)
    samples = measure([Side(**side) for side in plan["sides"]], Mode(**plan["mode"]))
    json.dump([asdict(each) for each in samples], sys.stdout)


if __name__ == "__main__":
    main()
