"""The permission on a real chain: real cleos makes it, and nodeos lets its keys do what `LIMIT` says and no more."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from rig import keypair, two_nodes
from rig.chain import Chain
from rig.cleos import Cleos
from rig.keosd import Keosd
from rig.tools import Tools

from signer import config
from signer.antelope.keys import PublicKey
from signer.antelope.name import Name
from signer.chain import reading
from signer.chain.answer import Answer
from signer.chain.values import Account, Authorized, LinkedAction
from signer.rotation import permission
from signer.rotation.permission import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rig.nodeos import Nodeos

pytestmark = pytest.mark.chain

_names = itertools.count()


@dataclass(frozen=True)
class Network:
    """A chain, an API node of it that looks keys up, and a wallet with rotation keys and nothing else."""

    chain: Chain
    api: Nodeos
    tools: Tools
    wallet: Keosd


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A chain with the system contract."""
    tools = Tools.find()
    folder = tmp_path_factory.mktemp("p")
    with Chain(tools, folder) as chain, Keosd(tools, folder / "rotation") as wallet:
        lines = ["enable-account-queries = true"]
        api = chain.join("api", producers=[], providers=[], lines=lines)
        yield Network(chain, api, tools, wallet)


@dataclass(frozen=True)
class Producer:
    """A registered producer whose owner has run the commands."""

    network: Network
    settings: config.Chain
    rotation_key: PublicKey

    @property
    def name(self) -> str:
        """Its account."""
        assert self.settings.producer is not None
        return self.settings.producer

    def account(self) -> Account:
        """Return the account as the boot node shows it."""
        node = self.network.chain.boot
        return reading.account(Answer(node.call("chain/get_account", {"account_name": self.name})))

    def authorized(self, *keys: PublicKey) -> tuple[Authorized, ...]:
        """Ask the node that looks keys up, once it has the block that is being made now."""
        api = self.network.api
        api.wait_for_head(self.network.chain.boot.head + 1)
        asked = {"accounts": [], "keys": [str(key) for key in keys]}
        return reading.authorized(Answer(api.call("chain/get_accounts_by_authorizers", asked)))

    def faults(self, block_keys: dict[PublicKey, str] | None = None) -> dict[str, str]:
        """What `verify` finds that is not ok: name of the check -> its text."""
        block_keys = block_keys or dict.fromkeys(two_nodes.A, "a")
        own = self.rotation_key
        checks = permission.verify(
            self.account(),
            self.authorized(own, *block_keys),
            chain=self.settings,
            own=[own],
            block_keys=block_keys,
        )
        return {check.name: check.text for check in checks if check.verdict is not Verdict.OK}

    def owner(self, *arguments: str) -> None:
        """Run cleos as the account's owner."""
        done = self.network.chain.cleos.run(*arguments)
        assert "executed transaction" in done.stdout + done.stderr, done.stderr

    def push(self, account: str, action: str, data: Any, by: str = "rotate") -> str:  # noqa: ANN401 - JSON
        """Push an action with the rotation key. Returns nodeos' error, empty if it was accepted."""
        done = Cleos(self.network.tools, self.network.chain.boot, self.network.wallet).run(
            *("push", "action", account, action, json.dumps(data), "-p", f"{self.name}@{by}")
        )
        if "executed transaction" in done.stdout + done.stderr:
            return ""
        assert "failed transaction" in done.stderr or "Error 3" in done.stderr, done.stderr
        return done.stderr


@pytest.fixture
def producer(network: Network) -> Producer:
    """A producer of its own for each test."""
    name = f"bravo{'abcdefghij'[next(_names)]}"
    network.chain.create_accounts(name)
    network.chain.register({name: str(two_nodes.A[1])})
    settings = config.Chain(
        id=network.chain.boot.chain_id, producer=name, other_rotation_keys=(two_nodes.OTHER_ROTATION,)
    )
    pair = keypair.generate(network.tools, "r1")
    network.wallet.add(pair)
    made = Producer(network, settings, PublicKey.parse(pair.public))
    assert "permission" in made.faults()
    for arguments in permission.commands(settings, [made.rotation_key]):
        made.owner(*arguments)
    return made


def authority(*keys: PublicKey) -> dict[str, Any]:
    return {
        "threshold": 1,
        "keys": [{"key": str(key), "weight": 1} for key in keys],
        "accounts": [],
        "waits": [],
    }


def test_after_the_commands_everything_is_in_order(producer: Producer) -> None:
    assert producer.faults() == {}
    own = [producer.rotation_key]
    (there,) = producer.authorized(*own)
    assert (there.account, there.permission) == (producer.name, "rotate")
    assert permission.signers(producer.account(), producer.settings, own) == tuple(own)
    assert permission.unusable(producer.account(), producer.settings, own) == ""


def test_a_rotation_key_registers_and_unregisters_the_producer(producer: Producer) -> None:
    registration = {"producer": producer.name, "producer_key": str(two_nodes.B[1]), "url": "", "location": 0}

    assert producer.push("eosio", "regproducer", registration) == ""
    assert producer.push("eosio", "unregprod", {"producer": producer.name}) == ""


def test_a_rotation_key_can_touch_nothing_else(producer: Producer) -> None:
    name, key = producer.name, producer.rotation_key
    transfer = {"from": name, "to": "eosio", "quantity": "0.0001 EOS", "memo": ""}
    active = {"account": name, "permission": "active", "parent": "owner", "auth": authority(key)}
    more = {"account": name, "code": "eosio", "type": "claimrewards", "requirement": "rotate"}

    for account, action, data in (
        ("eosio.token", "transfer", transfer),
        ("eosio", "claimrewards", {"owner": name}),
        ("eosio", "updateauth", active),
        ("eosio", "linkauth", more),
    ):
        assert "Irrelevant authority included" in producer.push(account, action, data)
        # Under the name of the permission that may: it does not have the key.
        assert "does not have signatures for it" in producer.push(account, action, data, by="active")


def test_a_rotation_key_can_change_delete_and_relink_its_own_permission(producer: Producer) -> None:
    name, key = producer.name, producer.rotation_key
    alone = {"account": name, "permission": "rotate", "parent": "active", "auth": authority(key)}
    below = {"account": name, "permission": "sub", "parent": "rotate", "auth": authority(key)}

    assert producer.push("eosio", "updateauth", alone) == ""
    assert producer.push("eosio", "updateauth", below) == ""
    assert producer.push("eosio", "unlinkauth", {"account": name, "code": "eosio", "type": "unregprod"}) == ""

    faults = producer.faults()
    assert faults.keys() == {"keys", "two-keys", "links", "children", "elsewhere"}
    assert faults["keys"] == f"{two_nodes.OTHER_ROTATION} is missing"
    assert faults["links"] == "eosio::unregprod is not linked to it"


def test_what_is_too_much_is_found(producer: Producer) -> None:
    name = producer.name
    block_key = two_nodes.public_key(61)

    producer.owner(
        *("set", "account", "permission", name, "claims", json.dumps(authority(block_key)), "active"),
        *("-p", f"{name}@active"),
    )
    producer.owner("set", "action", "permission", name, "eosio", "ALL", "rotate", "-p", f"{name}@active")

    faults = producer.faults({block_key: "a"})
    assert faults.keys() == {"block-keys", "block-keys-anywhere", "links"}
    assert faults["links"] == "all of eosio is linked to it, which rotations do not need"
    links = next(each for each in producer.account().permissions if each.name == "rotate").linked_actions
    assert links is not None
    assert LinkedAction(Name("eosio"), None) in links


def test_a_permission_without_its_link_is_of_no_use(producer: Producer) -> None:
    name = producer.name
    producer.owner(
        *("set", "action", "permission", name, "eosio", "regproducer", "NULL", "-p", f"{name}@active")
    )

    registration = {"producer": name, "producer_key": str(two_nodes.B[1]), "url": "", "location": 0}
    assert "Irrelevant authority included" in producer.push("eosio", "regproducer", registration)
    own = [producer.rotation_key]
    assert "is not linked to rotate" in permission.unusable(producer.account(), producer.settings, own)
