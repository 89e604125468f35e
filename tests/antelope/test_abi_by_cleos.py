"""Our reading of actions beside that of real cleos and nodeos: the same bytes from the same values, and back.

cleos packs by the ABI that a real nodeos serves for its real system contract, and by the contracts' own ABI files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from antelope.abi_values import TYPE_ABI, Values
from antelope.transactions import EXPIRATIONS
from rig.chain import Chain
from rig.keypair import DEVELOPMENT
from rig.tools import Tools

from signer.antelope.abi import Abi
from signer.antelope.builtin_types import UNSUPPORTED
from signer.antelope.foreign import ForeignAction, ForeignTransaction
from signer.antelope.keys import PublicKey
from signer.antelope.name import Name
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature
from signer.antelope.system_abis import ABIS, SYSTEM
from signer.antelope.transaction import PermissionLevel
from signer.policy.abis import BUILTIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

pytestmark = pytest.mark.chain

TESTS = Path(__file__).parents[1]
LEVEL = PermissionLevel(Name("alice"), Name("active"))
#: A contract's name -> the account that has it here.
CONTRACTS = {
    "eosio.system": Name("eosio"),
    "eosio.token": Name("eosio.token"),
    "eosio.msig": Name("eosio.msig"),
    "eosio.bios": Name("bios"),
}
TYPES = Name("types")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A chain with the real system contract."""
    with Chain(Tools.find(), tmp_path_factory.mktemp("a")) as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[Name, Path]:
    """The contracts' own ABI files, and one with every type, by account."""
    types = tmp_path_factory.mktemp("abi") / "types.abi"
    types.write_text(json.dumps(TYPE_ABI))
    tools = Tools.find()
    return {account: tools.contract(name) / f"{name}.abi" for name, account in CONTRACTS.items()} | {
        TYPES: types
    }


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ABI of a newer system contract, whose permission actions have a last argument that may be missing."""
    abi = json.loads((Tools.find().contract("eosio.system") / "eosio.system.abi").read_text())
    for struct in abi["structs"]:
        if struct["name"] in ("linkauth", "unlinkauth", "updateauth", "deleteauth"):
            struct["fields"].append({"name": "authorized_by", "type": "name$"})
    path = tmp_path_factory.mktemp("abi") / "newer.abi"
    path.write_text(json.dumps(abi))
    return path


class Convert:
    """`cleos convert` with ABI files instead of what the chain has, or with the chain's own."""

    def __init__(self, chain: Chain, files: dict[Name, Path]) -> None:
        self._cleos = chain.cleos
        self._options = [f"--abi-file={account}:{path}" for account, path in files.items()]

    def _run(self, *arguments: str, value: object) -> Any:  # noqa: ANN401 - JSON
        text = json.dumps(value, ensure_ascii=False)
        done = self._cleos.run(*self._options, "convert", *arguments, text)
        return json.loads(done.stdout) if done.stdout else pytest.fail(done.stderr[-2000:])

    def packed(self, transaction: ForeignTransaction, data: Iterable[object]) -> str:
        """The bytes that cleos makes of a transaction whose actions have these data (JSON)."""
        shown: dict[str, Any] = transaction.to_json([])
        for action, value in zip(shown["actions"], data, strict=True):
            action["data"] = value
        text: str = self._run("pack_transaction", "--pack-action-data", value=shown)["packed_trx"]
        return text

    def unpacked(self, packed: bytes) -> list[Any]:
        """The data that cleos reads in the actions of a transaction."""
        body = {
            "signatures": [],
            "compression": "none",
            "packed_context_free_data": "",
            "packed_trx": packed.hex(),
        }
        shown = self._run("unpack_transaction", "--unpack-action-data", value=body)
        return [action["data"] for action in shown["actions"]]


def transaction_of(actions: Iterable[tuple[Name, Name, bytes]]) -> ForeignTransaction:
    """A transaction of actions given by account, name and data."""
    return ForeignTransaction(
        EXPIRATIONS[1],
        ref_block_num=1,
        ref_block_prefix=2,
        max_net_usage_words=300,
        max_cpu_usage_ms=255,
        delay_sec=0,
        context_free_actions=(),
        actions=tuple(ForeignAction(account, name, (LEVEL,), data) for account, name, data in actions),
        extensions=(),
    )


def made(abi: Abi, account: Name, count: int, seed: int) -> list[tuple[Name, Name, str, object]]:
    """`count` random values of each action of an ABI: account, action, type, value."""
    values = Values(abi, Random(seed))  # noqa: S311 - values for tests
    return [
        (account, name, kind, values.of(kind))
        for name, kind in abi.actions.items()
        if not abi.reaches(kind) & UNSUPPORTED
        for _ in range(count)
    ]


def compare(convert: Convert, abi: Abi, cases: list[tuple[Name, Name, str, object]]) -> None:
    """Our bytes are cleos' bytes, and what it reads in ours are the values."""
    ours = transaction_of((account, name, abi.encode(kind, value)) for account, name, kind, value in cases)
    values = [value for *_, value in cases]

    assert convert.packed(ours, values) == ours.pack().hex()
    assert convert.unpacked(ours.pack()) == values
    assert [
        abi.decode(kind, action.data) for (_, _, kind, _), action in zip(cases, ours.actions, strict=True)
    ] == values


@pytest.mark.parametrize("account", ABIS)
def test_every_builtin_action_is_as_the_chain_has_it(chain: Chain, account: Name) -> None:
    """By the ABI that a real nodeos serves. This contract is older than the argument authorized_by."""
    cases = made(ABIS[account], account, 24, 1)
    for *_, value in cases:
        assert isinstance(value, dict)
        value.pop("authorized_by", None)

    compare(Convert(chain, {}), ABIS[account], cases)


def test_every_builtin_action_is_as_a_newer_contract_has_it(chain: Chain, newer: Path) -> None:
    """With the argument authorized_by, and without."""
    cases = made(ABIS[SYSTEM], SYSTEM, 12, 4)
    with_it = [value for *_, value in cases if isinstance(value, dict) and "authorized_by" in value]

    assert 0 < len(with_it) < 48
    compare(Convert(chain, {SYSTEM: newer}), ABIS[SYSTEM], cases)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_action_of_a_contract_is_as_its_abi_says(
    chain: Chain, files: dict[Name, Path], contract: str
) -> None:
    """By the contract's own ABI file: all its actions but those with floating point numbers."""
    account = CONTRACTS[contract]
    abi = Abi.parse(files[account].read_bytes())

    compare(Convert(chain, files), abi, made(abi, account, 3, 2))


def test_every_type_is_as_cleos_has_it(chain: Chain, files: dict[Name, Path]) -> None:
    """Every built-in type, and lists, options, variants, bases, typedefs and extensions of them."""
    abi = Abi.of(TYPE_ABI)

    compare(Convert(chain, files), abi, made(abi, TYPES, 12, 3))


def test_what_the_fuzzer_damaged_and_we_accept_means_the_same_to_cleos(
    chain: Chain, files: dict[Name, Path], newer: Path
) -> None:
    """No partial acceptance: damaged bytes that are taken are bytes of values, and cleos reads these values."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "antelope.fuzz_unpacker",
            "--inputs",
            "4000",
            "--seed",
            "7",
            "--accepted",
            "120",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(TESTS), "PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("accepted ")]
    cases = [(Name(account), Name(name), bytes.fromhex(data)) for _, account, name, data in lines]
    assert len(cases) == 120

    shown = Convert(chain, {TYPES: files[TYPES], SYSTEM: newer}).unpacked(transaction_of(cases).pack())

    abis = {TYPES: Abi.of(TYPE_ABI), **ABIS}
    ours = [abis[account].decode(abis[account].actions[name], data) for account, name, data in cases]
    assert shown == ours


def test_every_transaction_of_a_chain_is_read_as_nodeos_reads_it(
    chain: Chain, files: dict[Name, Path]
) -> None:
    """All that booted this chain: setting contracts, creating accounts, features, tokens, stakes."""
    pushed_at = chain.boot.head
    chain.create_accounts("alice", "bob")
    chain.boot.wait_for(lambda: chain.boot.head > pushed_at + 1, "the accounts are in a block")
    found: dict[str, int] = {}
    abis = {account: Abi.parse(path.read_bytes()) for account, path in files.items()}
    for number in range(1, chain.boot.head + 1):
        for receipt in chain.boot.call("chain/get_block", {"block_num_or_id": number})["transactions"]:
            shown = receipt["trx"]
            packed = bytes.fromhex(shown["packed_trx"])
            if shown["compression"] == "zlib":
                packed = zlib.decompress(packed)

            read = ForeignTransaction.unpack(packed)

            assert read.pack() == packed
            assert read.id() == shown["id"]
            for action, told in zip(read.actions, shown["transaction"]["actions"], strict=True):
                assert action.data.hex() == told.get("hex_data", action.data.hex())
                known = next(
                    abi
                    for abi in (abis[CONTRACTS["eosio.bios"]], abis.get(action.account))
                    if abi is not None and action.name in abi.actions
                )
                if action.name in ("setcode", "setabi"):
                    continue  # nodeos shows their bytes another way, and no rule is ever about them
                assert known.decode(known.actions[action.name], action.data) == told["data"]
                found[action.name] = found.get(action.name, 0) + 1
                if action.name in BUILTIN.actions(action.account):
                    builtin = BUILTIN.find(action.account, action.name)
                    assert builtin.abi.decode(builtin.kind, action.data) == told["data"]
    assert {"newaccount", "activate", "issue", "buyrambytes", "delegatebw", "init"} <= found.keys()


def test_keosd_signs_our_digest(chain: Chain) -> None:
    """Of any transaction: with a delay, context free actions and data, extensions, several authorisations."""
    action = ForeignAction(Name("a"), Name("b"), (LEVEL, LEVEL), b"\x00\xff")
    plain = transaction_of([(Name("eosio"), Name("claimrewards"), b"12345678")])
    for transaction in (
        plain,
        replace(plain, actions=()),
        replace(plain, expiration=EXPIRATIONS[3], delay_sec=2**32 - 1, max_net_usage_words=2**32 - 1),
        replace(plain, context_free_actions=(action,), context_free_data=(b"", b"x" * 200)),
        replace(plain, context_free_data=(b"",)),
        replace(plain, extensions=((0, b""), (65535, b"\x01" * 300)), actions=(action,) * 40),
    ):
        body = [transaction.to_json([]), [DEVELOPMENT.public], chain.boot.chain_id]

        signed = chain.keosd.call("sign_transaction", body)

        signature = Signature.parse(signed["signatures"][0])
        digest = transaction.digest(bytes.fromhex(chain.boot.chain_id))
        assert recover(digest, signature) == PublicKey.parse(DEVELOPMENT.public)
        assert transaction.to_json([signature]) == signed
        assert ForeignTransaction.from_json(signed) == (transaction, (signature,))
        assert ForeignTransaction.unpack(transaction.pack(), transaction.context_free_data) == transaction
