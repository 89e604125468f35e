"""A producer of ours: its account's keys in cold storage, its nodes with keys that they do not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rig import keypair
from rig.cleos import Action

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rig.chain import Chain
    from rig.nodeos import Nodeos
    from rig.tools import Tools


class OwnProducer:
    """An account with an owner and active key of its own, and the nodes that produce for it.

    Cold storage is the rig's keosd: no signer and no node of ours has that key.

    Attributes:
        name: the account.
        nodes: those that were started, by name.
    """

    def __init__(self, tools: Tools, folder: Path, chain: Chain, name: str) -> None:
        self.name = name
        self.nodes: dict[str, Nodeos] = {}
        self._chain = chain
        self._folder = folder
        cold = keypair.generate(tools, "k1")
        chain.keosd.add(cold)
        chain.create_accounts(name, owner=cold.public)

    def join(self, node: str, providers: Sequence[str]) -> Nodeos:
        """Start a node that produces for the account as soon as it holds the key that the schedule names."""
        made = self._chain.join(f"{self.name}-{node}", producers=[self.name], providers=providers)
        self.nodes[node] = made
        return made

    def register(self, key: str, *, url: str = "https://example.org/bp.json", location: int = 7) -> None:
        """Register with the cold key. url and location are values that a rotation must not lose."""
        data = {"producer": self.name, "producer_key": key, "url": url, "location": location}
        self._chain.cleos.push(Action("eosio", "regproducer", data, self.name))

    def register_authority(self, keys: Sequence[str]) -> None:
        """Register (regproducer2) with the cold key: any one of `keys` signs."""
        authority: list[Any] = [
            "block_signing_authority_v0",
            {"threshold": 1, "keys": [{"key": key, "weight": 1} for key in sorted(keys)]},
        ]
        data = {"producer": self.name, "producer_authority": authority, "url": "", "location": 0}
        self._chain.cleos.push(Action("eosio", "regproducer2", data, self.name))

    def kill(self, node: str) -> None:
        """End a node as a power cut would."""
        self.nodes.pop(node).kill()
