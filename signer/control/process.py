"""The control process: started by the supervisor, it serves people. Signing does not depend on it.

The first message on its channel is the configuration, with the listening sockets of the control listeners in
its order. It ends when the channel ends.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any

from signer import channel as channels
from signer import inheritance, selection
from signer.control import server
from signer.control.app import create_app
from signer.control.auth import DATABASE, TokenStore, TokenStoreError
from signer.errors import JournalError
from signer.rotation.journal import Journal
from signer.signing.connection import Listener

if TYPE_CHECKING:
    import socket

    from signer.channel import Message
    from signer.config import Config

log = logging.getLogger("signer.control")


class Supervisor:
    """The supervisor, as this process sees it."""

    def __init__(self, sock: socket.socket) -> None:
        self.gone = asyncio.Event()
        self._channel = channels.Channel(sock, self._on_message, self.gone.set)
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}

    def ready(self) -> None:
        """Say that the process serves."""
        self._channel.send({"type": "ready"})

    async def status(self) -> dict[str, Any]:
        """Ask for the signer's status. The caller bounds the wait."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._channel.send({"type": "status", "id": number})
        try:
            return await answer
        finally:
            del self._asked[number]

    def close(self) -> None:
        """Let the channel go."""
        self._channel.close()

    def _on_message(self, message: Message, fds: list[int]) -> None:
        assert not fds  # noqa: S101 - the supervisor sends none after the first message
        if message["type"] != "status":
            return
        answer = self._asked.get(message["id"])
        if answer is not None and not answer.done():
            answer.set_result(message["status"])


async def serve(
    config: Config,
    tokens: TokenStore,
    journal: Journal,
    sockets: list[socket.socket],
    sock: socket.socket,
) -> None:
    """Serve the control listeners until the supervisor is gone or SIGTERM comes."""
    supervisor = Supervisor(sock)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, supervisor.gone.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is for the supervisor
    listeners = [Listener.of(each, config.limits) for each in selection.control_listeners(config)]
    http = server.build(create_app(config, tokens, supervisor, journal), listeners, sockets)
    serving = asyncio.create_task(http.serve(sockets=sockets))
    gone = asyncio.create_task(supervisor.gone.wait())
    supervisor.ready()
    await asyncio.wait({serving, gone}, return_when=asyncio.FIRST_COMPLETED)
    http.should_exit = True
    await serving
    gone.cancel()
    supervisor.close()


def main() -> int:
    """Run the process. `--channel-fd N` is the supervisor's channel. Returns the exit code."""
    given = inheritance.receive("control")
    if given is None:
        return 0
    config, sockets, sock = given
    try:
        tokens = TokenStore(config.state_dir / DATABASE)
        journal = Journal(config.state_dir / DATABASE)
    except (TokenStoreError, JournalError) as error:
        log.error("token store unusable", extra={"reason": str(error)})
        return 1
    try:
        asyncio.run(serve(config, tokens, journal, sockets, sock))
    finally:
        journal.close()
        tokens.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
