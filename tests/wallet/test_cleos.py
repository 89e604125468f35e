"""Real cleos on a real chain, with account keys of both curves in a token whose PIN a person types."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from rig.chain import Chain
from rig.cleos import Action
from rig.tools import Tools
from rig.wallet_site import BLOCK, DEFAULT, OTHER, WalletSite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rig.wallet_site import WalletTokens

pytestmark = pytest.mark.chain

#: A producer for each curve: its key may claim, and pay a little into savings.
_PRODUCERS = {"k1": "bpk", "r1": "bpr"}
_POLICY = """
[[policies]]
key = "account-{curve}"
[[policies.rules]]
name = "claim"
contract = "eosio"
action = "claimrewards"
authorization = "{producer}@wallet"
arguments = {{ owner = "{producer}" }}
[[policies.rules]]
name = "save"
contract = "eosio.token"
action = "transfer"
authorization = "{producer}@wallet"
[policies.rules.arguments]
from = "{producer}"
to = "savings"
quantity = {{ at_most = "1.0000 EOS" }}
memo = {{ anything = true }}
"""


@dataclass
class _Scene:
    chain: Chain
    site: WalletSite

    def cleos(self, *arguments: str, url: str = "") -> tuple[bool, str]:
        """Run cleos; return whether it succeeded, and what it printed."""
        tools = Tools.find()
        done = subprocess.run(
            [
                *(str(tools.program), "cleos", "--url", self.chain.boot.url),
                *("--wallet-url", url or self.site.url, "--no-auto-keosd", *arguments),
            ],
            env=tools.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode == 0, done.stdout + done.stderr

    def wallet(self, *arguments: str, url: str = "") -> str:
        """Run a command of `cleos wallet` that succeeds."""
        succeeded, printed = self.cleos("wallet", *arguments, url=url)
        assert succeeded, printed
        return printed

    def transfer(self, curve: str, to: str, quantity: str, *more: str, url: str = "") -> tuple[bool, str]:
        """Push a transfer of the producer of `curve`."""
        sender = _PRODUCERS[curve]
        data = {"from": sender, "to": to, "quantity": quantity, "memo": ""}
        arguments = ("push", "action", "eosio.token", "transfer", json.dumps(data), "-p", f"{sender}@wallet")
        return self.cleos(*arguments, *more, url=url)

    def both(self) -> tuple[str, str]:
        """The wallet over unix and over TCP."""
        return self.site.url, f"http://127.0.0.1:{self.site.port}"


@pytest.fixture(scope="module")
def scene(wallet_tokens: WalletTokens, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Scene]:
    """A chain with the system contract, and a signer whose account keys have a permission each."""
    with Chain(Tools.find(), tmp_path_factory.mktemp("c")) as chain:
        site = _site(wallet_tokens, tmp_path_factory.mktemp("s"), chain)
        _give_permissions(chain, site)
        with site.start():
            yield _Scene(chain, site)


def _site(tokens: WalletTokens, folder: Path, chain: Chain) -> WalletSite:
    site = WalletSite.copy_of(tokens, folder, chain.boot.chain_id)
    site.settings = {DEFAULT: ['allow_create_key = "local"', "allow_remove_key = true"]}
    site.policies = "".join(_POLICY.format(curve=curve, producer=name) for curve, name in _PRODUCERS.items())
    return site


def _give_permissions(chain: Chain, site: WalletSite) -> None:
    chain.create_accounts(*_PRODUCERS.values(), "savings")
    chain.register(dict.fromkeys(_PRODUCERS.values(), site.key("block-r1", BLOCK)))
    for curve, name in _PRODUCERS.items():
        key = {"key": site.key(f"account-{curve}"), "weight": 1}
        authority = {"threshold": 1, "keys": [key], "accounts": [], "waits": []}
        permission = {"account": name, "permission": "wallet", "parent": "active", "auth": authority}
        tokens = {"from": "eosio", "to": name, "quantity": "100.0000 EOS", "memo": ""}
        chain.cleos.push(
            Action("eosio.token", "transfer", tokens, "eosio"),
            Action("eosio", "updateauth", permission, name),
        )
        chain.cleos.push(
            *(
                Action(
                    "eosio",
                    "linkauth",
                    {"account": name, "code": code, "type": action, "requirement": "wallet"},
                    name,
                )
                for code, action in (("eosio", "claimrewards"), ("eosio.token", "transfer"))
            )
        )


def test_a_person_unlocks_signs_and_locks(scene: _Scene) -> None:
    """As with keosd, from the first command to the last, over unix and over TCP, with keys of both curves."""
    site, pin = scene.site, scene.site.pin(DEFAULT)

    assert '"default"' in scene.wallet("list")
    assert scene.wallet("open", "-n", DEFAULT) == f"Opened: {DEFAULT}\n"
    succeeded, printed = scene.cleos("wallet", "keys")
    assert not succeeded
    assert "Ensure that your wallet is unlocked before using it!" in printed  # cleos' own advice

    assert scene.wallet("unlock", "-n", DEFAULT, "--password", pin) == f"Unlocked: {DEFAULT}\n"
    assert '"default *"' in scene.wallet("list")
    for number, url in enumerate(scene.both(), 1):
        assert json.loads(scene.wallet("keys", url=url)) == [site.key("account-k1"), site.key("account-r1")]
        for curve in _PRODUCERS:
            quantity = f"0.000{number} EOS"  # another one over each: the chain takes no transaction twice
            succeeded, printed = scene.transfer(curve, "savings", quantity, url=url)
            assert succeeded, printed
            assert "executed transaction" in printed

    for curve, name in _PRODUCERS.items():
        # The chain's own contract says no, on a chain this young: key, signature and permission were right.
        _, printed = scene.cleos("system", "claimrewards", name, "-p", f"{name}@wallet")
        assert "cannot claim rewards until the chain is activated" in printed, curve

    assert scene.wallet("lock", "-n", DEFAULT) == f"Locked: {DEFAULT}\n"
    assert '"default"' in scene.wallet("list")
    succeeded, printed = scene.transfer("r1", "savings", "0.0003 EOS")
    assert not succeeded
    assert "Locked wallet" in printed
    scene.wallet("unlock", "-n", DEFAULT, "--password", pin)
    assert scene.wallet("lock_all") == "Locked All Wallets\n"
    assert f'"{BLOCK} *"' in scene.wallet("list")  # its PIN comes from a file: no person locks it
    assert f'"{DEFAULT}"' in scene.wallet("list")


def test_policy_refuses_and_says_why(scene: _Scene) -> None:
    """What a person sees names the key, the rule and the argument; nothing reaches the chain."""
    site = scene.site
    site.unlock()
    try:
        for curve in _PRODUCERS:
            succeeded, printed = scene.transfer(curve, "savings", "5.0000 EOS")
            assert not succeeded
            assert "Error 3990013: Policy does not allow this transaction" in printed
            assert f'the policy of "account-{curve}"' in printed
            assert "quantity is 5.0000 EOS, more than 1.0000 EOS in one transaction" in printed
            _, printed = scene.transfer(curve, "eosio", "0.0001 EOS")
            assert "to is eosio, not savings" in printed
    finally:
        site.do("lock_all")
    refused = site.audited(4, verdict="refused", rule="policy-argument")
    decoded = [line["transaction"] for line in site.audit() if line["kind"] == "transaction"]

    assert len(refused) == 4
    assert any('"quantity":"5.0000 EOS"' in text and "eosio.token::transfer" in text for text in decoded)
    assert site.run("audit", "verify", str(site.audit_file)).returncode == 0


def test_cleos_sign_adds_a_signature(scene: _Scene) -> None:
    """`cleos sign` gets back what it sent, with one signature more; nodeos takes it."""
    site = scene.site
    site.unlock()
    try:
        _, printed = scene.transfer("r1", "savings", "0.0007 EOS", "-d", "-j", "-s")
        key, chain_id = site.key("account-r1"), scene.chain.boot.chain_id
        succeeded, signed = scene.cleos("sign", printed, "--public-key", key, "-c", chain_id)
        assert succeeded, signed
        assert json.loads(signed) | {"signatures": []} == json.loads(printed)
        assert len(json.loads(signed)["signatures"]) == 1
        succeeded, printed = scene.cleos("push", "transaction", signed, "--skip-sign")
        assert succeeded, printed
    finally:
        site.do("lock_all")


def test_keys_are_made_and_removed(scene: _Scene) -> None:
    """A key made by cleos is in the token and in the configuration, signs nothing without a policy, and goes again."""
    site = scene.site
    site.unlock()
    try:
        printed = scene.wallet("create_key", "-n", DEFAULT, "R1")
        key = printed.partition('"')[2].partition('"')[0]
        assert key in json.loads(scene.wallet("keys"))
        assert key in site.config.read_text()
        name, message = site.refusal("sign_transaction", [_transaction(), [key], site.chain_id])
        assert name == "signer_policy_exception"
        assert "no [[policies]]" in message

        removing = ("wallet", "remove_key", key, "-n", DEFAULT, "--password")
        succeeded, printed = scene.cleos(*removing, "nonsense")
        assert not succeeded
        assert "Invalid wallet password" in printed
        site.retry()  # no pause for this test
        succeeded, printed = scene.cleos(*removing, site.pin(DEFAULT))
        assert succeeded, printed
        assert key not in site.config.read_text()
        assert key not in json.loads(scene.wallet("keys"))
        assert site.wallets() == [f"{DEFAULT} *", OTHER, f"{BLOCK} *"]  # the PIN outlived two reloads
    finally:
        site.do("lock_all")


def _transaction() -> dict[str, object]:
    return {
        "expiration": "2030-01-01T00:00:00",
        "ref_block_num": 0,
        "ref_block_prefix": 0,
        "max_net_usage_words": 0,
        "max_cpu_usage_ms": 0,
        "delay_sec": 0,
        "context_free_actions": [],
        "actions": [],
        "transaction_extensions": [],
        "signatures": [],
        "context_free_data": [],
    }


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ("import", "-n", DEFAULT, "--private-key", "5J4Q6wYZbtVjuZ8U98SSBjz3A7tJBJHck6wfmHRukNN8Z1V8NDY"),
            "create_key",
        ),
        (("private_keys", "-n", DEFAULT, "--password", "x"), "cleos wallet keys"),
        (("create", "-n", "fresh", "--to-console"), "signer-hsm init-token"),
        (("stop",), "signer stop"),
        (
            (
                "remove_key",
                "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV",
                "-n",
                BLOCK,
                "--password",
                "x",
            ),
            "signer keys destroy",
        ),
        (("create_key", "-n", BLOCK), "signer keys generate"),
        (("lock", "-n", BLOCK), "signer freeze"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_is_refused_says_what_to_do_instead(scene: _Scene, command: tuple[str, ...], words: str) -> None:
    scene.site.unlock()
    try:
        succeeded, printed = scene.cleos("wallet", *command)
    finally:
        scene.site.do("lock_all")

    assert not succeeded
    assert words in printed
