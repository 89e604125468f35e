"""Proof now and then that each token still signs, where nothing else has proved it lately.

A signature for a node proves it, and so does a rehearsal; a hardware token has neither while its node does not produce.
So a token with a probe key signs a random digest with it every EVERY_S, verified and thrown away, and health is the age
of the last proof: nobody who asks for it makes the token work. No block key is used, and a proof waits while a request
is in flight or expected. A token without a probe key is not proved here: its own requests have to do.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from signer.signing.keyring import Keyring, TokenRing
    from signer.signing.service import Service

#: A token is proved this often, in s: several times in the 126 s between two rounds of a producer of 21, so that a dead
#: token is known before its next one.
EVERY_S: Final = 20.0
_LOOK_S: Final = 1.0
#: No proof begins when a request is due in less than this, in s: more than a slow token takes for one operation.
_CLEAR_S: Final = 0.2


class Proofs:
    """Proves the tokens of a signing process.

    Args:
        keys: the keyring.
        service: asked whether a request is in flight.
    """

    def __init__(self, keys: Keyring, service: Service) -> None:
        self._keys = keys
        self._service = service
        self._running: dict[str, asyncio.Task[object]] = {}

    async def run(self) -> None:
        """Prove until cancelled. Tokens do not wait for each other: one of them may hang."""
        try:
            while True:
                await asyncio.sleep(_LOOK_S)
                self.look()
        finally:
            for task in self._running.values():
                task.cancel()

    def look(self) -> None:
        """Begin the proofs that are due now."""
        for ring in self._keys.rings.values():
            self._look_at(ring)

    def _look_at(self, ring: TokenRing) -> None:
        running = self._running.get(ring.name)
        if running is not None and not running.done():
            return
        entry = self._keys.probe(ring)
        last = ring.proved_at
        if entry is None or entry.state != "active" or (last is not None and time.time() - last < EVERY_S):
            return
        now = time.monotonic()
        due = ring.pace.due(now)
        if self._service.in_flight or ring.race.busy or (due is not None and due - now < _CLEAR_S):
            return
        self._running[ring.name] = asyncio.create_task(self._keys.prove(entry))
