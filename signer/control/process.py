"""The control process: started by the supervisor, it serves people. Signing does not depend on it.

The first message on its channel is the configuration, with the listening sockets of the control listeners in
its order; then come lanes of the control tokens. It knows no PIN. It ends when the channel ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hsm import beginning, realtime
from signer import channel as channels
from signer import inheritance, questions, selection
from signer.control import certificate, checkpoint_sink, follower, server, sites
from signer.control.app import create_app
from signer.control.auth import DATABASE, TokenStore, TokenStoreError
from signer.control.checkpoints import Checkpoints
from signer.control.desk import ControlDesk
from signer.control.keys import ControlKeys
from signer.control.production import Production
from signer.control.supervisor import Supervisor
from signer.errors import ConfigError, JournalError
from signer.rotation.journal import Journal
from signer.rotation.rotations import Rotations
from signer.signing.freeze import FreezeMarkers
from signer.signing.tokens import Tokens

if TYPE_CHECKING:
    import socket

    from signer.channel import Message
    from signer.config import Config

log = logging.getLogger("signer.control")

#: How much this process yields to those that sign (nice(2)).
_NICE = 10
#: Longer than an end in order, and than the supervisor waits for one (signer.supervisor.control), in s.
_ALONE_S = 8


class ControlProcess:
    """Everything of this process, tied together.

    Attributes:
        supervisor: answers questions.
        keys: the rotation and audit keys.
    """

    def __init__(
        self,
        config: Config,
        people: TokenStore,
        journal: Journal,
        sockets: list[socket.socket],
        sock: socket.socket,
    ) -> None:
        self._sockets = sockets
        self._gone = asyncio.Event()
        self._channel = channels.Channel(sock, self._on_message, self._lost)
        self.supervisor = Supervisor(self._channel.send)
        self._tokens = Tokens(config, selection.control_tokens(config), self._channel.send)
        markers = FreezeMarkers(config.freeze_dir)
        self.keys = ControlKeys(self._tokens.keys, markers, self.supervisor.decision)
        places = sites.build(config, journal, ControlDesk(self.supervisor, self.keys))
        self._rotations = Rotations(places, journal)
        self._followers = follower.build(
            config,
            {name: (place.producer, place.client) for name, place in places.items()},
            self.supervisor,
            self._rotations.targets,
        )
        self._production = Production(
            config,
            journal,
            people,
            self._followers,
            expiries=certificate.expiries(config),
            clock=lambda: datetime.now(UTC),
        )
        app = create_app(
            config,
            people,
            self.supervisor,
            journal,
            rotation_service=self._rotations if places else None,
            chains={name: place.client for name, place in places.items()},
            watches=self._followers,
        )
        self._checkpoints = self._build_checkpoints(config)
        self._http = server.build(config, app)

    def _build_checkpoints(self, config: Config) -> Checkpoints | None:
        """Return what makes checkpoints; None where there is no audit key. Of several the first one is used."""
        own = [key.public_key for key in config.keys if key.role == "audit"]
        if not own:
            return None
        return Checkpoints(
            config.audit,
            own[0],
            self.keys,
            self.supervisor,
            checkpoint_sink.build(config.audit),
            clock=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
        )

    async def run(self) -> None:
        """Serve the control listeners until the supervisor is gone or SIGTERM comes."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._gone.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is for the supervisor
        serving = asyncio.create_task(self._http.serve(sockets=self._sockets))
        sweeping = asyncio.create_task(self._tokens.sweep())
        following = [asyncio.create_task(each.run()) for each in self._followers.values()]
        if self._checkpoints is not None:
            following.append(asyncio.create_task(self._checkpoints.run()))
        gone = asyncio.create_task(self._gone.wait())
        beginning.done()
        self.supervisor.ready()
        self._rotations.start()
        await asyncio.wait({serving, gone}, return_when=asyncio.FIRST_COMPLETED)
        await self._rotations.stop()
        self._http.end()
        await serving
        for task in (sweeping, gone, *following):
            task.cancel()
        self._tokens.close()
        self._channel.close()

    def _on_message(self, message: Message, fds: list[int]) -> None:
        if self._tokens.take(message, fds):
            return
        if message["type"] == questions.ANSWER:
            self.supervisor.answered(message)
        elif message["type"] == "status":
            status = {
                "pid": os.getpid(),
                **self._tokens.status(),
                "production": self._production.state(),
            }
            self._channel.send({"type": questions.ANSWER, "id": message["id"], "status": status})

    def _lost(self) -> None:
        inheritance.end_within(_ALONE_S)  # a thread that writes to a dead file system ends no other way
        self.supervisor.close()
        self._gone.set()


def main() -> int:
    """Run the process. `--channel-fd N` is the supervisor's channel. Returns the exit code."""
    given = inheritance.receive("control")
    if given is None:
        return 0
    os.nice(_NICE)  # people can wait: nodeos cannot
    realtime.give_up()
    config, sockets, sock = given
    try:
        people = TokenStore(config.state_dir / DATABASE)
        journal = Journal(config.state_dir / DATABASE)
    except (TokenStoreError, JournalError) as error:
        log.error("token store unusable", extra={"reason": str(error)})
        channels.send_blocking(sock, {"type": "unable", "reason": str(error)})
        return 1

    async def serve() -> None:
        await ControlProcess(config, people, journal, sockets, sock).run()

    try:
        asyncio.run(serve())
    except ConfigError as error:
        log.error("control listener unusable", extra={"reason": str(error)})
        channels.send_blocking(sock, {"type": "unable", "reason": str(error)})
        return 1
    finally:
        journal.close()
        people.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
