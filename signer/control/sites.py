"""Builds what the rotations of each chain work with, from the configuration."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from signer.antelope.name import Name
from signer.chain.client import ChainClient
from signer.rotation.site import Site

if TYPE_CHECKING:
    from signer.config import Config
    from signer.rotation.desk import Desk
    from signer.rotation.journal import Journal

_MS_PER_S: Final = 1000


def build(config: Config, journal: Journal, desk: Desk) -> dict[str, Site]:
    """Return the site of each chain that has a producer, by the chain's name."""
    found = {}
    for name, chain in config.chains.items():
        if chain.producer is None:
            continue
        timeout_s = chain.api_timeout_ms / _MS_PER_S
        nodes = {
            node: ChainClient(node, chain.id, [each.api], timeout_s=timeout_s)
            for node, each in config.nodes.items()
            if each.chain == name and each.api is not None
        }
        client = ChainClient(name, chain.id, chain.api, timeout_s=timeout_s)
        found[name] = Site(
            config,
            name,
            Name(chain.producer),
            client,
            nodes,
            journal,
            desk,
            lambda: datetime.now(UTC),
            time.monotonic,
        )
    return found
