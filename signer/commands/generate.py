"""`signer keys generate`: a new key in a token, and the block that configures it.

The file is checked with the new block before the token is touched: no key is made that cannot be used.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hsm.hardening import harden
from hsm.keys import generate_key
from signer import config_edit, config_file
from signer.antelope.keys import Curve, PublicKey
from signer.commands.exit_code import ExitCode
from signer.commands.owner import acting_as_owner
from signer.commands.token_session import opened
from signer.config_edit import CURVE_NAMES, Plan
from signer.config_rules import nearest
from signer.errors import ConfigError

if TYPE_CHECKING:
    import argparse

    from hsm.keys import KeyRecord
    from signer.config import Config


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
    plan.check(path, curve)
    with acting_as_owner(config.state_dir):
        record = _make(config, plan, curve)
    if record.point is None:
        raise ConfigError(f"token {plan.token}: the new key cannot be read: {record.problem}")
    public_key = PublicKey(curve, record.point.compressed)
    block = plan.block(public_key, record.id.hex())
    _show(arguments, public_key, record, block)
    if arguments.append:
        config_edit.append(path, block)
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
        return generate_key(session, plan.label, CURVE_NAMES[curve])
