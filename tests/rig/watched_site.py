"""A whole signer, and a real nodeos that makes every block of its own chain with the signer's key."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import httpx

from rig.condition import HANG_S
from rig.nodeos import Genesis, Nodeos
from rig.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rig.site import Ring
    from rig.tools import Tools

#: ms. How fast a signature is, other tests say.
_TIMEOUT_MS: Final = 200


class WatchedSite:
    """The signer knows the chain, so its control process follows it.

    Attributes:
        site: the signer, not started yet.
        node: the nodeos, which waits for it.
        key: what signs its blocks.
        checkpoints: where its checkpoints go.
    """

    def __init__(self, tools: Tools, folder: Path, ring: Ring, label: str = "r1-1") -> None:
        self._tools = tools
        self._folder = folder
        self.site = Site.whole_copy_of(ring)
        self.key = self.site.key(label)
        self._genesis = Genesis.now(self.key)
        self._nodes = 0
        self.node = self.start_node(self.site)
        self.site.chain = [
            f'id = "{self.node.chain_id}"',
            f'api = ["{self.node.url}"]',
            'producer = "eosio"',
        ]
        self.checkpoints = self.site.folder / "checkpoints.jsonl"
        self.site.tables = [
            "[audit]",
            "checkpoint_every_s = 1",
            f'checkpoint_file = "{self.checkpoints}"',
            'signer = "signer-1"',
        ]

    def start_node(self, signer: Site) -> Nodeos:
        """Start a nodeos of the chain whose signatures come from `signer`; it goes on where the last one ended."""
        port = signer.ports["primary"]
        self._nodes += 1
        return Nodeos(
            self._tools,
            self._folder / "node",
            self._genesis,
            producers=["eosio"],
            providers=[f"{self.key}=KEOSD:http://127.0.0.1:{port}/v1/wallet/sign_digest"],
            lines=[f"keosd-provider-timeout = {_TIMEOUT_MS}"],
            port=None if self._nodes == 1 else int(self.node.url.rpartition(":")[2]),
        )

    def start(self) -> None:
        """Start the signer."""
        self.site.start()
        self._token = self.signer("token", "create", "watcher", "--scope", "view").stdout.strip().split()[-1]

    def signer(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `signer` with its configuration."""
        return subprocess.run(
            [sys.executable, "-m", "signer.cli", "--config", str(self.site.config), *arguments],
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Ask the control API."""
        transport = httpx.HTTPTransport(uds=str(self.site.folder / "run/control/control.sock"))
        with httpx.Client(transport=transport, base_url="http://localhost", timeout=HANG_S) as client:
            answer = client.get(path, headers={"authorization": f"Bearer {self._token}"})
        assert answer.is_success, answer.text
        return answer.json()

    def slots(self) -> list[dict[str, Any]]:
        """Return the slots that the control API shows, the oldest first."""
        rounds = self.get("/v1/producers/local/slots")["rounds"]
        return [slot for each in reversed(rounds) for slot in each["slots"]]

    def wait(self, condition: Callable[[], object], what: str, *, timeout_s: float = HANG_S) -> Any:  # noqa: ANN401
        """Wait until `condition` holds, and return what it returned."""
        assert self.site.program is not None
        return self.site.program.wait_for(condition, what, timeout_s=timeout_s)

    def stop(self) -> None:
        """End both."""
        self.node.stop()
        self.site.clean()
