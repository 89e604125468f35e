"""A process of ours that signs with tokens: its channel, the keepers of its lanes, what it last said of its keys."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from pydantic import BaseModel

from hsm.refused import RefusedMarker
from signer import channel as channels
from signer import questions, selection
from signer.questions import Questions
from signer.supervisor import child
from signer.supervisor.lanes import LaneKeeper, OpenLane, kill

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from signer.channel import Channel, Message
    from signer.config import Config
    from signer.supervisor.child import Running
    from signer.supervisor.expected import Expected
    from signer.supervisor.pins import Pins

_ANSWER_S = 0.5


class _Numbers:
    """Lanes are numbered through all processes of a supervisor."""

    next = 1


def next_lane() -> int:
    """Return the number of the next lane, and leave it."""
    return _Numbers.next


def number_lanes_from(number: int) -> None:
    """Let the next lane have this number."""
    _Numbers.next = number


def _lane_number() -> int:
    _Numbers.next += 1
    return _Numbers.next - 1


class LaneRemains(BaseModel, frozen=True, extra="forbid"):
    """A lane, for the next image of the supervisor. `started` in s of the monotonic clock."""

    id: int
    pid: int
    started: float


class Remains(BaseModel, frozen=True, extra="forbid"):
    """A worker, for the next image of the supervisor.

    Attributes:
        pid: the process.
        channel: the descriptor of our end of its channel.
        next_question: the first number of a question that it was not asked.
        started: s of the monotonic clock.
        states: as Worker.
        reasons: as Worker.
        checked: the tokens whose keys it has checked.
        lanes: by token.
    """

    pid: int
    channel: int
    next_question: int
    started: float
    states: dict[str, str]
    reasons: dict[str, str]
    checked: list[str]
    lanes: dict[str, list[LaneRemains]]


class Worker(ABC):
    """A signing or control process with its lanes. They end with it.

    Args:
        module: what `python -m` runs.
        tokens: the names of the tokens that it works with.
        pins: where their PINs come from.
        on_token: takes a token's change of state: name, state, reason.
        on_lane_lost: takes the token of each lane that the process gave up.
        expected: says when nothing is to begin or work.

    Attributes:
        states: of its keys (PUB_ form), as it last said after a check.
        reasons: why, where there is a reason.
        started: s of the monotonic clock.
        ended: its channel has ended; everything that it sent was read.
        keepers: of its lanes, by token.
        checked: by token, whether it has checked the keys once.
        questions: asks the process.
        heard_at: when a message of it was last read, s of the monotonic clock.
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
        expected: Expected,
    ) -> None:
        self.config = config
        self.states: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.started = time.monotonic()
        self.ended = asyncio.Event()
        self.questions = Questions(self.send)
        self.heard_at = 0.0
        self._module = module
        self._on_token = on_token
        self._on_lane_lost = on_lane_lost
        self._expected = expected
        self._process: Running | None = None
        self._channel: Channel | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._settled = False
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
                next_id=_lane_number,
                hand_over=self._hand_over,
                on_state=self._token_changed,
                expected=expected,
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
            self._module, self.config, sockets, self._on_message, self._lost, expected=self._expected
        )
        self._tasks = [asyncio.create_task(keeper.run()) for keeper in self.keepers.values()]

    def remains(self) -> Remains:
        """Return what `adopt` needs in the next image of this process."""
        return Remains(
            pid=self.pid,
            channel=self._channel.fileno() if self._channel else -1,
            next_question=self.questions.next,
            started=self.started,
            states=self.states,
            reasons=self.reasons,
            checked=[name for name, event in self.checked.items() if event.is_set()],
            lanes={
                name: [
                    LaneRemains(id=lane.id, pid=lane.pid, started=lane.started)
                    for lane in keeper.state.lanes.values()
                ]
                for name, keeper in self.keepers.items()
            },
        )

    async def settle(self) -> None:
        """Start no more lanes, and wait until those that are just opening are open, or are not."""
        self._settled = True
        for keeper in self.keepers.values():
            keeper.leave()
        await asyncio.gather(*self._tasks)

    async def leave(self) -> None:
        """After `settle`: read and send nothing more. The process serves on; what it says waits in the kernel."""
        if self._channel is not None:
            await self._channel.quiet()

    def stay(self) -> None:
        """Take back `settle` and `leave`."""
        if not self._settled:
            return
        self._settled = False
        for keeper in self.keepers.values():
            keeper.stay()
        self._tasks = [asyncio.create_task(keeper.run()) for keeper in self.keepers.values()]
        if self._channel is not None:
            self._channel.resume()

    def adopt(self, remains: Remains) -> None:
        """Take the place of the worker that an earlier image of this process left.

        Raises:
            OSError: its process is gone.
        """
        self._process = child.Adopted(remains.pid)
        self.started = remains.started
        self.states.update(remains.states)
        self.reasons.update(remains.reasons)
        self.questions = Questions(self.send, remains.next_question)
        for name in remains.checked:
            self.checked[name].set()
        for name, lanes in remains.lanes.items():
            adopted = [OpenLane(lane.id, lane.pid, child.Adopted(lane.pid), lane.started) for lane in lanes]
            self.keepers[name].adopt(adopted)
        self._channel = channels.Channel(socket.socket(fileno=remains.channel), self._on_message, self._lost)
        self._tasks = [asyncio.create_task(keeper.run()) for keeper in self.keepers.values()]

    async def gone(self) -> None:
        """Wait until the process has ended by itself: some tenths of a second after its channel."""
        if self._process is not None:
            await self._process.wait()

    async def kill(self) -> None:
        """End the process and its lanes at once."""
        if self._process and self._process.returncode is None:
            kill(self._process)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._channel:
            self._channel.close()
        await self.gone()
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

    @property
    def pids(self) -> set[int]:
        """Its process id and those of its lanes."""
        lanes = (lane for keeper in self.keepers.values() for lane in keeper.state.lanes.values())
        return {self.pid, *(lane.pid for lane in lanes)}

    # -- what is known of it -------------------------------------------------------------------------

    async def status(self, timeout_s: float = _ANSWER_S) -> Message | None:
        """Return what the process says of itself, or None if it does not answer in time."""
        answer = await self.questions.ask({"type": "status"}, timeout_s)
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

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message to the process. Never blocks.

        Raises:
            OSError: there is no descriptor left to send `fds` with.
        """
        if self._channel:
            self._channel.send(message, fds)

    @abstractmethod
    def told(self, message: Message, fds: list[int]) -> None:
        """Take a message that is about neither lanes nor keys, and its descriptors."""

    def _hand_over(self, token: str, lane: OpenLane, fd: int, findings: dict[str, list[str]]) -> None:
        if self._channel:
            message = {"type": "lane", "token": token, "lane": lane.id, "pid": lane.pid, "findings": findings}
            self._channel.send(message, [fd])

    def _on_message(self, message: Message, fds: list[int]) -> None:
        self.heard_at = time.monotonic()
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
            self.told(message, fds)
            return
        for fd in fds:  # none of ours comes with a descriptor
            os.close(fd)

    def _lost(self) -> None:
        self.questions.close()
        self.ended.set()

    def _token_changed(self, token: str, state: str, reason: str) -> None:
        """Tell the process why a token's keys cannot sign, so that it can tell who asks."""
        self.send({"type": "token", "token": token, "state": state, "reason": reason})
        self._on_token(token, state, reason)
