"""The real control application on a unix socket, around rotations that a test writes the script of.

It runs in a thread, so that a command of `signer` can be called beside it, and can be stopped and started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rig.condition import HANG_S
from rig.control_site import Clock
from rig.fake_rotations import FakeChain, FakeRotations, FakeSupervisor
from signer import config_file, selection
from signer.control import server
from signer.control.app import create_app
from signer.control.auth import TokenStore
from signer.rotation.journal import Journal
from signer.supervisor import sockets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from signer.control.server import ControlServer
    from signer.rotation.entry import Event
    from signer.rotation.rotation import Rotation, State


@dataclass
class ScriptedRotations(FakeRotations):
    """Rotations of which the newest goes one step of the script each time that somebody looks at it."""

    script: deque[tuple[State, Event, dict[str, Any]]] = field(default_factory=deque)

    def get(self, rotation_id: int) -> Rotation:
        """Go one step, and return it."""
        if self.script and rotation_id == len(self.rotations):
            state, event, changes = self.script.popleft()
            self.move(rotation_id, state, event, **changes)
        return super().get(rotation_id)


@dataclass
class ControlSite:
    """A signer's folder with its control process.

    Attributes:
        folder: signer.toml, control.token and control.sock are in it.
        config: what is in signer.toml.
    """

    folder: Path
    config: str
    tokens: TokenStore
    journal: Journal
    rotations: ScriptedRotations
    supervisor: FakeSupervisor
    chain: FakeChain
    clock: Clock
    running: ControlServer | None = None
    thread: threading.Thread | None = None

    def token(self, name: str, *scopes: str) -> Path:
        """Return a file with a new token."""
        text = self.tokens.create(
            name, scopes or ("view", "operate", "approve", "admin"), None, self.clock.now
        )
        path = self.folder / f"{name}.token"
        path.touch(0o600)
        path.write_text(f"{text}\n", encoding="ascii")
        return path

    def start(self) -> None:
        """Serve."""
        config = config_file.load(self.folder / "signer.toml")
        socks = [sockets.bind(each) for each in selection.control_listeners(config)]
        app = create_app(
            config,
            self.tokens,
            self.supervisor,
            self.journal,
            rotation_service=self.rotations,
            chains={"eos": self.chain},
            clock=lambda: self.clock.now,
        )
        self.running = running = server.build(config, app)
        self.thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=socks)))
        self.thread.start()

    def stop(self) -> None:
        """Be gone."""
        if self.running is not None and self.thread is not None:
            self.running.end()
            self.thread.join(HANG_S)
            assert not self.thread.is_alive()
        self.running = self.thread = None


@contextlib.contextmanager
def control_site(folder: Path, config: str) -> Iterator[ControlSite]:
    """Serve the control API of `config` from `folder`, with a token of alice in control.token."""
    (folder / "signer.toml").write_text(config, encoding="utf-8")
    clock = Clock()
    database = folder / "state" / "control.sqlite"
    tokens = TokenStore(database)
    journal = Journal(database)
    site = ControlSite(
        folder,
        config,
        tokens,
        journal,
        ScriptedRotations(clock),
        FakeSupervisor({"keys": []}),
        FakeChain(),
        clock,
    )
    site.token("alice").rename(folder / "control.token")
    site.start()
    try:
        yield site
    finally:
        site.stop()
        journal.close()
        tokens.close()
