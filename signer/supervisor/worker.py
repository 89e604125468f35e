"""A process of ours that signs with tokens: its channel, the keepers of its lanes, what it last said of its keys."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from hsm.refused import RefusedMarker
from signer import questions, selection
from signer.questions import Questions
from signer.supervisor import child
from signer.supervisor.lanes import LaneKeeper, kill

if TYPE_CHECKING:
    import socket
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from signer.channel import Channel, Message
    from signer.config import Config
    from signer.supervisor.lanes import OpenLane
    from signer.supervisor.pins import Pins

_ANSWER_S = 0.5
_LANE_IDS = itertools.count(1)


class Worker(ABC):
    """A signing or control process with its lanes. They end with it.

    Args:
        module: what `python -m` runs.
        tokens: the names of the tokens that it works with.
        pins: where their PINs come from.
        on_token: takes a token's change of state: name, state, reason.
        on_lane_lost: takes the token of each lane that the process gave up.

    Attributes:
        states: of its keys (PUB_ form), as it last said after a check.
        reasons: why, where there is a reason.
        started: s of the monotonic clock.
        ended: its channel has ended; everything that it sent was read.
        keepers: of its lanes, by token.
        checked: by token, whether it has checked the keys once.
        questions: asks the process.
    """

    def __init__(
        self,
        module: str,
        config: Config,
        tokens: list[str],
        pins: Pins,
        on_token: Callable[[str, str, str], None],
        *,
        on_lane_lost: Callable[[str], None],
    ) -> None:
        self.config = config
        self.states: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.started = time.monotonic()
        self.ended = asyncio.Event()
        self.questions = Questions(self.send)
        self._module = module
        self._on_token = on_token
        self._on_lane_lost = on_lane_lost
        self._process: Process | None = None
        self._channel: Channel | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.checked = {name: asyncio.Event() for name in tokens}
        marker = RefusedMarker(config.pin_refused_dir)
        self.keepers = {
            name: LaneKeeper(
                name,
                config.tokens[name],
                selection.keys_of_token(config, name),
                pins.source(config, name),
                marker,
                backoff_max_s=config.lanes.restart_backoff_max_ms / 1000,
                realtime=config.realtime.enabled and config.tokens[name].purpose == "block",
                next_id=lambda: next(_LANE_IDS),
                hand_over=self._hand_over,
                on_state=self._token_changed,
            )
            for name in tokens
        }

    # -- life ----------------------------------------------------------------------------------------

    async def start(self, sockets: list[socket.socket]) -> None:
        """Start the process and its lanes.

        Raises:
            OSError: it cannot be started.
        """
        self._process, self._channel = await child.start(
            self._module, self.config, sockets, self._on_message, self._lost
        )
        self._tasks = [asyncio.create_task(keeper.run()) for keeper in self.keepers.values()]

    async def kill(self) -> None:
        """End the process and its lanes at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._channel:
            self._channel.close()
        if self._process and self._process.returncode is None:
            kill(self._process)
            await self._process.wait()
        self._lost()

    def how_it_ended(self) -> str:
        """Return the process's exit in words."""
        code = self._process.returncode if self._process else None
        if code is None:
            return "it closed its channel"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    @property
    def pid(self) -> int:
        """The process id, 0 before it started."""
        return self._process.pid if self._process else 0

    # -- what is known of it -------------------------------------------------------------------------

    async def status(self) -> Message | None:
        """Return what the process says of itself, or None if it does not answer in time."""
        answer = await self.questions.ask({"type": "status"}, _ANSWER_S)
        return answer["status"] if answer else None

    def problems(self) -> list[str]:
        """Return one sentence for each token that is not open with all its lanes. One that starts is no problem yet."""
        found = []
        for name, keeper in self.keepers.items():
            state, wanted = keeper.state, self.config.tokens[name].lanes
            if state.state not in ("logged-in", "starting"):
                found.append(f"token {name} is {state.state}: {state.reason}")
            elif state.state == "logged-in" and len(state.lanes) < wanted:
                found.append(f"token {name}: {len(state.lanes)} of {wanted} lanes are open")
        return found

    def lock(self, token: str) -> None:
        """The token's PIN was wiped: end its lanes, here and in the process."""
        self.send({"type": "lock", "token": token})
        self.keepers[token].lock()
        self.checked[token].clear()

    # -- inside --------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Send a message to the process. Never blocks."""
        if self._channel:
            self._channel.send(message)

    @abstractmethod
    def told(self, message: Message) -> None:
        """Take a message that is about neither lanes nor keys."""

    def _hand_over(self, token: str, lane: OpenLane, fd: int, findings: dict[str, list[str]]) -> None:
        if self._channel:
            message = {"type": "lane", "token": token, "lane": lane.id, "pid": lane.pid, "findings": findings}
            self._channel.send(message, [fd])

    def _on_message(self, message: Message, fds: list[int]) -> None:
        assert not fds  # noqa: S101 - our processes send none to the supervisor
        kind = message["type"]
        if kind == questions.ANSWER:
            self.questions.answered(message)
        elif kind == "lane-lost":
            if self.keepers[message["token"]].lost(message["lane"], message["reason"]):
                self._on_lane_lost(message["token"])
        elif kind == "checked":
            self.states.update(message["states"])
            self.reasons.update(message["reasons"])
            self.checked[message["token"]].set()
        else:
            self.told(message)

    def _lost(self) -> None:
        self.questions.close()
        self.ended.set()

    def _token_changed(self, token: str, state: str, reason: str) -> None:
        """Tell the process why a token's keys cannot sign, so that it can tell who asks."""
        self.send({"type": "token", "token": token, "state": state, "reason": reason})
        self._on_token(token, state, reason)
