"""A producer of ours: its account's keys in cold storage, its nodes with keys that they do not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localchain import keypair
from localchain.cleos import Action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localchain.chain import Chain
    from localchain.nodeos import Nodeos
    from localchain.tools import Tools


class OwnProducer:
    """An account with an owner and active key of its own, and the nodes that produce for it.

    Cold storage is the rig's keosd: no signer and no node of ours has that key.

    Attributes:
        name: the account.
    """

    def __init__(self, tools: Tools, chain: Chain, name: str) -> None:
        self.name = name
        self._chain = chain
        cold = keypair.generate(tools, "k1")
        chain.keosd.add(cold)
        chain.create_accounts(name, owner=cold.public)

    def join(
        self, place: str, providers: Sequence[str], *, timeout_ms: int = 5, port: int | None = None
    ) -> Nodeos:
        """Start a node that produces for the account as soon as it holds the key that the schedule names.

        Args:
            place: a name that no other node of the chain has.
            providers: values of its `signature-provider`.
            timeout_ms: how long it waits for a signature (keosd-provider-timeout).
            port: of its HTTP API; by default a free one.
        """
        return self._chain.join(
            place,
            producers=[self.name],
            providers=providers,
            lines=[f"keosd-provider-timeout = {timeout_ms}"],
            port=port,
        )

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
        data = {
            "producer": self.name,
            "producer_authority": authority,
            "url": "https://example.org/authority.json",
            "location": 9,
        }
        self._chain.cleos.push(Action("eosio", "regproducer2", data, self.name))
