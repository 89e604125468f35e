"""`signer token create`, `list` and `revoke`: who may use the control API."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signer import config_file
from signer.commands.act import record
from signer.commands.exit_code import ExitCode
from signer.commands.owner import acting_as_owner
from signer.commands.table import lines
from signer.control.auth import DATABASE, IssuedToken, TokenStore

if TYPE_CHECKING:
    import argparse


def create(arguments: argparse.Namespace) -> int:
    """Issue a token. It is shown once: on standard output, or in a new file that only its owner can read."""
    config = config_file.load(config_file.find(arguments.config))
    state_dir = config.state_dir
    now = datetime.now(UTC)
    expires_at = now + timedelta(days=arguments.days)
    out = None if arguments.out is None else _new_file(Path(arguments.out))
    try:
        with acting_as_owner(state_dir), closing(TokenStore(state_dir / DATABASE)) as store:
            token = store.create(arguments.name, arguments.scope, expires_at, now)
    except BaseException:
        if out is not None:
            Path(arguments.out).unlink()
        raise
    record(config, "token-create", f"for {arguments.name!a}, scopes {' '.join(arguments.scope)}")
    if out is None:
        print(f"it ends on {expires_at:%Y-%m-%d}, and is shown this once:", file=sys.stderr)
        print(token)
        return ExitCode.OK
    with os.fdopen(out, "w", encoding="ascii") as file:
        file.write(f"{token}\n")
    print(f"the token of {arguments.name} is in {arguments.out}; it ends on {expires_at:%Y-%m-%d}")
    return ExitCode.OK


def list_tokens(arguments: argparse.Namespace) -> int:
    """Show whose tokens there are."""
    state_dir = config_file.load(config_file.find(arguments.config)).state_dir
    with acting_as_owner(state_dir), closing(TokenStore(state_dir / DATABASE)) as store:
        tokens = [_record(token) for token in store.list()]
    if arguments.json:
        print(json.dumps(tokens, indent=2))
        return ExitCode.OK
    header = ("NAME", "SCOPES", "CREATED", "EXPIRES", "REVOKED")
    rows = [
        (
            each["name"],
            " ".join(each["scopes"]),
            each["created_at"],
            each["expires_at"] or "never",
            each["revoked_at"] or "-",
        )
        for each in tokens
    ]
    print("\n".join(lines(header, rows)))
    return ExitCode.OK


def revoke(arguments: argparse.Namespace) -> int:
    """End a person's token at once."""
    config = config_file.load(config_file.find(arguments.config))
    with acting_as_owner(config.state_dir), closing(TokenStore(config.state_dir / DATABASE)) as store:
        store.revoke(arguments.name, datetime.now(UTC))
    record(config, "token-revoke", f"of {arguments.name!a}")
    if arguments.json:
        print(json.dumps({"revoked": arguments.name}, indent=2))
    else:
        print(f"revoked: the token of {arguments.name}")
    return ExitCode.OK


def _new_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _record(token: IssuedToken) -> dict[str, Any]:
    return {
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        "revoked_at": token.revoked_at.isoformat() if token.revoked_at else None,
    }
