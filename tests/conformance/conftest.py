"""Both sides of the comparison: real keosd, and a signer with a token of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from conformance.answers import Keys
from rig import keypair, signer_process
from rig.keosd import Keosd
from rig.signer_process import RunningSigner
from rig.tools import Tools
from rig.wire import Address

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Side:
    """One side: where it listens, by kind of listener, and the keys it holds."""

    addresses: dict[str, Address]
    keys: Keys


@pytest.fixture(scope="session")
def keosd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """Real keosd."""
    tools = Tools.find()
    k1, r1 = keypair.generate(tools, "k1"), keypair.generate(tools, "r1")
    with Keosd(tools, tmp_path_factory.mktemp("k")) as running:
        running.add(k1, r1)
        addresses = {"tcp": Address(port=running.port), "unix": Address(unix=running.socket)}
        yield Side(addresses, Keys(k1.public, r1.public))


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """The node listeners of a signer."""
    installation = signer_process.provision(tmp_path_factory.mktemp("s"), timeout_ms=5000)
    with RunningSigner(installation):
        addresses = {"tcp": installation.address("tcp"), "unix": installation.address("unix")}
        yield Side(addresses, Keys(installation.legacy_k1, installation.r1))
