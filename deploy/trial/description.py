"""quickstart.json: what a script needs to know of a trial. Holds no secret."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signer import config_file
from signer.antelope.keys import Curve
from signer.errors import ConfigError
from signer.rotation import permission
from trial import private_file
from trial.config_text import CHAIN, PORT_OFFSETS
from trial.errors import TrialError
from trial.layout import CONTROL, NODES

if TYPE_CHECKING:
    from signer.antelope.keys import PublicKey
    from signer.config import Config
    from trial.layout import Layout


def describe(layout: Layout) -> dict[str, Any]:
    """Return the description of a trial whose signer does not run yet, from its config.

    Raises:
        TrialError: the config cannot be read, or has no TCP listener for `primary`.
    """
    config = config_in(layout)
    port = port_in(layout) or 0
    address = {name: f"http://127.0.0.1:{port + offset}" for name, offset in PORT_OFFSETS.items()}
    return {
        "nodes": {
            node: {"url": f"{address[node]}/v1/wallet/sign_digest", "socket": str(layout.sign_socket(node))}
            for node in NODES
        },
        "wallet_socket": str(layout.wallet_socket),
        "admin_socket": str(layout.admin_socket),
        "control_url": address[CONTROL],
        "control_token_file": str(layout.control_token_file),
        "keys": [
            {
                "public_key": str(key.public_key),
                "legacy_public_key": key.public_key.legacy,
                "curve": key.public_key.curve.value,
                "role": key.role,
                "node": key.node,
                "label": key.label,
            }
            for key in config.keys
        ],
        "pid": None,
        "config": str(layout.config),
        "venv": str(Path(sys.prefix)),
        **_rotation(config),
    }


def _rotation(config: Config) -> dict[str, Any]:
    """What the owner of the producer's account needs; nothing where no keys are rotated."""
    chain = config.chains.get(CHAIN)
    own = rotation_keys(config)
    if chain is None or chain.producer is None or not own:
        return {}
    return {"rotation_key": str(own[0]), "permission_commands": permission.commands(chain, own)}


def load(layout: Layout) -> dict[str, Any] | None:
    """Return the description on disk, or None where there is none.

    Raises:
        TrialError: it cannot be read.
    """
    try:
        content = json.loads(layout.description.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TrialError(
            f"{layout.description} cannot be read ({error}); remove it and run quickstart again"
        ) from None
    if not isinstance(content, dict):
        raise TrialError(
            f"{layout.description} is not what quickstart writes; remove it and run quickstart again"
        )
    return content


def save(layout: Layout, description: dict[str, Any]) -> None:
    """Write the description. One that did not change is not written. Raises TrialError."""
    private_file.write(layout.description, text_of(description))


def text_of(description: dict[str, Any]) -> str:
    """Return the JSON text of the description."""
    return json.dumps(description, indent=2) + "\n"


def config_in(layout: Layout) -> Config:
    """Return the signer's configuration.

    Raises:
        TrialError: it cannot be read or used.
    """
    try:
        return config_file.load(layout.config)
    except ConfigError as error:
        raise TrialError(str(error)) from None


def rotation_keys(config: Config) -> list[PublicKey]:
    """Return the rotation keys of the trial's chain."""
    return [key.public_key for key in config.keys if key.role == "rotation" and key.chain == CHAIN]


def ring_size(config: Config) -> int:
    """Return how many R1 keys every node has at least."""
    curves = [(key.node, key.public_key.curve) for key in config.keys if key.role == "block"]
    return min(curves.count((node, Curve.R1)) for node in NODES)


def port_in(layout: Layout) -> int | None:
    """Return the TCP port of `primary` in the config on disk; None where there is no config yet.

    What else is in the config is not judged: the signer itself says that best.

    Raises:
        TrialError: the config cannot be read, or has no such listener any more.
    """
    try:
        config = tomllib.loads(layout.config.read_text(encoding="utf-8"))
        for listener in config["listeners"]:
            if listener["kind"] == "node" and listener["node"] == NODES[0] and "tcp" in listener:
                return int(str(listener["tcp"]).rpartition(":")[2])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrialError(
            f"{layout.config} cannot be read ({error}); 'signer check-config' says more"
        ) from None
    raise TrialError(
        f"{layout.config} has no TCP listener for the node {NODES[0]}: start this signer with signer serve"
    )
