"""Keeps the control process running. Signing does not depend on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from signer import questions, selection
from signer.supervisor.worker import Worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from signer.channel import Message
    from signer.config import Config
    from signer.supervisor.expected import Expected
    from signer.supervisor.pins import Pins

    Answer = Callable[[Message], Awaitable[Message]]

log = logging.getLogger("signer.supervisor")

_STOP_S = 5.0
_HEALTHY_S = 5.0
_BACKOFF_MAX_S = 10.0
_FIRST_BACKOFF_S = 0.2
#: So many questions in a row without an answer are a hang, each waited for so long, in s. A write to a locked database
#: holds the process for 5 s (signer.database).
_SILENCES = 3
_SILENCE_S = 4.0
_PING_S = 1.0


class ControlProcess(Worker):
    """A control process.

    Attributes:
        ready: whether it serves.
        unable: why it cannot, in its own words; empty if it has not said.

    Args:
        answer: answers a question of it; must not raise.
        on_decision: takes what became of a request to sign with one of its keys.
        pins: where the PINs come from.
        on_token: takes a token's change of state: name, state, reason.
        on_lane_lost: takes the token of each lane that was lost.
        expected: as Worker.
    """

    def __init__(
        self,
        config: Config,
        answer: Answer,
        on_decision: Callable[[dict[str, Any]], None],
        pins: Pins,
        on_token: Callable[[str, str, str], None],
        *,
        on_lane_lost: Callable[[str], None],
        expected: Expected,
    ) -> None:
        tokens = selection.control_tokens(config)
        super().__init__(
            "signer.control.process",
            config,
            tokens,
            pins,
            on_token,
            on_lane_lost=on_lane_lost,
            expected=expected,
        )
        self.ready = False
        self.unable = ""
        self._answer = answer
        self._on_decision = on_decision
        self._answers: set[asyncio.Task[None]] = set()

    async def end(self) -> None:
        """Close the channel, which tells the process to end; kill it if it does not."""
        if self._channel is not None:
            self._channel.close()
        # Not asyncio.timeout: in a task that was cancelled before, as who ends this may be, it raises CancelledError.
        gone = asyncio.create_task(self.gone())
        await asyncio.wait({gone}, timeout=_STOP_S)
        gone.cancel()
        await self.kill()

    def told(self, message: Message, fds: list[int]) -> None:
        """Take that it is ready, a decision, or a question."""
        assert not fds  # noqa: S101 - it sends none
        if message["type"] == "ready":
            self.ready = True
        elif message["type"] == "unable":
            self.unable = str(message["reason"])
        elif message["type"] == "decision":
            self._on_decision(message["decision"])
        else:
            # Nothing that was begun is broken off because the process ends: a freeze is a freeze.
            task = asyncio.create_task(self._answer_to(message))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

    async def _answer_to(self, question: Message) -> None:
        content = await self._answer(question)
        self.send({"type": questions.ANSWER, "id": question["id"], **content})


class ControlKeeper:
    """Starts the control process and starts it again when it ends; its lanes end and start with it.

    Args:
        answer: as ControlProcess.
        on_decision: as ControlProcess.
        pins: as ControlProcess.
        on_token: as ControlProcess.
        on_lane_lost: as ControlProcess.
        on_hung: takes the number of a process that did not answer, before it is killed.
        on_ended: called when one has ended, whoever ended it.
        expected: as Worker.
    """

    def __init__(
        self,
        answer: Answer,
        on_decision: Callable[[dict[str, Any]], None],
        pins: Pins,
        on_token: Callable[[str, str, str], None],
        *,
        on_lane_lost: Callable[[str], None],
        on_hung: Callable[[int], None],
        on_ended: Callable[[], None],
        expected: Expected,
    ) -> None:
        self._on_ended = on_ended
        self._expected = expected
        self._answer = answer
        self._on_decision = on_decision
        self._pins = pins
        self._on_token = on_token
        self._on_lane_lost = on_lane_lost
        self._on_hung = on_hung
        self._keeper: asyncio.Task[None] | None = None
        self._failures = 0
        self._unable = ""
        self._restarts = 0
        self.process: ControlProcess | None = None

    @property
    def ready(self) -> bool:
        """Whether a control process serves."""
        return self.process is not None and self.process.ready

    def state(self) -> dict[str, Any]:
        """Return what `signer status` shows of it."""
        if self._keeper is None:
            return {"state": "off", "pid": None, "restarts": self._restarts, "unable": ""}
        return {
            "state": "ready" if self.ready else "starting",
            "pid": self.process.pid if self.process else None,
            "restarts": self._restarts,
            "unable": "" if self.ready else self._unable,
        }

    def problems(self) -> list[str]:
        """Return one sentence for each thing that a person should look at."""
        if self.process is not None and self.process.ready:
            return self.process.problems()
        if self._failures:
            why = f" ({self._unable})" if self._unable else ""
            return [
                f"the control process ended{why} and is started again; runbook, The control process restarts"
            ]
        return []

    def start(self, config: Config, sockets: list[socket.socket]) -> None:
        """Run a control process with this configuration, in the place of any other."""
        old, self._keeper = self._keeper, None
        if old is not None:
            old.cancel()
        if sockets:
            self._keeper = asyncio.create_task(self._keep(old, config, sockets))

    async def stop(self) -> None:
        """End it."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    async def _keep(
        self, old: asyncio.Task[None] | None, config: Config, sockets: list[socket.socket]
    ) -> None:
        if old is not None:
            try:
                await asyncio.wait({old})
            except asyncio.CancelledError:
                await asyncio.wait({old})  # who waits for this one waits for all before it
                raise
        self._failures = 0
        while True:
            began = time.monotonic()
            await self._run_once(config, sockets)
            self._restarts += 1
            self._failures = 1 if time.monotonic() - began > _HEALTHY_S else self._failures + 1
            delay_s = min(_BACKOFF_MAX_S, _FIRST_BACKOFF_S * 2 ** min(self._failures - 1, 10))
            await asyncio.sleep(delay_s)

    async def _run_once(self, config: Config, sockets: list[socket.socket]) -> None:
        """Run one control process until it ends; cancelled, let it end in peace."""
        process = ControlProcess(
            config,
            self._answer,
            self._on_decision,
            self._pins,
            self._on_token,
            on_lane_lost=self._on_lane_lost,
            expected=self._expected,
        )
        watch = asyncio.create_task(self._kill_when_hung(process))
        try:
            await process.start(sockets)
            self.process = process
            await process.ended.wait()
            await process.end()  # it may still be on its way out, with an exit code of its own
            self._unable = process.unable
            log.error("control process ended; starting another", extra={"reason": process.how_it_ended()})
        except OSError as error:
            log.error("control process cannot be started", extra={"reason": str(error)})
        finally:
            watch.cancel()
            self.process = None
            await process.end()
            self._on_ended()

    async def _kill_when_hung(self, process: ControlProcess) -> None:
        """A control process whose event loop does not turn serves nobody: another takes its place."""
        silences = 0
        while silences < _SILENCES:
            await asyncio.sleep(_PING_S)
            answered = not process.ready or await process.status(_SILENCE_S) is not None
            silences = 0 if answered else silences + 1
        if not process.ended.is_set():
            log.error("control process does not answer; killed", extra={"pid": process.pid})
            self._on_hung(process.pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
