"""What every rotation of one chain works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.antelope.name import Name
    from signer.chain.client import ChainClient
    from signer.config import Chain, Config
    from signer.rotation.desk import Desk
    from signer.rotation.journal import Journal


@dataclass(frozen=True, slots=True)
class Site:
    """One chain, the nodes of ours on it, and the signer around them.

    Attributes:
        config: the whole configuration.
        name: the chain's name in it.
        producer: the account that is registered.
        client: the chain's API nodes.
        nodes: the own API of each node of ours that has one.
        journal: what is on disk.
        desk: the tokens, the signing process, the audit log.
        clock: the time of day (UTC).
        monotonic: seconds that only grow.
    """

    config: Config
    name: str
    producer: Name
    client: ChainClient
    nodes: Mapping[str, ChainClient]
    journal: Journal
    desk: Desk
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]

    @property
    def chain(self) -> Chain:
        """The chain's table of the configuration."""
        return self.config.chains[self.name]

    @property
    def rotation_keys(self) -> tuple[PublicKey, ...]:
        """The rotation keys of this signer for this chain, in the order of the configuration."""
        return tuple(
            key.public_key for key in self.config.keys if key.role == "rotation" and key.chain == self.name
        )

    def holder(self, keys: frozenset[PublicKey]) -> str | None:
        """Return the one node of ours that holds all of `keys`, None if there is none."""
        nodes = {key.public_key: key.node for key in self.config.keys if key.role == "block"}
        holders = {nodes.get(key) for key in keys}
        return holders.pop() if len(holders) == 1 else None
