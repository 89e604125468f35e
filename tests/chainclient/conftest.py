"""A real chain with two API nodes, booted once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from chainclient.scene import QUERIES, act, authority
from rig import keypair
from rig.chain import Chain
from rig.tools import Tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rig.nodeos import Nodeos


@dataclass(frozen=True)
class World:
    """A chain whose producer `bpa` is elected.

    Its account `alice` is no producer at first, and has a permission `rotate` that is linked to regproducer and nothing
    else. `noram`, `nonet` and `nocpu` cannot pay for a registration.

    Attributes:
        chain: its boot node answers no account queries and follows no transactions.
        api: another node of it, which does.
    """

    chain: Chain
    api: Nodeos


def _make_poor_accounts(chain: Chain) -> None:
    """Make accounts that cannot register as producers: `noram`, `nonet` and `nocpu`."""
    auth = authority(keypair.DEVELOPMENT.public)
    stakes = {"noram": ("10.0000 EOS", "10.0000 EOS"), "nocpu": ("10.0000 EOS", "0.0000 EOS"), "nonet": None}
    # An account has 2996 bytes, and 1400 of the chain's for nothing; a row of `producers` with a long url has 900.
    ram = {"noram": 1800, "nocpu": 8000, "nonet": 8000}
    for name, stake in stakes.items():
        actions = [
            act("newaccount", "eosio", creator="eosio", name=name, owner=auth, active=auth),
            act("buyrambytes", "eosio", payer="eosio", receiver=name, bytes=ram[name]),
        ]
        if stake is not None:
            net, cpu = stake
            given = {"from": "eosio", "receiver": name, "transfer": False}
            amounts = {"stake_net_quantity": net, "stake_cpu_quantity": cpu}
            actions.append(act("delegatebw", "eosio", **given, **amounts))
        chain.cleos.push(*actions)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Real nodeos with the real system contract."""
    with Chain(Tools.find(), tmp_path_factory.mktemp("c"), local=["bpa"]) as chain:
        chain.create_accounts("bpa", "alice")
        _make_poor_accounts(chain)
        auth = authority(keypair.DEVELOPMENT.public)
        chain.cleos.push(
            act("updateauth", "alice", account="alice", permission="rotate", parent="active", auth=auth),
            act("linkauth", "alice", account="alice", code="eosio", type="regproducer", requirement="rotate"),
        )
        chain.register({"bpa": chain.local["bpa"].public})
        chain.elect(["bpa"])
        yield World(chain, chain.join("api", lines=QUERIES))
