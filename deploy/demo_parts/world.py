"""Everything that a demo runs, built in its order and ended in the opposite one."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from localchain.chain import Chain
from localchain.condition import until
from localchain.errors import LocalChainError
from localchain.own_producer import OwnProducer
from localchain.tools import Tools

from demo_parts import children
from demo_parts.access_lists import AccessLists
from demo_parts.cast import NAMES, OURS
from demo_parts.errors import DemoError
from demo_parts.own_signer import OwnSigner
from demo_parts.production import Production
from demo_parts.progress import say

if TYPE_CHECKING:
    from localchain.nodeos import Nodeos

    from demo_parts.place import Place

NODES: Final = ("primary", "standby")
_CLONE: Final = Path(__file__).resolve().parents[2]
#: ms. The machine has a whole chain to run beside the signer; nodeos' default of 5 is for one that has not.
_TIMEOUT_MS: Final = 20
#: s. A round of 21 producers takes 126.
_FIRST_BLOCK_S: Final = 180.0
#: s between two looks at the chain; a slot is 0.5.
_LOOK_S: Final = 0.4


class World:
    """The chain, our producer's two nodes, and the signer that they ask.

    Attributes:
        nodes: our nodes that run or were killed, by name.
        signer: the signer.
        production: what became of our slots.
    """

    def __init__(self, place: Place, port: int, producers: int) -> None:
        self.place = place
        self._port = port
        self._others = NAMES[1:producers]
        self._access: AccessLists | None = None
        self._tools = Tools.find()
        self._chain: Chain | None = None
        self._own: OwnProducer | None = None
        self.signer: OwnSigner | None = None
        self.nodes: dict[str, Nodeos] = {}
        self.production = Production(OURS)
        self._looked = 0.0

    # -- life ------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Start everything; return when a block that a token's key signed is on the chain.

        Raises:
            DemoError: the folder cannot be used, or the signer did not start.
            LocalChainError: something of the chain did not.
        """
        self.place.claim()
        self._access = AccessLists(_CLONE, self.place.access_lists)
        say(f"starting a chain of {len(self._others) + 1} producers, with the system contract")
        chain = self._chain = Chain(self._tools, self.place.chain, local=self._others)
        self._own = OwnProducer(self._tools, chain, OURS)
        say("making tokens, keys and configuration, and starting the signer")
        signer = self.signer = OwnSigner.make(self.place.signer, self._port, chain.boot.url, OURS)
        say(f"the account's owner gives the signer's rotation key its permission on {OURS}")
        for command in signer.description["permission_commands"]:
            done = chain.cleos.run(*command)
            if "executed transaction" not in done.stdout + done.stderr:
                raise DemoError(f"cleos {command[:3]}: {done.stdout}{done.stderr}")
        for name in NODES:
            say(f"starting our node {name}")
            self.start_node(name)
        signer.know_nodes({name: node.url for name, node in self.nodes.items()}, _TIMEOUT_MS)
        say("registering the producers and voting them in")
        if chain.local:
            chain.create_accounts(*chain.local)
            chain.register({name: key.public for name, key in chain.local.items()})
        self._own.register(signer.keys("primary")[0])
        self.production.begin(chain.boot)
        chain.elect([OURS, *self._others], timeout_s=90.0)
        say(
            "letting the signer read what the nodes list, and waiting for the first block that a key in a token signed"
        )
        for name in NODES:
            self.attest(name)
        until(
            self._first_block,
            f"a block of {OURS}",
            timeout_s=_FIRST_BLOCK_S,
            explain=self._chain_tail,
        )
        say(
            f"block {self.production.first} is signed by {signer.keys('primary')[0]}, a key in the token primary"
        )

    def _chain_tail(self) -> str:
        return "\n".join(node.tail() for node in self.nodes.values())

    def _first_block(self) -> int | None:
        self.look()
        return self.production.first

    def look(self) -> None:
        """Look at the chain, if it is time to."""
        if self._chain is not None and time.monotonic() - self._looked >= _LOOK_S:
            self._looked = time.monotonic()
            self.production.look(self._chain.boot, self.nodes)

    def end(self) -> None:
        """End every process and remove every file. What does not end is said; the rest is ended all the same."""
        if self._chain is not None:
            self._chain.stop()
        children.end_all()
        if self.place.runs_as == os.getpid():  # it was claimed
            self._end_signer(self.place)
            if self._access is not None:
                self._access.restore()
            self.place.remove()

    @staticmethod
    def _end_signer(place: Place) -> None:
        try:
            OwnSigner.end(place.signer)
        except DemoError as error:
            say(str(error))

    @classmethod
    def clean(cls, place: Place) -> None:
        """End and remove what a demo has left that was killed. Its nodes and keosd have ended with it."""
        cls._end_signer(place)
        AccessLists(_CLONE, place.access_lists).restore()
        place.remove()

    # -- parts -----------------------------------------------------------------------------------------

    def start_node(self, name: str) -> None:
        """Start a node of ours that does not run. It takes the chain anew from the others.

        nodeos does not open the database of one that was killed ("database dirty flag set").
        """
        if self._own is None or self.signer is None:
            raise DemoError("there is no producer yet")
        shutil.rmtree(self.place.chain / name / "data", ignore_errors=True)
        # The signer's configuration has the address of its API, so it keeps it.
        port = urlsplit(self.nodes[name].url).port if name in self.nodes else None
        providers = self.signer.providers(name)
        self.nodes[name] = self._own.join(name, providers, timeout_ms=_TIMEOUT_MS, port=port)

    def attest(self, name: str) -> None:
        """Let the signer read what the running node lists, as its operator does after each start."""
        node = self.nodes[name]
        if self.signer is not None:
            self.signer.run(
                *(
                    "nodes",
                    "attest",
                    name,
                    "--config-ini",
                    str(node.folder / "config.ini"),
                    "--pid",
                    str(node.pid),
                )
            )

    def about(self) -> dict[str, Any]:
        """Return what a person or a script needs to know. Holds no secret."""
        if self._chain is None or self.signer is None:
            raise DemoError("nothing runs yet")
        known = self.signer.description
        command = [str(Path(sys.executable).with_name("signer")), "--config", str(self.signer.config)]
        return {
            "producer": OURS,
            "chain_url": self._chain.boot.url,
            "node_urls": {name: node.url for name, node in self.nodes.items()},
            "dashboard_url": f"{known['control_url']}/dashboard",
            "control_url": known["control_url"],
            "token_file": known["control_token_file"],
            "signer_config": str(self.signer.config),
            "signer_command": shlex.join(command),
            "quickstart": str(self.signer.folder / "quickstart.json"),
        }

    def view(self) -> dict[str, Any]:
        """Return how everything is at this moment, for the page."""
        signer = self.signer
        status = (signer.status() if signer else None) or {}
        tokens = {
            name: {"state": token["state"], "lanes": len(token["lanes"])}
            for name, token in status.get("tokens", {}).items()
            if name in NODES
        }
        return {
            "dashboard_url": f"{signer.description['control_url']}/dashboard" if signer else "",
            "signer": "ready" if status.get("ready") else "not ready" if status else "does not answer",
            "nodes": {name: self._node(node) for name, node in self.nodes.items()},
            "tokens": tokens,
            "last_block_by": self.production.last_maker(),
            "rounds": self.production.rounds(),
        }

    @staticmethod
    def _node(node: Nodeos) -> str:
        if node.exit_code is not None:
            return "ended"
        try:
            return f"runs, head {node.head}"
        except (LocalChainError, OSError):
            return "does not answer"
