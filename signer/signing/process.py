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
from typing import TYPE_CHECKING, Any

import uvloop

from hsm import beginning, realtime
from hsm.hardening import lock_memory
from signer import channel as channels
from signer import inheritance, questions, selection
from signer.policy import policies
from signer.signing import rehearsal, server
from signer.signing.account_keys import AccountKeys
from signer.signing.app import App
from signer.signing.connection import Listener
from signer.signing.freeze import FreezeMarkers
from signer.signing.guard import Guard
from signer.signing.probes import Probes
from signer.signing.producers import Producers
from signer.signing.proofs import Proofs
from signer.signing.refusals import Refusals
from signer.signing.rehearsal import Rehearsals
from signer.signing.repeats import Repeats
from signer.signing.service import NodeTerms, Service
from signer.signing.supervisor import Supervisor
from signer.signing.tokens import Tokens
from signer.signing.wallet import Wallet

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine

    from signer.channel import Message
    from signer.config import Config
    from signer.signing.service import Decision

log = logging.getLogger("signer.signing")

#: The supervisor is given this long to take the last decisions, in s.
_FLUSH_S = 5.0
#: Decisions wait this long for company on their way to the audit log, in s: nothing of it runs while nodeos waits. If
#: this process is killed, what waits is lost.
_RECORD_S = 0.010
_RECORD_AT_ONCE = 100
#: Longer than any request may wait, in s.
_ALONE_S = 15
#: How often this process looks how much it works, in s.
_LOOK_S = 0.1


class SigningProcess:
    """Everything of this process, tied together."""

    def __init__(self, config: Config, sockets: list[socket.socket], sock: socket.socket) -> None:
        self._config = config
        self._sockets = sockets
        self._channel = channels.Channel(sock, self._on_message, self._lost)
        self._listen = asyncio.Event()
        self._ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._decisions: list[Decision] = []
        self._refusals = Refusals()
        self._not_realtime = "switched off in the configuration"
        self._tokens = Tokens(config, selection.block_tokens(config), self._channel.send)
        keys = self._tokens.keys
        markers = FreezeMarkers(config.freeze_dir)
        self._producers = Producers(config, self._channel.send)
        self._guard = guard = Guard(
            markers,
            self._producers.by_node,
            None if config.guards.repeat == "off" else Repeats(),
            give_again=config.guards.repeat == "enforce",
        )
        terms = {name: NodeTerms(node.timeout_ms, node.margin_ms) for name, node in config.nodes.items()}
        terms[""] = NodeTerms(rehearsal.TIMEOUT_MS, 0)  # probe keys belong to no node
        self._service = Service(keys, guard, terms, self._record)
        self._probes = Probes(keys, markers)
        self._supervisor = Supervisor(self._channel.send)
        accounts = AccountKeys(keys, markers, self._record)
        wallet = Wallet(keys, guard, accounts, policies.load(config), self._supervisor)
        self._server = server.build_gates(App(self._service, wallet), self._listeners())
        self._proofs = Proofs(keys, self._service)
        self._rehearsals = Rehearsals(config, keys, self._service, self._server.rehearse)

    # -- parts ---------------------------------------------------------------------------------------

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
        # What lives as long as the process is never walked again in the middle of a request. The rest is, as often as
        # is usual: nodeos' requests leave nothing to collect, each of uvicorn's some 200 objects, and 50,000 of them at
        # once stopped this process for up to 64 ms (deploy/figures.md).
        gc.freeze()
        sweeps = [self._tokens.sweep(), self._producers.sweep(), self._proofs.run()]
        turn: realtime.Turn | None = None
        if self._config.realtime.enabled:
            turn = realtime.Turn(realtime.SIGNING)
            self._not_realtime = turn.refused
            if turn.refused:
                log.warning("not a real-time process", extra={"reason": turn.refused})
            sweeps.append(_keep_turns(turn))
        else:
            realtime.give_up()
        background = [asyncio.create_task(each) for each in sweeps]
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
        if turn is not None:
            turn.leave()
        self._supervisor.close()
        self._tokens.close()
        self._send_decisions()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await self._channel.flush()
        self._channel.close()

    def _end(self) -> None:
        self._ended.set()
        self._server.leave(self._channel.send)  # first: what is in the queues may take some ms
        self._server.stop_accepting()  # now: whoever is answered after this finds the next generation
        self._server.end()

    def _lost(self) -> None:
        inheritance.end_within(_ALONE_S)
        self._supervisor.close()  # a wallet's command may wait for it, and this process for the command
        self._end()

    # -- the supervisor ------------------------------------------------------------------------------

    def _on_message(self, message: Message, fds: list[int]) -> None:
        if (
            self._tokens.take(message, fds)
            or self._server.take(message, fds)
            or self._producers.take(message)
        ):
            return
        kind = message["type"]
        if kind == questions.ANSWER:
            self._supervisor.answered(message)
        elif kind == "listen":
            self._listen.set()
        elif kind == "drain":
            self._end()
        elif kind == "status":
            self._answer(message, {"status": self.status()})
        elif kind == "ping":
            self._answer(message, {})
        elif kind == "probe":
            self._spawn(self._probe(message))
        elif kind == "measure":
            self._spawn(self._measure(message))
        elif kind == "freeze":
            # The marker is on disk already; the answer leaves after whatever was being written has left.
            asyncio.get_running_loop().call_later(0.001, self._answer, message, {})

    def _answer(self, question: Message, content: Message) -> None:
        self._channel.send({"type": questions.ANSWER, "id": question["id"], **content})

    async def _probe(self, question: Message) -> None:
        reason = await self._probes.sign(question["key"])
        self._answer(question, {"ok": not reason, "reason": reason})

    async def _measure(self, question: Message) -> None:
        micros, reason = await self._probes.measure(question["token"], question["curve"])
        self._answer(question, {"micros": micros, "reason": reason})

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _record(self, decision: Decision) -> None:
        signed = decision.verdict in ("signed", "repeated")
        unsaid = None if signed else self._refusals.note(decision)
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
        self._producers.note(decision)
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
            "realtime": {"on": not self._not_realtime, "reason": self._not_realtime},
            **self._tokens.status(),
            "guards": self._producers.state(),
            "counters": {
                "repeated": self._guard.repeated,
                "late_replies": sum(ring.race.late_replies for ring in self._tokens.keys.rings.values()),
                "probes": self._probes.by_outcome,
                "audit_unsent": self._channel.unsent,
            },
        }


async def _keep_turns(turn: realtime.Turn) -> None:
    """Let the rest of the machine have its turn when this process works most of the time."""
    while True:
        await asyncio.sleep(_LOOK_S)
        turn.look()


def main() -> None:
    """Run the process. `--channel-fd N` is the supervisor's channel."""
    given = inheritance.receive("signing")
    if given is None:
        return
    beginning.done()
    lock_memory()  # a PIN that a person types passes through here; and nothing waits for a page from the disk

    async def serve() -> None:
        await SigningProcess(*given).run()

    uvloop.run(serve())


if __name__ == "__main__":
    main()
