"""`signer freeze` and `unfreeze`: stop signatures, with or without a running signer."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING, Final

from signer import config_file
from signer.admin_client import AdminClient
from signer.antelope.keys import PublicKey
from signer.commands.exit_code import ExitCode
from signer.config_rules import nearest
from signer.errors import AdminRefusedError, AdminUnreachableError, ConfigError, FormatError
from signer.signing.freeze import FreezeMarkers

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from signer.config_file import Site

#: A freeze must not wait for a signer that hangs.
_TIMEOUT_S: Final = 1.0
_SERVER_FAULT: Final = 500


def freeze(arguments: argparse.Namespace) -> int:
    """Freeze by way of the signer; where it does not answer, by writing the marker that it looks for."""
    path = config_file.find(arguments.config)
    site = config_file.locate(path)
    scope, name = _target(arguments, path)
    what = f"{scope} {name}".rstrip()
    try:
        body = {"scope": scope, "name": name, "reason": arguments.reason}
        AdminClient(site.admin_socket, _TIMEOUT_S).post("/v1/freeze", body)
    except (AdminUnreachableError, AdminRefusedError) as error:
        if isinstance(error, AdminRefusedError) and error.status < _SERVER_FAULT:
            raise
        FreezeMarkers(site.freeze_dir).set(scope, name, _me(), arguments.reason)
        print(f"frozen: {what}, by a marker in {site.freeze_dir}, which every signature looks up first")
        print(f"not by the signer itself: {error}")
    else:
        print(f"frozen: {what}")
    return ExitCode.OK


def unfreeze(arguments: argparse.Namespace) -> int:
    """End a freeze by way of the signer; where it does not run, by removing the marker."""
    path = config_file.find(arguments.config)
    site = config_file.locate(path)
    scope, name = _target(arguments, path, must_exist=False)
    what = f"{scope} {name}".rstrip()
    try:
        body = {"scope": scope, "name": name, "reason": arguments.reason or ""}
        answer = AdminClient(site.admin_socket).post("/v1/unfreeze", body)
    except AdminUnreachableError as error:
        if error.running:
            raise
        was = FreezeMarkers(site.freeze_dir).clear(scope, name)
        done = f"unfrozen: {what}, by removing its marker" if was else f"{what} was not frozen"
        print(f"{done}; the signer is not running")
    else:
        print(f"{what} was not frozen" if answer.get("unfrozen") is False else f"unfrozen: {what}")
    _show_rest(site)
    return ExitCode.OK


def _show_rest(site: Site) -> None:
    try:
        rest = FreezeMarkers(site.freeze_dir).list()
    except PermissionError:
        return
    for marker in rest:
        what = f"{marker['scope']} {marker['name']}".rstrip()
        print(f"still frozen: {what}: {marker['reason']}")


def _target(arguments: argparse.Namespace, path: Path, *, must_exist: bool = True) -> tuple[str, str]:
    """Return scope and name, with a key in PUB_ form. A name that the configuration does not have is refused.

    Raises:
        FormatError: it is no key.
        ConfigError: the configuration has no such node or key.
    """
    if arguments.all:
        return "all", ""
    scope = "node" if arguments.node is not None else "key"
    name = arguments.node if scope == "node" else str(_key(arguments.key))
    if must_exist:
        try:
            config = config_file.load(path)
        except ConfigError:
            return scope, name  # the file is broken: freeze what was asked for
        known = list(config.nodes) if scope == "node" else [str(key.public_key) for key in config.keys]
        if name not in known:
            raise ConfigError(
                f"{path}: has no {scope} {name}{nearest(name, known)}; nothing was frozen. "
                "`signer keys list` shows all, `signer freeze --all` stops all"
            )
    return scope, name


def _key(text: str) -> PublicKey:
    try:
        return PublicKey.parse(text)
    except FormatError as error:
        raise FormatError(f"--key: {error}; `signer keys list` shows the keys") from None


def _me() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = "?"
    return f"{name} (uid {os.getuid()}), by the command line"
