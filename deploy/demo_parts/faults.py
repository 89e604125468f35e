"""What can be broken in a demo, and mended: a table of names and acts. Nothing of it is in the signer."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Final

from demo_parts.errors import DemoError
from demo_parts.world import NODES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demo_parts.own_signer import OwnSigner
    from demo_parts.world import World

_KINDS: Final = ("kill-lane", "stop-lane", "kill-node", "restart-node", "take-token", "return-token")


class Faults:
    """The acts of one demo. Each returns what it did, in a sentence.

    Attributes:
        names: `KIND-NODE`, for example `kill-lane-primary`.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        acts: dict[str, Callable[[str], str]] = {
            "kill-lane": partial(self._lane, number=signal.SIGKILL, done="killed"),
            "stop-lane": partial(self._lane, number=signal.SIGSTOP, done="stopped"),
            "kill-node": self._kill_node,
            "restart-node": self._restart_node,
            "take-token": self._take_token,
            "return-token": self._return_token,
        }
        self.names = {f"{kind}-{node}": partial(acts[kind], node) for kind in _KINDS for node in NODES}

    def carry_out(self, name: str) -> str:
        """Do it. To be called in the main thread: a node ends with the thread that started it.

        Raises:
            DemoError: it cannot be done now.
        """
        return self.names[name]()

    def _signer(self) -> OwnSigner:
        if self._world.signer is None:
            raise DemoError("there is no signer yet")
        return self._world.signer

    def _lane(self, token: str, *, number: signal.Signals, done: str) -> str:
        lanes = self._signer().lanes(token)
        if not lanes:
            raise DemoError(f"the token {token} has no lane at this moment")
        os.kill(lanes[0], number)
        return f"{done} process {lanes[0]}, a lane of the token {token}"

    def _kill_node(self, name: str) -> str:
        node = self._world.nodes[name]
        if node.exit_code is not None:
            raise DemoError(f"the node {name} does not run")
        node.kill()
        return f"killed process {node.pid}, the node {name}"

    def _restart_node(self, name: str) -> str:
        old = self._world.nodes[name]
        if old.exit_code is None:
            raise DemoError(f"the node {name} runs")
        old.stop()
        self._world.start_node(name)
        self._world.attest(name)
        return f"started the node {name} as process {self._world.nodes[name].pid}"

    def _take_token(self, token: str) -> str:
        folder = self._signer().token_folder(token)
        if not folder.exists():
            raise DemoError(f"the token {token} is away already")
        folder.rename(self._away(folder))
        return f"took away the folder of the token {token}"

    def _return_token(self, token: str) -> str:
        folder = self._signer().token_folder(token)
        if folder.exists():
            raise DemoError(f"the token {token} is there")
        self._away(folder).rename(folder)
        return f"brought back the folder of the token {token}"

    @staticmethod
    def _away(folder: Path) -> Path:
        return folder.with_name(folder.name + ".away")
