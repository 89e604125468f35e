"""Keeps the control process running. Signing does not depend on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from signer import channel as channels
from signer.supervisor.lanes import kill

if TYPE_CHECKING:
    import socket
    from asyncio.subprocess import Process
    from collections.abc import Awaitable, Callable

    from signer.channel import Message
    from signer.config import Config

log = logging.getLogger("signer.supervisor")

_STOP_S = 5.0
_HEALTHY_S = 5.0
_BACKOFF_MAX_S = 10.0
_FIRST_BACKOFF_S = 0.2


class ControlKeeper:
    """Starts the control process, answers its questions and starts it again when it ends.

    Args:
        status: what to answer when it asks for the signer's status.
    """

    def __init__(self, status: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._status = status
        self._process: Process | None = None
        self._channel: channels.Channel | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._answers: set[asyncio.Task[None]] = set()
        self._ready = False

    def state(self) -> dict[str, Any]:
        """Return what `signer status` shows of it."""
        if self._keeper is None:
            return {"state": "off", "pid": None}
        alive = self._process is not None and self._process.returncode is None
        return {
            "state": "ready" if alive and self._ready else "starting",
            "pid": self._process.pid if alive and self._process else None,
        }

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
            await asyncio.gather(old, return_exceptions=True)
        failures = 0
        try:
            while True:
                began = time.monotonic()
                await self._run_once(config, sockets)
                failures = 0 if time.monotonic() - began > _HEALTHY_S else failures + 1
                delay_s = min(_BACKOFF_MAX_S, _FIRST_BACKOFF_S * 2 ** min(failures, 10))
                log.error("control process ended; starting another")
                await asyncio.sleep(delay_s)
        finally:
            await self._end()

    async def _run_once(self, config: Config, sockets: list[socket.socket]) -> None:
        self._ready = False
        ours, theirs = channels.pair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "signer.control.process",
                "--channel-fd",
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
            )
        finally:
            theirs.close()
        self._channel = channels.Channel(ours, self._on_message, lambda: None)
        start = {"type": "start", "config": config.model_dump(mode="json")}
        self._channel.send(start, [sock.fileno() for sock in sockets])
        await self._process.wait()
        self._channel.close()

    def _on_message(self, message: Message, fds: list[int]) -> None:
        assert not fds  # noqa: S101 - the control process sends none
        if message["type"] == "ready":
            self._ready = True
        elif message["type"] == "status":
            task = asyncio.create_task(self._answer(message["id"]))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

    async def _answer(self, number: int) -> None:
        status = await self._status()
        if self._channel is not None:
            self._channel.send({"type": "status", "id": number, "status": status})

    async def _end(self) -> None:
        """Close the channel, which tells the process to end; kill it if it does not."""
        if self._channel is not None:
            self._channel.close()
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _STOP_S)
        if self._process.returncode is None:
            kill(self._process)
            await self._process.wait()
