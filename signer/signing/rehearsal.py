"""Requests of our own that take the whole way of a signature, so that nothing on it is cold when nodeos asks.

A rehearsal is a sign_digest request with a probe key and a random digest, through a socket pair, the gate, the guard, a
lane, the verification and back. Only tokens marked `software` are asked: a real HSM has better things to do. Rehearsals
come close together just before the next request is due (signer.signing.pace), now and then otherwise, and never while a
request is in flight.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING, Final

from signer.signing.connection import Call, Listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.config import Config
    from signer.signing.keyring import Keyring, TokenRing
    from signer.signing.service import Service

#: A rehearsal is given this long, in ms: it must never be late, whatever the machine does.
TIMEOUT_MS: Final = 1_000
#: Rehearsals begin this long before a request is due and end this long after, in s. nodeos signs within a few ms of
#: the same point of each slot.
_LEAD_S: Final = 0.006
_SLACK_S: Final = 0.010
#: Where a K1 request is due, the first rehearsals are for K1: its arithmetic must be warm too. They end this long
#: before the request is due, in s: an operation under way takes half a millisecond, and the request would wait.
_K1_UNTIL_S: Final = 0.002
#: Between two rehearsals in that time, in s: the warmth of one is gone after two milliseconds.
_STEP_S: Final = 0.001
#: What nodeos sends (http_client.cpp:269-275), up to the length of the body.
_HEAD: Final = (
    b"POST /v1/wallet/sign_digest HTTP/1.1\r\nHost: rehearsal\r\nUser-Agent: Boost.Beast/330\r\n"
    b"Content-Type: application/json\r\nContent-Length: "
)


class Rehearsals:
    """Keeps the software tokens of a signing process warm.

    Args:
        config: for the pause between two rehearsals while nothing is due.
        keys: the keyring.
        service: asked whether a request is in flight.
        perform: serves a connection as if it had been accepted.
    """

    def __init__(
        self, config: Config, keys: Keyring, service: Service, perform: Callable[[socket.socket, Call], None]
    ) -> None:
        limits = config.limits
        self._listener = Listener(
            kind="node",
            node="",
            address="rehearsal",
            peers=None,
            max_connections=limits.max_connections,
            max_header_bytes=limits.max_header_bytes,
            max_body_bytes=limits.max_body_bytes,
            request_timeout_s=limits.request_timeout_ms / 1000,
        )
        self._idle_s = config.warmth.interval_ms / 1000
        self._keys = keys
        self._service = service
        self._perform = perform

    async def run(self) -> None:
        """Rehearse until cancelled."""
        rings = [ring for ring in self._keys.rings.values() if ring.software and self._keys.probe(ring)]
        while rings:
            now = time.monotonic()
            await asyncio.sleep(min(self._pause(ring, now) for ring in rings))
            now = time.monotonic()
            expected = [ring for ring in rings if self._is_due(ring, now)]
            idle = [ring for ring in rings if now - _warmed(ring) >= self._idle_s]
            for ring in expected or idle:
                due = ring.pace.due(now)
                early = due is not None and due - now > _K1_UNTIL_S
                if self._rehearse(ring, canonical=ring.canonical and early):
                    ring.rehearsed = now

    def _is_due(self, ring: TokenRing, now: float) -> bool:
        due = ring.pace.due(now - _SLACK_S)
        return due is not None and due - now <= _LEAD_S

    def _pause(self, ring: TokenRing, now: float) -> float:
        """Return how long nothing is to be done for `ring`, in s."""
        if self._is_due(ring, now):
            return _STEP_S
        idle = max(_STEP_S, _warmed(ring) + self._idle_s - now)
        due = ring.pace.due(now)
        return idle if due is None else min(idle, max(_STEP_S, due - _LEAD_S - now))

    def _rehearse(self, ring: TokenRing, *, canonical: bool) -> bool:
        """Begin one. Returns False where something else is under way, be it another token's: its turn comes after."""
        entry = self._keys.probe(ring, canonical=canonical)
        if entry is None or entry.state != "active":
            return True
        if self._service.in_flight or ring.race.busy:
            return False
        client, conn = socket.socketpair()
        with client:
            conn.setblocking(False)
            body = b'["%b","%b"]' % (os.urandom(32).hex().encode(), entry.name.encode())
            client.send(b"%b%d\r\n\r\n%b" % (_HEAD, len(body), body))
            call = Call(
                self._listener, "rehearsal", permitted=True, began_ns=time.monotonic_ns(), rehearsal=True
            )
            self._perform(conn, call)
        return True


def _warmed(ring: TokenRing) -> float:
    """Return when the token last did anything, in s of the monotonic clock."""
    return max(ring.rehearsed, ring.pace.last)
