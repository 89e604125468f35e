"""A whole signer whose supervisor and control process run in the test's own process, so that a test can ask both.

All else is as in production: the signing process, the lanes, the tokens, the channel between the two, the admin socket.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from rig.condition import until_here
from signer import channel as channels
from signer import config_file, inheritance
from signer.control.auth import DATABASE, TokenStore
from signer.control.process import ControlProcess
from signer.rotation.journal import Journal
from signer.supervisor import child
from signer.supervisor.run import Supervisor

if TYPE_CHECKING:
    import socket
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Callable

    from rig.site import Site
    from signer.channel import Message
    from signer.config import Config
    from signer.supervisor.expected import Expected

    OnMessage = Callable[[Message, list[int]], None]

_start = child.start


class _Here:
    """Stands for the process that was not started: what the supervisor asks of one."""

    def __init__(self, control: ControlProcess, *stores: TokenStore | Journal) -> None:
        self.pid = 0
        self._stores = stores
        self._running = asyncio.create_task(self._run(control))

    async def _run(self, control: ControlProcess) -> None:
        try:
            await control.run()
        finally:
            for store in self._stores:
                store.close()

    @property
    def returncode(self) -> int | None:
        return 0 if self._running.done() else None

    async def wait(self) -> int:
        await asyncio.wait({self._running})
        return 0

    def kill(self) -> None:
        self._running.cancel()


@dataclass
class SignerHere:
    """A signer that serves."""

    site: Site
    above: Supervisor
    control: ControlProcess

    async def wait(self, condition: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """Return the first status for which `condition` holds."""

        async def look() -> dict[str, Any] | None:
            status = await self.above.status()
            return status if condition(status) else None

        return await until_here(look, what)


@asynccontextmanager
async def signer_here(site: Site) -> AsyncIterator[SignerHere]:
    """Run the signer of `site` until the end of the block."""
    begun: asyncio.Future[ControlProcess] = asyncio.get_running_loop().create_future()

    async def start(
        module: str,
        config: Config,
        sockets: list[socket.socket],
        on_message: OnMessage,
        on_closed: Callable[[], None],
        *,
        expected: Expected,
    ) -> tuple[Process, channels.Channel]:
        if module != "signer.control.process":
            return await _start(module, config, sockets, on_message, on_closed, expected=expected)
        ours, theirs = channels.pair()
        people = TokenStore(config.state_dir / DATABASE)
        journal = Journal(config.state_dir / DATABASE)
        control = ControlProcess(config, people, journal, [sock.dup() for sock in sockets], theirs)
        begun.set_result(control)
        process = cast("Process", _Here(control, people, journal))
        return process, channels.Channel(ours, on_message, on_closed)

    site.write()
    # The control process here is the test's own, which outlives it.
    with mock.patch.object(child, "start", start), mock.patch.object(inheritance, "end_within"):
        above = Supervisor(site.config, config_file.load(site.config), -1, only=None)
        running = asyncio.create_task(above.run())
        control = await begun
        here = SignerHere(site, above, control)
        try:
            await here.wait(
                lambda status: (
                    status["ready"] and all(key["state"] != "unavailable" for key in status["keys"])
                ),
                "all its tokens are open",
            )
            yield here
        finally:
            above.stop("the test")
            assert await running == 0
