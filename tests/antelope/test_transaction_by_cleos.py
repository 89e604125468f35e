"""Our bytes beside those of real cleos, and our transactions on a chain with the real system contract.

The contract's ABI here is older than Savanna and has no actfinkey: `chain` sets an ABI with that action added
(its fields are in system-contracts eosio.system.hpp:1632). So cleos packs all four actions by an ABI that a
real nodeos serves; what actfinkey does cannot be seen here.
"""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from antelope.transactions import ACTIONS, FINALIZER_KEYS, KEYS, TRANSACTIONS
from rig import cleos as by_cleos
from rig.chain import Chain
from rig.keypair import DEVELOPMENT
from rig.tools import Tools

from signer.antelope.keys import Curve
from signer.antelope.name import Name
from signer.antelope.transaction import (
    ActFinKey,
    BlockSigningAuthority,
    KeyWeight,
    PermissionLevel,
    RegProducer,
    RegProducer2,
    Transaction,
    UnregProd,
    push_body,
    tapos,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signer.antelope.transaction import Action

pytestmark = pytest.mark.chain

ALICE = Name("alice")
K1 = next(key for key in KEYS if key.curve is Curve.K1)
R1 = next(key for key in KEYS if key.curve is Curve.R1)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A chain with the account alice, and with actfinkey in the system contract's ABI."""
    folder = tmp_path_factory.mktemp("t")
    tools = Tools.find()
    with Chain(tools, folder) as running:
        running.create_accounts(ALICE)
        # `cleos set abi` of this build fails whatever it is given ("cannot make canonical path"), so the
        # contract is set once more, with the same code.
        contract = shutil.copytree(tools.contract("eosio.system"), folder / "eosio.system")
        path = contract / "eosio.system.abi"
        abi = json.loads(path.read_text())
        assert all(action["name"] != "actfinkey" for action in abi["actions"])
        fields = [{"name": "finalizer_name", "type": "name"}, {"name": "finalizer_key", "type": "string"}]
        abi["structs"].append({"name": "actfinkey", "base": "", "fields": fields})
        abi["actions"].append({"name": "actfinkey", "type": "actfinkey", "ricardian_contract": ""})
        path.write_text(json.dumps(abi))
        running.cleos.set_contract("eosio", contract)
        yield running


def plain(transaction: Transaction) -> dict[str, Any]:
    """Its JSON with the decoded data alone, so that whoever packs it must pack the data too."""
    shown: dict[str, Any] = transaction.to_json()
    for action in shown["actions"]:
        del action["hex_data"]
    return shown


def converted(chain: Chain, *arguments: str, value: object) -> Any:  # noqa: ANN401 - JSON
    """What `cleos convert` makes of a value."""
    done = chain.cleos.run("convert", *arguments, json.dumps(value, ensure_ascii=False))
    return json.loads(done.stdout) if done.stdout else pytest.fail(done.stderr)


# -- packing -----------------------------------------------------------------------------------------------


def test_cleos_packs_the_same_bytes(chain: Chain) -> None:
    """Every fixed transaction, from its decoded fields, byte for byte."""

    def packed(transaction: Transaction) -> str:
        shown = converted(chain, "pack_transaction", "--pack-action-data", value=plain(transaction))
        text: str = shown["packed_trx"]
        return text

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(packed, TRANSACTIONS))

    assert made == [transaction.pack().hex() for transaction in TRANSACTIONS]


def test_cleos_shows_the_same_fields(chain: Chain) -> None:
    """Our bytes, unpacked by cleos, are our JSON: what an operator compares by eye is the same."""
    for transaction in TRANSACTIONS[::5]:
        body = push_body(transaction.pack(), [])
        shown = converted(chain, "unpack_transaction", "--unpack-action-data", value=body)

        assert {"signatures": [], "context_free_data": []}.items() <= shown.items()
        del shown["signatures"], shown["context_free_data"]
        for action in shown["actions"]:
            action.pop("hex_data", None)
        assert shown == plain(transaction)


@pytest.mark.parametrize("kind", [RegProducer, RegProducer2, UnregProd, ActFinKey])
def test_cleos_packs_the_same_action_data(chain: Chain, kind: type[Action]) -> None:
    """Also by itself, with `pack_action_data`."""
    for action in [action for action in ACTIONS if isinstance(action, kind)][::6]:
        fields = json.dumps(action.to_json(), ensure_ascii=False)
        done = chain.cleos.run("convert", "pack_action_data", action.account, action.name, fields)

        assert done.stdout.strip() == action.pack().hex()


# -- on the chain ------------------------------------------------------------------------------------------


def fresh(chain: Chain, *actions: Action) -> Transaction:
    """A transaction that the chain takes for a minute."""
    info = chain.boot.info()
    head = datetime.fromisoformat(info["head_block_time"]).replace(tzinfo=UTC, microsecond=0)
    num, prefix = tapos(info["last_irreversible_block_id"])
    level = PermissionLevel(ALICE, Name("active"))
    return Transaction(
        head + timedelta(seconds=60), num, prefix, tuple((action, level) for action in actions)
    )


def push(chain: Chain, transaction: Transaction, *, chain_id: str | None = None) -> Any:  # noqa: ANN401 - JSON
    """Have the digest signed by real keosd with alice's key, and push our own body."""
    digest = transaction.digest(chain_id or chain.boot.chain_id)
    signature = chain.keosd.call("sign_digest", [digest.hex(), DEVELOPMENT.public])
    return chain.boot.call("chain/send_transaction", push_body(transaction.pack(), [signature]))


def row(chain: Chain) -> Any:  # noqa: ANN401 - JSON
    """Alice's row among the producers."""
    bounds = {"lower_bound": ALICE, "upper_bound": ALICE}
    table = {"code": "eosio", "scope": "eosio", "table": "producers", "json": True, **bounds}
    return chain.boot.call("chain/get_table_rows", table)["rows"][0]


@pytest.mark.parametrize("key", [K1, R1], ids=["k1", "r1"])
def test_regproducer_is_done_as_it_says(chain: Chain, key: Any) -> None:  # noqa: ANN401 - a PublicKey
    """The row has key, url and location; the id is the one that the chain has."""
    transaction = fresh(chain, RegProducer(ALICE, key, "https://é.example/" + "a" * 492, 65535))

    pushed = push(chain, transaction)

    shown = row(chain)
    authority = BlockSigningAuthority(1, (KeyWeight(key, 1),)).to_json()
    assert pushed["transaction_id"] == transaction.id()
    assert (shown["producer_key"], shown["producer_authority"]) == (key.fc, authority)
    assert (shown["url"], shown["location"]) == ("https://é.example/" + "a" * 492, 65535)
    assert shown["is_active"] == 1


def test_regproducer2_is_done_as_it_says(chain: Chain) -> None:
    """Keys in falling order, one of no weight: the contract takes them and keeps their order."""
    keys = sorted([K1, R1, KEYS[4]], reverse=True)
    entries = (KeyWeight(keys[0], 1), KeyWeight(keys[1], 0), KeyWeight(keys[2], 65535))
    authority = BlockSigningAuthority(65536, entries)

    transaction = fresh(chain, RegProducer2(ALICE, authority, "", 0))
    pushed = push(chain, transaction)

    assert pushed["transaction_id"] == transaction.id()
    assert row(chain)["producer_authority"] == authority.to_json()


def test_unregprod_is_done_and_several_actions_are_one(chain: Chain) -> None:
    """Registered and unregistered in one transaction: the row is there, and inactive."""
    transaction = fresh(chain, RegProducer(ALICE, K1, "two", 2), UnregProd(ALICE))

    pushed = push(chain, transaction)

    shown = row(chain)
    assert pushed["transaction_id"] == transaction.id()
    assert (shown["is_active"], shown["url"], shown["location"]) == (0, "two", 2)


def test_the_chain_looks_at_digest_and_tapos(chain: Chain) -> None:
    """Were one of them wrong, the tests above would have failed: the chain refuses each."""
    transaction = fresh(chain, UnregProd(ALICE))

    with pytest.raises(AssertionError, match="unsatisfied_authorization"):
        push(chain, transaction, chain_id="00" * 32)
    with pytest.raises(AssertionError, match="invalid_ref_block_exception"):
        push(chain, replace(transaction, ref_block_prefix=transaction.ref_block_prefix ^ 1))
    with pytest.raises(AssertionError, match="expired_tx_exception"):
        push(chain, replace(transaction, expiration=transaction.expiration - timedelta(minutes=5)))


def test_trailing_bytes_are_hashed_by_nobody(chain: Chain) -> None:
    """A node takes them, and the id stays that of the rest. That is why `unpack` refuses them."""
    transaction = fresh(chain, RegProducer(ALICE, K1, "trailing", 3))
    digest = transaction.digest(chain.boot.chain_id)
    signature = chain.keosd.call("sign_digest", [digest.hex(), DEVELOPMENT.public])

    pushed = chain.boot.call("chain/send_transaction", push_body(transaction.pack() + b"\0", [signature]))

    assert pushed["transaction_id"] == transaction.id()
    assert row(chain)["url"] == "trailing"


#: What our types refuse, as the contract says it: our rules are not looser, and not invented.
FORBIDDEN = {
    "url of 512 bytes": ("regproducer", {"producer_key": K1.fc, "url": "é" * 256}, "url too long"),
    "threshold 0": (0, [(K1, 1)]),
    "threshold out of reach": (3, [(K1, 1), (R1, 1)]),
    "no keys": (1, []),
    "a key twice": (1, [(K1, 1), (K1, 1)]),
}


@pytest.mark.parametrize("fault", FORBIDDEN)
def test_what_we_refuse_the_contract_refuses(chain: Chain, fault: str) -> None:
    """Pushed by cleos, since we cannot make it."""
    match FORBIDDEN[fault]:
        case (str() as name, dict() as fields, str() as message):
            pass
        case (threshold, list() as entries):
            keys = [{"key": key.fc, "weight": weight} for key, weight in entries]
            kind = "block_signing_authority_v0"
            name, message = "regproducer2", "invalid producer authority"
            fields = {"producer_authority": [kind, {"threshold": threshold, "keys": keys}], "url": ""}
    action = by_cleos.Action("eosio", name, {"producer": ALICE, "location": 0, **fields}, ALICE)

    with pytest.raises(AssertionError, match=message):
        chain.cleos.push(action)


def test_actfinkey_is_read_by_the_chain(chain: Chain) -> None:
    """A node reads our bytes as that action, and shows our fields.

    This contract takes the action and does nothing: only the finalizer tables could say that it was done.
    """
    transaction = fresh(chain, ActFinKey(ALICE, FINALIZER_KEYS[0]))

    pushed = push(chain, transaction)

    act = pushed["processed"]["action_traces"][0]["act"]
    assert pushed["transaction_id"] == transaction.id()
    assert [act] == transaction.to_json()["actions"]
