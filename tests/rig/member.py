"""A producer of ours on a chain, with the signer of its nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rig.kill_points import KillPoints
    from rig.nodeos import Nodeos
    from rig.own_producer import OwnProducer
    from rig.rotating_signer import RotatingSigner

#: ms. How fast a signature is, other tests say: these have more processes on the machine than it has processors.
_TIMEOUT_MS: Final = 100


@dataclass
class Member:
    """A producer of ours, the signer of its nodes, and the nodes.

    Attributes:
        place: what its folders begin with.
        producer: the account.
        signer: what quickstart made.
        kills: where its control process is killed.
        nodes: those that were started, by their name in the signer's configuration.
    """

    place: str
    producer: OwnProducer
    signer: RotatingSigner
    kills: KillPoints
    nodes: dict[str, Nodeos] = field(default_factory=dict)

    def join(self, *names: str) -> None:
        """Start nodes, and tell the signer of their APIs."""
        for name in names:
            providers = self.signer.providers(name)
            self.nodes[name] = self.producer.join(f"{self.place}-{name}", providers, timeout_ms=_TIMEOUT_MS)
        self.signer.know_nodes({name: self.nodes[name].url for name in names}, timeout_ms=_TIMEOUT_MS)
