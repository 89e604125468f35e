"""A policy as TOML, and transactions to judge by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from signer.antelope.foreign import ForeignAction, ForeignTransaction
from signer.antelope.name import Name
from signer.antelope.transaction import PermissionLevel
from signer.policy.abis import BUILTIN

#: A signer with two account keys; what follows are policies.
KEYS = """\
state_dir = "state"
[chains.eos]
id = "1111111111111111111111111111111111111111111111111111111111111111"
api = ["http://127.0.0.1:8888"]
producer = "producer1"
[chains.other]
id = "2222222222222222222222222222222222222222222222222222222222222222"
[tokens.primary]
uri = "pkcs11:token=primary?module-path=/usr/lib/softhsm/libsofthsm2.so"
pin_file = "pins/primary.pin"
[[listeners]]
kind = "admin"
unix = "admin.sock"
[[keys]]
public_key = "EOS5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1ZeXbgf"
role = "account"
chain = "eos"
token = "primary"
label = "claimer"
[[keys]]
public_key = "PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr"
role = "account"
chain = "eos"
token = "primary"
label = "idle"
"""
CHAIN = bytes.fromhex("11" * 32)
#: What every transaction here expires 30 s after.
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def rule(
    name: str, action: str, arguments: str, *, contract: str = "eosio", by: str = "producer1@claim"
) -> str:
    """A [[policies.rules]] table; `arguments` is the inside of an inline table."""
    return (
        f'[[policies.rules]]\nname = "{name}"\ncontract = "{contract}"\naction = "{action}"\n'
        f'authorization = "{by}"\narguments = {{ {arguments} }}\n'
    )


def policy(*rules: str, key: str = "claimer", more: str = "") -> str:
    """A [[policies]] table."""
    return f'[[policies]]\nkey = "{key}"\n{more}\n' + "".join(rules)


CLAIM = rule("claim", "claimrewards", 'owner = "producer1"')
PAY = rule(
    "pay",
    "transfer",
    'from = "producer1", to = { one_of = ["bob", "carol"] }, quantity = { at_most = "10.0000 EOS" }, '
    "memo = { anything = true }",
    contract="eosio.token",
    by="producer1@pay",
)


def action(contract: str, name: str, arguments: dict[str, object] | bytes, *by: str) -> ForeignAction:
    """An action of a built-in ABI; or of any other, with its data."""
    if not isinstance(arguments, bytes):
        known = BUILTIN.find(Name(contract), Name(name))
        arguments = known.abi.encode(known.kind, arguments)
    levels = tuple(PermissionLevel(*map(Name, each.split("@"))) for each in by)
    return ForeignAction(Name(contract), Name(name), levels, arguments)


def transaction(*actions: ForeignAction, **fields: Any) -> ForeignTransaction:  # noqa: ANN401 - of any type
    """A transaction as cleos makes it, but for `fields`."""
    usual: dict[str, Any] = {
        "expiration": NOW + timedelta(seconds=30),
        "ref_block_num": 1,
        "ref_block_prefix": 2,
        "max_net_usage_words": 0,
        "max_cpu_usage_ms": 0,
        "delay_sec": 0,
        "context_free_actions": (),
        "actions": actions,
        "extensions": (),
    }
    return ForeignTransaction(**(usual | fields))


def claim(owner: str = "producer1", *by: str) -> ForeignAction:
    """The everyday action."""
    return action("eosio", "claimrewards", {"owner": owner}, *(by or ("producer1@claim",)))


def transfer(quantity: str, *, to: str = "bob", memo: str = "", sender: str = "producer1") -> ForeignAction:
    """A transfer as the rule `pay` allows it, but for what is given."""
    fields: dict[str, object] = {"from": sender, "to": to, "quantity": quantity, "memo": memo}
    return action("eosio.token", "transfer", fields, "producer1@pay")
