"""Keeps the control process running. Signing does not depend on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from signer.supervisor import child
from signer.supervisor.lanes import kill

if TYPE_CHECKING:
    import socket
    from asyncio.subprocess import Process
    from collections.abc import Awaitable, Callable

    from signer.channel import Channel, Message
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
        self._channel: Channel | None = None
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
        self._process, self._channel = await child.start(
            "signer.control.process", config, sockets, self._on_message, lambda: None
        )
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
