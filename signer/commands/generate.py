"""`signer keys generate`: a new key in a token, and the block that configures it.

The file is checked with the new block before the token is touched: no key is made that cannot be used.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from hsm.hardening import harden
from hsm.keys import generate_key
from signer import config_file
from signer.antelope.keys import Curve, PublicKey
from signer.commands.exit_code import ExitCode
from signer.commands.owner import acting_as_owner
from signer.commands.token_session import opened
from signer.config_rules import nearest
from signer.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from hsm.keys import KeyRecord
    from signer.config import Config

_NAMES: Final[dict[Curve, Literal["secp256k1", "prime256v1"]]] = {
    Curve.K1: "secp256k1",
    Curve.R1: "prime256v1",
}
#: The curves' base points (SEC 2 version 2.0, sections 2.4.1 and 2.4.2) stand for a key that is not made yet.
#: Their private key is 1, so no token holds them.
_STAND_IN: Final = {
    Curve.K1: bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
    Curve.R1: bytes.fromhex("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for: the fields of a [[keys]] block that are known before the key is."""

    role: str
    node: str | None
    chain: str | None
    token: str
    label: str

    def block(self, public_key: PublicKey, key_id: str | None) -> str:
        """Return the TOML block, with a newline at its end."""
        fields = {
            "public_key": str(public_key),
            "role": self.role,
            "node": self.node,
            "chain": self.chain,
            "token": self.token,
            "label": self.label,
            "id": key_id,
        }
        text = [
            f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items() if value
        ]
        return "\n".join(("[[keys]]", *text)) + "\n"


def generate(arguments: argparse.Namespace) -> int:
    """Make the key and show it."""
    harden()
    path = config_file.find(arguments.config)
    config = config_file.load(path)
    curve = Curve(arguments.curve.upper())
    plan = Plan(arguments.role, arguments.node, arguments.chain, arguments.token, arguments.label)
    if plan.token not in config.tokens:
        raise ConfigError(
            f"{path}: has no token {plan.token}{nearest(plan.token, config.tokens)}; "
            f"known are: {', '.join(config.tokens) or 'none'}"
        )
    _check(path, plan.block(PublicKey(curve, _STAND_IN[curve]), None))
    with acting_as_owner(config.state_dir):
        record = _make(config, plan, curve)
    if record.point is None:
        raise ConfigError(f"token {plan.token}: the new key cannot be read: {record.problem}")
    public_key = PublicKey(curve, record.point.compressed)
    block = plan.block(public_key, record.id.hex())
    _show(arguments, public_key, record, block)
    if arguments.append:
        _append(path, block)
        if not arguments.json:
            print(f"appended to {path}; run `signer reload`")
    return ExitCode.OK


def _show(arguments: argparse.Namespace, public_key: PublicKey, record: KeyRecord, block: str) -> None:
    if arguments.json:
        answer = {
            "public_key": str(public_key),
            "legacy_public_key": public_key.legacy,
            "curve": public_key.curve.value,
            "token": arguments.token,
            "label": record.label,
            "id": record.id.hex(),
            "toml": block,
        }
        print(json.dumps(answer, indent=2))
        return
    print(f"public key   {public_key}")
    if public_key.legacy is not None:
        print(f"legacy form  {public_key.legacy}")
    if not arguments.append:
        print(f"\n{block}")


# -- the token --------------------------------------------------------------------------------------------


def _make(config: Config, plan: Plan, curve: Curve) -> KeyRecord:
    with opened(config, plan.token) as session:
        return generate_key(session, plan.label, _NAMES[curve])


# -- the file ---------------------------------------------------------------------------------------------


def _check(path: Path, block: str) -> bytes:
    """Return the file's bytes with `block` at the end, if that is a valid configuration.

    Raises:
        ConfigError: it is not, or the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    separator = b"" if not data or data.endswith(b"\n") else b"\n"
    data += separator + b"\n" + block.encode()
    try:
        config_file.parse(data, path)
    except ConfigError as error:
        raise ConfigError(
            f"{error}\n{path}: so with the new [[keys]] block; the file was not changed"
        ) from None
    return data


def _append(path: Path, block: str) -> None:
    """Put `block` at the end of the file, by a new file in its place with the same mode and owner.

    Raises:
        ConfigError: the file cannot be replaced.
    """
    data = _check(path, block)
    target = path.resolve()
    new = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        before = target.stat()
        with new.open("xb") as file:
            os.fchmod(file.fileno(), before.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise ConfigError(
            f"{path}: cannot be replaced: {error.strerror}; the key exists, so paste its block:\n{block}"
        ) from None
