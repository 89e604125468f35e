"""`signer keys destroy`: a key that nothing needs any more is deleted from its token, for good.

The control API decides, by the chain and the journal, and writes the decision into the audit log. The deletion itself
happens here, on the signer's host, where the PIN is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from hsm.hardening import harden
from hsm.keys import destroy_key, list_keys
from signer import config_file
from signer.antelope.keys import PublicKey
from signer.commands.exit_code import ExitCode
from signer.commands.owner import acting_as_owner
from signer.commands.token_session import opened
from signer.control_client import ControlClient
from signer.errors import ConfigError, FormatError

if TYPE_CHECKING:
    import argparse

    from signer.config import Config


class _Place(NamedTuple):
    """Where a key is: the token's name in the configuration, and the key's label and id there."""

    token: str
    label: str
    id: bytes


def destroy(arguments: argparse.Namespace) -> int:
    """Delete a key that the signer's configuration and every node's configuration have no more."""
    harden()
    path = config_file.find(arguments.config)
    config = config_file.load(path)
    try:
        key = PublicKey.parse(arguments.key)
    except FormatError as error:
        raise ConfigError(f"KEY is the public key, not its label: {error}; see `signer keys list`") from None
    with ControlClient.of(config, path, arguments.token_file) as client:
        with acting_as_owner(config.state_dir):
            place = _find(config, key)
        if place is None:
            raise ConfigError(f"no token of {path} has {key}; nothing was destroyed")
        if not arguments.yes:
            print(
                f"{key} is in token {place.token} as {place.label}. Nothing was destroyed. "
                "With --yes the signer is asked whether anything needs it; if nothing does, it is deleted for good"
            )
            return ExitCode.FAILED
        client.post(f"/v1/keys/{key}/destroy")
    with acting_as_owner(config.state_dir), opened(config, place.token) as session:
        destroy_key(session, place.label, place.id, expected_point=key.data)
    if arguments.json:
        print(json.dumps({"destroyed": str(key), "token": place.token, "label": place.label}, indent=2))
    else:
        print(f"destroyed: {key}, {place.label} in token {place.token}")
    return ExitCode.OK


def _find(config: Config, key: PublicKey) -> _Place | None:
    """Return where the key is, None if no block token has it. Every token is logged in to once."""
    for name, token in config.tokens.items():
        if token.purpose != "block":
            continue
        with opened(config, name) as session:
            for record in list_keys(session):
                if record.point is not None and record.point.compressed == key.data:
                    return _Place(name, record.label, record.id)
    return None
