"""`signer policy test`: may an account key sign this transaction, and why? Asks nobody, signs nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Final

from signer import config_file
from signer.antelope import strict_json
from signer.antelope.foreign import ForeignTransaction, parse_chain_id
from signer.antelope.name import parse_name
from signer.commands.exit_code import ExitCode
from signer.commands.table import plain
from signer.config_rules import nearest
from signer.errors import ConfigError, FormatError
from signer.policy import policies
from signer.policy.constraint import shown
from signer.policy.decision import decide

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from signer.antelope.foreign import ForeignAction
    from signer.config import Config, Key
    from signer.policy.abis import Abis
    from signer.policy.decision import Decision, Verdict

#: A transaction of the largest body that a wallet listener can be set to take.
_MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_REQUEST_PARTS: Final = 3


def test(arguments: argparse.Namespace) -> int:
    """Say for each key what would happen; refused if one of them refuses.

    The file has what cleos prints with `--dont-broadcast --json`, with or without --unpack-action-data and
    --return-packed, or the body of a sign_transaction request.
    """
    path = config_file.find(arguments.config)
    config = config_file.load(path)
    known = policies.load(config)
    transaction, asked, chain_id = _read(Path(arguments.transaction), known.abis)
    keys = _keys(config, arguments.key, asked, arguments.chain)
    if arguments.chain is not None:
        if arguments.chain not in config.chains:
            hint = nearest(arguments.chain, config.chains)
            raise ConfigError(f"no [chains.{arguments.chain}] in {path}{hint}")
        chain_id = bytes.fromhex(config.chains[arguments.chain].id)
    now = datetime.now(UTC)
    decisions = []
    for key in keys:
        own = bytes.fromhex(config.chains[config.chain_of(key) or ""].id)
        decisions.append((key, decide(transaction, chain_id or own, key.public_key, known, now)))
    if arguments.json:
        shown_as = [_as_json(key, decision, transaction, known.abis) for key, decision in decisions]
        print(json.dumps(shown_as, indent=2))
    else:
        for key, decision in decisions:
            print("\n".join(plain(line) for line in _lines(key, decision, transaction, known.abis)))
    return ExitCode.OK if all(decision.allowed for _, decision in decisions) else ExitCode.FAILED


def _keys(config: Config, given: str | None, asked: tuple[str, ...], chain: str | None) -> list[Key]:
    """The keys of --key, else those that the request names, else the only account key (of --chain)."""
    own = [key for key in config.keys if key.role == "account"]
    have = ", ".join(key.label for key in own) or "none"
    names = [given] if given is not None else list(asked)
    if not names:
        if not own:
            raise ConfigError(
                "the configuration has no key of role account: no transaction of cleos is signed"
            )
        fitting = [key for key in own if chain in (None, key.chain)]
        if len(fitting) != 1:
            raise ConfigError(f"{len(fitting)} account keys could be meant; name one with --key: {have}")
        return fitting
    keys = []
    for name in names:
        found = policies.owner(config, name)
        if len(found) != 1:
            hint = nearest(name, [key.label for key in own])
            raise ConfigError(
                f"{shown(name)} names {len(found)} account keys{hint}; account keys are: {have}"
            )
        keys += found
    return keys


# -- the file --------------------------------------------------------------------------------------------------


def _read(path: Path, abis: Abis) -> tuple[ForeignTransaction, tuple[str, ...], bytes | None]:
    """The transaction in a file, and the keys and the chain id of a request."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}") from None
    try:
        if len(data) > _MAX_FILE_BYTES:
            raise FormatError(f"is larger than {_MAX_FILE_BYTES} bytes")
        value = strict_json.loads(data)
        keys: tuple[str, ...] = ()
        chain_id = None
        if isinstance(value, list) and len(value) == _REQUEST_PARTS and isinstance(value[1], list):
            value, keys, chain_id = value[0], tuple(map(str, value[1])), parse_chain_id(value[2])
        if isinstance(value, dict) and "packed_trx" in value:
            return _unpacked(value), keys, chain_id
        transaction, _ = ForeignTransaction.from_json(_with_data(value, abis))
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    return transaction, keys, chain_id


def _unpacked(value: dict[str, object]) -> ForeignTransaction:
    """The transaction of `cleos --return-packed`."""
    packed = value["packed_trx"]
    if value.get("compression") not in ("none", 0) or value.get("packed_context_free_data") != "":
        raise FormatError("a packed transaction is read without compression and context free data alone")
    try:
        return ForeignTransaction.unpack(bytes.fromhex(packed if isinstance(packed, str) else ""))
    except ValueError:
        raise FormatError("packed_trx: is not written in hexadecimal digits") from None


def _with_data(value: object, abis: Abis) -> object:
    """The same, with the data of each action as bytes where they are decoded (`cleos --unpack-action-data`)."""
    actions = value.get("actions") if isinstance(value, dict) else None
    if not isinstance(actions, list):
        return value
    for index, action in enumerate(actions):
        if not isinstance(action, dict) or not isinstance(action.get("data"), dict):
            continue
        try:
            known = abis.find(parse_name(action.get("account")), parse_name(action.get("name")))
            action["data"] = known.abi.encode(known.kind, action["data"]).hex()
        except FormatError as error:
            raise FormatError(f"actions[{index}].data: {error}") from None
        action.pop("hex_data", None)
    return value


# -- what is printed -------------------------------------------------------------------------------------------


def _lines(key: Key, decision: Decision, transaction: ForeignTransaction, abis: Abis) -> Iterator[str]:
    yield f"key {key.label} ({key.public_key.fc}) on {key.chain}"
    for number, (action, verdict) in enumerate(_judged(transaction, decision), 1):
        rule = verdict.rule if verdict is not None else ""
        state = f'allowed by rule "{rule}"' if rule else "refused"
        by = ", ".join(_levels(action)) or "nobody"
        yield f"action {number}: {action.account}::{action.name}, authorised by {by}: {state}"
        arguments = _arguments(action, abis)
        fields = {"data": action.data.hex()} if arguments is None else arguments
        for name, value in fields.items():
            yield f"    {name} = {shown(value)}"
        for reason in verdict.reasons if verdict is not None else ():
            yield f"    why: {reason}"
    yield f"{'allowed' if decision.allowed else 'refused'}: {decision.text}"


def _as_json(key: Key, decision: Decision, transaction: ForeignTransaction, abis: Abis) -> dict[str, object]:
    return {
        "key": key.public_key.fc,
        "label": key.label,
        "chain": key.chain,
        "allowed": decision.allowed,
        "rule": decision.rule,
        "text": decision.text,
        "actions": [
            {
                "account": action.account,
                "name": action.name,
                "authorization": _levels(action),
                "data": _arguments(action, abis),
                "hex_data": action.data.hex(),
                "allowed": verdict is not None and bool(verdict.rule),
                "rule": (verdict.rule or verdict.refusal) if verdict is not None else decision.rule,
                "reasons": list(verdict.reasons) if verdict is not None else [],
            }
            for action, verdict in _judged(transaction, decision)
        ],
    }


def _judged(
    transaction: ForeignTransaction, decision: Decision
) -> Iterator[tuple[ForeignAction, Verdict | None]]:
    """Each action with its verdict; None for those that were not looked at."""
    return zip_longest(transaction.actions, decision.verdicts)


def _arguments(action: ForeignAction, abis: Abis) -> dict[str, object] | None:
    """The data of an action, decoded; None where no ABI reads them."""
    try:
        known = abis.find(action.account, action.name)
        value = known.abi.decode(known.kind, action.data)
    except FormatError:
        return None
    return value if isinstance(value, dict) else None


def _levels(action: ForeignAction) -> list[str]:
    return [f"{level.actor}@{level.permission}" for level in action.authorization]
