"""`signer keys list` and `show`: what is configured, and how it fares."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from signer import config_file
from signer.admin_client import AdminClient
from signer.antelope.keys import PublicKey
from signer.commands import nodes
from signer.commands.exit_code import ExitCode
from signer.commands.moment import readable
from signer.commands.table import lines
from signer.config_rules import nearest
from signer.errors import AdminUnreachableError, ConfigError, FormatError

if TYPE_CHECKING:
    import argparse

    from signer.config import Config, Key

_NOT_RUNNING: Final = "not running"
_LIVE: Final = ("state", "reason", "signatures", "last_signature_at")


def list_keys(arguments: argparse.Namespace) -> int:
    """Show all keys."""
    config = config_file.load(config_file.find(arguments.config))
    live = _live(config)
    records = [_record(config, key, live) for key in config.keys]
    if arguments.json:
        print(json.dumps(records, indent=2))
        return ExitCode.OK
    header = ("KEY", "ROLE", "OF", "TOKEN", "LABEL", "STATE", "REASON")
    rows = [
        (
            each["public_key"],
            each["role"],
            each["node"] or each["chain"] or "-",
            each["token"],
            each["label"],
            each["state"],
            each["reason"],
        )
        for each in records
    ]
    print("\n".join(lines(header, rows)))
    return ExitCode.OK


def show(arguments: argparse.Namespace) -> int:
    """Show one key, named by any of its forms or by its label."""
    path = config_file.find(arguments.config)
    config = config_file.load(path)
    key = _find(config, arguments.key, str(path))
    record = _record(config, key, _live(config))
    if arguments.json:
        print(json.dumps(record, indent=2))
        return ExitCode.OK
    record["last_signature_at"] = readable(record["last_signature_at"])
    width = max(map(len, record))
    for name, value in record.items():
        print(f"{name.ljust(width)}  {'-' if value in (None, '') else value}")
    return ExitCode.OK


def _live(config: Config) -> dict[str, dict[str, Any]] | None:
    """Return what the running signer says of each key, None if none runs."""
    try:
        state = AdminClient(config.admin_socket).get("/v1/status")
    except (AdminUnreachableError, PermissionError):
        return None
    return {each.get("public_key", ""): each for each in state.get("keys") or [] if isinstance(each, dict)}


def _record(config: Config, key: Key, live: dict[str, dict[str, Any]] | None) -> dict[str, Any]:
    url, socket = nodes.addresses(config, key.node) if key.node is not None else (None, None)
    record: dict[str, Any] = {
        "public_key": str(key.public_key),
        "legacy_public_key": key.public_key.legacy,
        "curve": key.public_key.curve.value,
        "role": key.role,
        "node": key.node,
        "chain": config.chain_of(key),
        "token": key.token,
        "label": key.label,
        "id": key.id,
        "url": url,
        "socket": socket,
    }
    if live is None:
        return record | dict.fromkeys(_LIVE) | {"state": _NOT_RUNNING, "reason": ""}
    known = live.get(str(key.public_key))
    if known is None:
        fresh = "it is in the file but not in the running signer; run `signer reload`"
        return record | dict.fromkeys(_LIVE) | {"state": "not loaded", "reason": fresh}
    return record | {name: known.get(name) for name in _LIVE}


def _find(config: Config, text: str, path: str) -> Key:
    by_label = [key for key in config.keys if key.label == text]
    if len(by_label) > 1:
        names = ", ".join(f"{key.public_key} on token {key.token}" for key in by_label)
        raise ConfigError(f"{path}: {len(by_label)} keys have the label {text}; use a public key: {names}")
    if by_label:
        return by_label[0]
    try:
        wanted = PublicKey.parse(text)
    except FormatError as error:
        guess = nearest(text, [key.label for key in config.keys])
        raise ConfigError(
            f"{path}: no key has this label{guess}; as a public key: {error}; `signer keys list` shows all"
        ) from None
    for key in config.keys:
        if key.public_key == wanted:
            return key
    raise ConfigError(f"{path}: {wanted} is not in this file; `signer keys list` shows all")
