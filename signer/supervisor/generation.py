"""One signing process with its lanes. A reload makes a second generation, then lets the first one drain."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
import time
from typing import TYPE_CHECKING, Any

from hsm.pin import PinCredential, PinFile
from hsm.refused import RefusedMarker
from signer import selection
from signer.supervisor import child
from signer.supervisor.lanes import LaneKeeper, OpenLane, kill

if TYPE_CHECKING:
    import socket
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from hsm.pin import PinSource
    from signer.channel import Channel, Message
    from signer.config import Config

log = logging.getLogger("signer.supervisor")

_ANSWER_S = 0.5
_LANE_IDS = itertools.count(1)


class Generation:
    """A signing process, the keepers of its lanes, and what it last said.

    Args:
        number: counts the generations of this supervisor.
        on_audit: takes each decision.
        on_token: takes a token's change of state: generation, name, state, reason.
    """

    def __init__(
        self,
        number: int,
        config: Config,
        on_audit: Callable[[dict[str, Any]], None],
        on_token: Callable[[int, str, str, str], None],
    ) -> None:
        self.number = number
        self.config = config
        self.states: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.listening = asyncio.Event()
        self.started = time.monotonic()
        self.ended = asyncio.Event()
        self._on_audit = on_audit
        self._on_token = on_token
        self._checked: dict[str, asyncio.Event] = {
            name: asyncio.Event() for name in selection.block_tokens(config)
        }
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._ids = itertools.count(1)
        self._process: Process | None = None
        self._channel: Channel | None = None
        self._tasks: list[asyncio.Task[None]] = []
        marker = RefusedMarker(config.state_dir / "pin-refused")
        self.keepers = {
            name: LaneKeeper(
                name,
                config.tokens[name],
                selection.keys_of_token(config, name),
                _pin_source(config, name),
                marker,
                backoff_max_s=config.lanes.restart_backoff_max_ms / 1000,
                next_id=lambda: next(_LANE_IDS),
                hand_over=self._hand_over,
                on_state=self._token_changed,
            )
            for name in selection.block_tokens(config)
        }

    # -- life ----------------------------------------------------------------------------------------

    async def start(self, sockets: list[socket.socket]) -> None:
        """Start the process and its lanes. It does not listen yet."""
        self._process, self._channel = await child.start(
            "signer.signing.process", self.config, sockets, self._on_message, self._lost
        )
        self._tasks = [asyncio.create_task(keeper.run()) for keeper in self.keepers.values()]

    def how_it_ended(self) -> str:
        """Return the process's exit in words."""
        code = self._process.returncode if self._process else None
        if code is None:
            return "it closed its channel"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def problems(self) -> list[str]:
        """Return one sentence for each token that is not open with all its lanes."""
        found = []
        for name, keeper in self.keepers.items():
            state, wanted = keeper.state, self.config.tokens[name].lanes
            if state.state != "logged-in":
                found.append(f"token {name} is {state.state}: {state.reason}")
            elif len(state.lanes) < wanted:
                found.append(f"token {name}: {len(state.lanes)} of {wanted} lanes are open")
        return found

    @property
    def pid(self) -> int:
        """The process id of the signing process, 0 before it started."""
        return self._process.pid if self._process else 0

    async def resolved(self, timeout_s: float) -> None:
        """Wait until each token is either open and its keys checked, or known not to open now."""
        waits = [asyncio.create_task(self._token_resolved(name)) for name in self.keepers]
        waits.append(asyncio.create_task(self._wait_ended()))
        pending = set(waits)
        end = time.monotonic() + timeout_s
        while not self.ended.is_set() and any(not task.done() for task in waits[:-1]):
            left = end - time.monotonic()
            if left <= 0:
                break
            await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            pending = {task for task in pending if not task.done()}
        for task in waits:
            task.cancel()

    def listen(self) -> None:
        """Tell the process to accept connections."""
        if self._channel:
            self._channel.send({"type": "listen"})

    async def drain(self, timeout_s: float) -> None:
        """Let the process answer what it accepted and end; then end its lanes."""
        if self._channel:
            self._channel.send({"type": "drain"})
        if self._process:
            with contextlib.suppress(TimeoutError):
                # The channel's end and not the process's: by then every decision that it sent was read.
                await asyncio.wait_for(self.ended.wait(), timeout_s)
        await self.kill()

    async def kill(self) -> None:
        """End everything of this generation at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._channel:
            self._channel.close()
        if self._process and self._process.returncode is None:
            kill(self._process)
            await self._process.wait()
        self.ended.set()

    # -- questions -----------------------------------------------------------------------------------

    async def alive(self, timeout_s: float) -> bool:
        """Return whether the process's event loop turns."""
        return await self._ask({"type": "ping"}, timeout_s) is not None

    async def status(self) -> Message | None:
        """Return what the process says of itself, or None if it does not answer in time."""
        answer = await self._ask({"type": "status"}, _ANSWER_S)
        return answer["status"] if answer else None

    async def acknowledge_freeze(self, timeout_s: float) -> bool:
        """Return whether the process confirmed that it looked at the markers after now."""
        return await self._ask({"type": "freeze"}, timeout_s) is not None

    async def _ask(self, question: Message, timeout_s: float) -> Message | None:
        if self._channel is None or self.ended.is_set():
            return None
        number = next(self._ids)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        self._channel.send({**question, "id": number})
        try:
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return None
        finally:
            del self._answers[number]

    # -- inside --------------------------------------------------------------------------------------

    async def _wait_ended(self) -> None:
        await self.ended.wait()

    async def _token_resolved(self, name: str) -> None:
        keeper = self.keepers[name]
        await keeper.state.resolved.wait()
        if keeper.state.lanes:
            await self._checked[name].wait()

    def _hand_over(self, token: str, lane: OpenLane, fd: int, findings: dict[str, list[str]]) -> None:
        if self._channel:
            message = {"type": "lane", "token": token, "lane": lane.id, "pid": lane.pid, "findings": findings}
            self._channel.send(message, [fd])

    def _on_message(self, message: Message, fds: list[int]) -> None:
        assert not fds  # noqa: S101 - the signing process sends none
        kind = message["type"]
        if kind == "audit":
            for entry in message["entries"]:
                self._on_audit(entry)
        elif kind == "lane-lost":
            self.keepers[message["token"]].lost(message["lane"], message["reason"])
        elif kind == "checked":
            self.states.update(message["states"])
            self.reasons.update(message["reasons"])
            self._checked[message["token"]].set()
        elif kind == "listening":
            self.listening.set()
        elif kind in ("status", "frozen", "pong"):
            future = self._answers.get(message["id"])
            if future is not None and not future.done():
                future.set_result(message)

    def _lost(self) -> None:
        self.ended.set()

    def _token_changed(self, token: str, state: str, reason: str) -> None:
        """Tell the process why a token's keys cannot sign, so that it can tell nodeos."""
        if self._channel:
            self._channel.send({"type": "token", "token": token, "state": state, "reason": reason})
        self._on_token(self.number, token, state, reason)


def _pin_source(config: Config, token: str) -> PinSource:
    settings = config.tokens[token]
    if settings.pin_file is not None:
        return PinFile(settings.pin_file)
    return PinCredential(settings.pin_credential or "")
