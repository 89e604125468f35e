"""The signing process: started by the supervisor, it does nothing but sign.

It knows no PIN, no chain, no database. What it needs comes over its channel: the configuration and the listening
sockets first, then lanes (sockets of processes with a logged-in session). It ends when the channel ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import uvloop

from hsm.race import Lane, Limits, Race
from signer import channel as channels
from signer import inheritance, selection
from signer.signing import keyring, rehearsal, server
from signer.signing.app import App
from signer.signing.connection import Listener
from signer.signing.freeze import FreezeMarkers
from signer.signing.guard import Guard
from signer.signing.keyring import Keyring, TokenRing
from signer.signing.refusals import Refusals
from signer.signing.rehearsal import Rehearsals
from signer.signing.service import NodeTerms, Service

if TYPE_CHECKING:
    from signer.channel import Message
    from signer.config import Config
    from signer.signing.service import Decision

log = logging.getLogger("signer.signing")

_SWEEP_S = 0.1
#: The supervisor is given this long to take the last decisions, in s.
_FLUSH_S = 5.0
#: Decisions wait this long for company on their way to the audit log, in s: nothing of it runs while nodeos waits. If
#: this process is killed, what waits is lost.
_RECORD_S = 0.010
_RECORD_AT_ONCE = 100


class SigningProcess:
    """Everything of this process, tied together."""

    def __init__(self, config: Config, sockets: list[socket.socket], sock: socket.socket) -> None:
        self._config = config
        self._sockets = sockets
        self._channel = channels.Channel(sock, self._on_message, self._end)
        self._listen = asyncio.Event()
        self._ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._decisions: list[Decision] = []
        self._refusals = Refusals()
        self._findings: dict[str, dict[int, list[str]]] = {}
        self._checking: set[str] = set()
        limits = Limits(config.lanes.stuck_after_ms, config.lanes.hedge_after_ms)
        self._keys = Keyring([self._ring(name, limits) for name in selection.block_tokens(config)])
        markers = FreezeMarkers(config.freeze_dir)
        guard = Guard(markers)
        terms = {name: NodeTerms(node.timeout_ms, node.margin_ms) for name, node in config.nodes.items()}
        terms[""] = NodeTerms(rehearsal.TIMEOUT_MS, 0)  # probe keys belong to no node
        self._service = Service(self._keys, guard, terms, self._record)
        self._server = server.build_gates(App(self._service), self._listeners())
        self._rehearsals = Rehearsals(config, self._keys, self._service, self._server.rehearse)

    # -- parts ---------------------------------------------------------------------------------------

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

    def _listeners(self) -> list[Listener]:
        limits = self._config.limits
        return [Listener.of(listener, limits) for listener in selection.signing_listeners(self._config)]

    # -- life ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the supervisor says drain or goes away."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is for the supervisor
        self._channel.send({"type": "up"})
        gc.collect()
        gc.freeze()  # what lives as long as the process is never walked again in the middle of a request
        gc.set_threshold(50_000, 20, 50)
        background = [asyncio.create_task(self._sweep())]
        if self._config.warmth.enabled:
            background.append(asyncio.create_task(self._rehearsals.run()))
        waiter = asyncio.create_task(self._listen.wait())
        ender = asyncio.create_task(self._ended.wait())
        await asyncio.wait({waiter, ender}, return_when=asyncio.FIRST_COMPLETED)
        if self._listen.is_set() and not self._ended.is_set():
            self._channel.send({"type": "listening"})
            await self._server.serve(sockets=self._sockets)
        for task in (*background, waiter, ender):
            task.cancel()
        for ring in self._keys.rings.values():
            ring.race.close()
        self._send_decisions()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._channel.flush(), _FLUSH_S)
        self._channel.close()

    def _end(self) -> None:
        self._ended.set()
        self._server.should_exit = True

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now_ns = time.monotonic_ns()
            for ring in self._keys.rings.values():
                ring.race.sweep(now_ns)

    # -- the supervisor ------------------------------------------------------------------------------

    def _on_message(self, message: Message, fds: list[int]) -> None:
        kind = message["type"]
        if kind == "lane":
            self._add_lane(message, fds[0])
        elif kind == "listen":
            self._listen.set()
        elif kind == "drain":
            self._end()
        elif kind == "status":
            self._channel.send({"type": "status", "id": message["id"], "status": self.status()})
        elif kind == "ping":
            self._channel.send({"type": "pong", "id": message["id"]})
        elif kind == "token":
            self._keys.token_state(message["token"], message["state"], message["reason"])
        elif kind == "freeze":
            # The marker is on disk already; the answer leaves after whatever was being written has left.
            loop = asyncio.get_running_loop()
            loop.call_later(0.001, self._channel.send, {"type": "frozen", "id": message["id"]})

    def _add_lane(self, message: Message, fd: int) -> None:
        ring = self._keys.rings[message["token"]]
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
        await self._keys.token_back(token, self._findings[token])
        keys = self._keys.rings[token].keys
        for entry in keys:
            if entry.state == "quarantined":
                log.error(
                    "key quarantined", extra={"key": entry.name, "token": token, "reason": entry.reason}
                )
        states = {entry.name: entry.state for entry in keys}
        reasons = {entry.name: entry.reason for entry in keys}
        self._channel.send({"type": "checked", "token": token, "states": states, "reasons": reasons})

    def _lane_lost(self, token: str, lane: Lane, reason: str) -> None:
        log.warning("lane lost", extra={"token": token, "lane": lane.id, "reason": reason})
        self._channel.send({"type": "lane-lost", "token": token, "lane": lane.id, "reason": reason})
        if not self._keys.rings[token].race.lanes:
            self._keys.token_lost(token, f"token {token} has no open session: {reason}")

    def _record(self, decision: Decision) -> None:
        unsaid = self._refusals.note(decision) if decision.verdict != "signed" else None
        if unsaid is not None:
            fields = {
                "rule": decision.rule,
                "key": decision.key,
                "node": decision.node,
                "caller": decision.caller,
                "reason": decision.detail,
                "count": unsaid + 1,
            }
            log.warning("request not signed", extra=fields)
        self._decisions.append(decision)
        if len(self._decisions) == 1:
            asyncio.get_running_loop().call_later(_RECORD_S, self._send_decisions)

    def _send_decisions(self) -> None:
        """Hand the decisions of the last few ms to the supervisor, which writes them."""
        entries, self._decisions = self._decisions, []
        for i in range(0, len(entries), _RECORD_AT_ONCE):
            batch = [entry._asdict() for entry in entries[i : i + _RECORD_AT_ONCE]]
            self._channel.send({"type": "audit", "entries": batch})

    def status(self) -> dict[str, Any]:
        """What `signer status` shows of this process."""
        return {
            "pid": os.getpid(),
            "lanes": {
                name: [{"id": lane.id, "pid": lane.pid, "state": lane.state} for lane in ring.race.lanes]
                for name, ring in self._keys.rings.items()
            },
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
                for entry in self._keys.entries
            ],
            "counters": {
                "verdicts": self._service.counters.by_verdict,
                "rules": self._service.counters.by_rule,
                "late_replies": sum(ring.race.late_replies for ring in self._keys.rings.values()),
                "audit_unsent": self._channel.unsent,
            },
        }


def _unchecked(ring: TokenRing) -> bool:
    return any(entry.state == "unavailable" for entry in ring.keys)


def main() -> None:
    """Run the process. `--channel-fd N` is the supervisor's channel."""
    given = inheritance.receive("signing")
    if given is None:
        return

    async def serve() -> None:
        await SigningProcess(*given).run()

    uvloop.run(serve())


if __name__ == "__main__":
    main()
