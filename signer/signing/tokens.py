"""The tokens of a process: their lanes as the supervisor hands them over, and their keys, checked before they sign."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

from hsm.race import Lane, Limits, Race
from signer import selection
from signer.signing import keyring
from signer.signing.keyring import Keyring, TokenRing

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.channel import Message
    from signer.config import Config

log = logging.getLogger("signer.tokens")

_SWEEP_S = 0.1


class Tokens:
    """Some tokens of the configuration.

    Args:
        names: which.
        send: sends a message to the supervisor.

    Attributes:
        keys: theirs.
    """

    def __init__(self, config: Config, names: list[str], send: Callable[[Message], None]) -> None:
        self._config = config
        self._send = send
        self._findings: dict[str, dict[int, list[str]]] = {}
        self._checking: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        limits = Limits(config.lanes.stuck_after_ms, config.lanes.hedge_after_ms)
        self.keys = Keyring([self._ring(name, limits) for name in names])

    def take(self, message: Message, fds: list[int]) -> bool:
        """Take a message of the supervisor and its descriptors if it is about tokens; return whether it was."""
        if message["type"] == "lane":
            self._add_lane(message, fds[0])
        elif message["type"] == "token":
            self.keys.token_state(message["token"], message["state"], message["reason"])
        elif message["type"] == "lock":
            self.keys.rings[message["token"]].race.lose_all("the token was locked")
        else:
            return False
        return True

    async def sweep(self) -> None:
        """Drop lanes that hang, until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now_ns = time.monotonic_ns()
            for ring in self.keys.rings.values():
                ring.race.sweep(now_ns)

    def close(self) -> None:
        """Let go of every lane."""
        for ring in self.keys.rings.values():
            ring.race.close()

    def status(self) -> dict[str, Any]:
        """Return what `signer status` shows of the tokens' lanes and keys."""
        return {
            "lanes": {
                name: [{"id": lane.id, "pid": lane.pid, "state": lane.state} for lane in ring.race.lanes]
                for name, ring in self.keys.rings.items()
            },
            "proved": {name: ring.proved_at for name, ring in self.keys.rings.items()},
            "keys": [
                {
                    "public_key": entry.name,
                    "legacy_public_key": entry.public_key.legacy,
                    "curve": entry.public_key.curve.value,
                    "role": entry.role,
                    "node": entry.node or None,
                    "token": entry.token,
                    "label": entry.label,
                    "state": entry.state,
                    "reason": entry.reason,
                    "signatures": entry.signatures,
                    "last_signature_at": entry.last_signature_at,
                }
                for entry in self.keys.entries
            ],
        }

    # -- inside --------------------------------------------------------------------------------------

    def _ring(self, token: str, limits: Limits) -> TokenRing:
        keys = [
            keyring.build(
                key.public_key, role=key.role, node=key.node or "", token=token, label=key.label, index=index
            )
            for index, key in enumerate(selection.keys_of_token(self._config, token))
        ]
        race = Race(limits, lambda lane, reason: self._lane_lost(token, lane, reason))
        probes = [entry for entry in keys if entry.role == "probe"]
        return TokenRing(token, self._config.tokens[token].software, race, keys, probes)

    def _add_lane(self, message: Message, fd: int) -> None:
        ring = self.keys.rings[message["token"]]
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        first = not ring.race.lanes
        ring.race.add(Lane(message["lane"], message["pid"], sock))
        self._findings[ring.name] = {int(index): found for index, found in message["findings"].items()}
        if (first or _unchecked(ring)) and ring.name not in self._checking:
            self._checking.add(ring.name)
            task = asyncio.create_task(self._check(ring))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _check(self, ring: TokenRing) -> None:
        """Check the token's keys, again if its lanes went away and came back meanwhile."""
        try:
            await self._check_once(ring.name)
            while ring.race.lanes and _unchecked(ring):
                await self._check_once(ring.name)
        finally:
            self._checking.discard(ring.name)

    async def _check_once(self, token: str) -> None:
        await self.keys.token_back(token, self._findings[token])
        keys = self.keys.rings[token].keys
        for entry in keys:
            if entry.state == "quarantined":
                log.error(
                    "key quarantined", extra={"key": entry.name, "token": token, "reason": entry.reason}
                )
        states = {entry.name: entry.state for entry in keys}
        reasons = {entry.name: entry.reason for entry in keys}
        self._send({"type": "checked", "token": token, "states": states, "reasons": reasons})

    def _lane_lost(self, token: str, lane: Lane, reason: str) -> None:
        log.warning("lane lost", extra={"token": token, "lane": lane.id, "reason": reason})
        self._send({"type": "lane-lost", "token": token, "lane": lane.id, "reason": reason})
        if not self.keys.rings[token].race.lanes:
            self.keys.token_lost(token, f"token {token} has no open session: {reason}")


def _unchecked(ring: TokenRing) -> bool:
    return any(entry.state == "unavailable" for entry in ring.keys)
