"""A real chain with two API nodes, booted once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from chainclient.scene import QUERIES
from rig.chain import Chain
from rig.tools import Tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rig.nodeos import Nodeos


@dataclass(frozen=True)
class World:
    """A chain whose producer `bpa` is elected, with an account `alice` that is nobody's producer.

    Attributes:
        chain: its boot node answers no account queries and follows no transactions.
        api: another node of it, which does.
    """

    chain: Chain
    api: Nodeos


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Real nodeos with the real system contract."""
    with Chain(Tools.find(), tmp_path_factory.mktemp("c"), local=["bpa"]) as chain:
        chain.create_accounts("bpa", "alice")
        chain.register({"bpa": chain.local["bpa"].public})
        chain.elect(["bpa"])
        yield World(chain, chain.join("api", lines=QUERIES))
