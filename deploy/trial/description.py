"""quickstart.json: what a script needs to know of a trial. Holds no secret."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trial import private_file
from trial.config_text import PORT_OFFSETS
from trial.errors import TrialError
from trial.layout import CONTROL, NODES

if TYPE_CHECKING:
    from trial.layout import Layout
    from trial.ring import RingKey


def describe(layout: Layout, keys: tuple[RingKey, ...], port: int) -> dict[str, Any]:
    """Return the description of a trial whose signer does not run yet."""
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
                "role": key.wanted.role,
                "node": key.wanted.node,
                "label": key.wanted.label,
            }
            for key in keys
        ],
        "pid": None,
        "config": str(layout.config),
        "venv": str(Path(sys.prefix)),
    }


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


def port_in(layout: Layout) -> int | None:
    """Return the TCP port of `primary` in the config on disk; None where there is no config yet.

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
