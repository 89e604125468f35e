"""`signer freeze` and `unfreeze`: stop signatures, with or without a running signer."""

from __future__ import annotations

import errno
import getpass
import json
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from signer import config_file
from signer.admin_client import AdminClient
from signer.antelope.keys import PublicKey
from signer.commands.exit_code import ExitCode
from signer.config_rules import nearest
from signer.errors import AdminError, AdminRefusedError, AdminUnreachableError, ConfigError, FormatError
from signer.signing.freeze import FreezeMarkers

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from signer.config import Config
    from signer.config_file import Site
    from signer.signing.freeze import Marker

#: A freeze must not wait for a signer that hangs.
_TIMEOUT_S: Final = 1.0
_SERVER_FAULT: Final = 500
#: A disk that takes longer to take a marker hangs, in s.
_DISK_S: Final = 3.0
_RETURN_AT_RISK: Final = "a crash of this host may bring the freeze back; runbook, Disk and files"
_END_AT_RISK: Final = (
    "nothing of it is signed now, but a crash of this host may end the freeze. Register another key, or stop the "
    "signer; runbook, Disk and files"
)


def freeze(arguments: argparse.Namespace) -> int:
    """Freeze by way of the signer; where it does not answer, by writing the marker that it looks for."""
    path = config_file.find(arguments.config)
    site = config_file.locate(path)
    scope, name = _target(arguments, path)
    what = f"{scope} {name}".rstrip()
    try:
        body = {"scope": scope, "name": name, "reason": arguments.reason}
        answer = AdminClient(site.admin_socket, _TIMEOUT_S).post("/v1/freeze", body)
    except (AdminUnreachableError, AdminRefusedError) as error:
        if isinstance(error, AdminRefusedError) and error.status < _SERVER_FAULT:
            raise
        durable = _leave_marker(site, scope, name, arguments.reason)
        result = {"frozen": {"scope": scope, "name": name}, "by": "marker", "why": str(error)}
        text = [
            f"frozen: {what}, by a marker in {site.freeze_dir}, which every signature looks up first",
            f"not by the signer itself: {error}",
        ]
    else:
        durable = answer.get("durable") is not False
        result, text = {"frozen": {"scope": scope, "name": name}, "by": "signer"}, [f"frozen: {what}"]
    if arguments.json:
        _print_json(result | ({} if durable else {"durable": False}))
    else:
        print("\n".join(text))
    return _code(site, _END_AT_RISK, durable=durable)


def _code(site: Site, at_risk: str, *, durable: bool) -> int:
    """Return the exit code, and say what a crash may undo of what is not on the disk."""
    if durable:
        return ExitCode.OK
    print(f"signer: {site.freeze_dir}: the disk does not answer: {at_risk}", file=sys.stderr)
    return ExitCode.FINDINGS


def _leave_marker(site: Site, scope: str, name: str, reason: str) -> bool:
    """Write the marker. Return whether it is on the disk.

    Raises:
        AdminError: it was not written.
    """
    markers = FreezeMarkers(site.freeze_dir)
    failed: list[OSError] = []

    def write() -> None:
        try:
            markers.set(scope, name, _me(), reason)
        except OSError as error:
            failed.append(error)

    writing = threading.Thread(target=write, daemon=True)  # a disk that hangs ends it never
    writing.start()
    writing.join(_DISK_S)
    try:
        there = markers.has(scope, name)
    except OSError as error:
        there, failed = False, failed or [error]
    if writing.is_alive() and not there:
        failed.append(OSError(errno.ETIMEDOUT, "the disk does not answer; the freeze may begin when it does"))
    if failed and isinstance(failed[0], PermissionError):
        raise failed[0]
    if failed and not there:
        raise AdminError(
            f"NOTHING IS FROZEN: {site.freeze_dir}: {failed[0].strerror}. Make room there, or stop the signer; "
            "runbook, Disk and files"
        )
    return not failed and not writing.is_alive()


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
        was, durable = FreezeMarkers(site.freeze_dir).clear(scope, name), True
        done = f"unfrozen: {what}, by removing its marker" if was else f"{what} was not frozen"
        done += "; the signer is not running"
    else:
        was = answer.get("unfrozen") is not False
        durable = answer.get("durable") is not False
        done = f"unfrozen: {what}" if was else f"{what} was not frozen"
    rest = _rest(site)
    if arguments.json:
        result = {"unfrozen": was, "scope": scope, "name": name, "still_frozen": rest}
        _print_json(result | ({} if durable else {"durable": False}))
        return ExitCode.OK if durable else ExitCode.FINDINGS
    print(done)
    for marker in rest or []:
        what = f"{marker['scope']} {marker['name']}".rstrip()
        print(f"still frozen: {what}: {marker['reason']}")
    return _code(site, _RETURN_AT_RISK, durable=durable)


def _rest(site: Site) -> list[Marker] | None:
    """Return the freezes that are left, None if this user may not see them."""
    try:
        return FreezeMarkers(site.freeze_dir).list()
    except PermissionError:
        return None


def _print_json(answer: dict[str, Any]) -> None:
    print(json.dumps(answer, indent=2))


def _target(arguments: argparse.Namespace, path: Path, *, must_exist: bool = True) -> tuple[str, str]:
    """Return scope and name, with a key in PUB_ form. A name that the configuration does not have is refused.

    Raises:
        FormatError: it is no key, and no label of one.
        ConfigError: the configuration has no such node or key, or several keys of that label.
    """
    if arguments.all:
        return "all", ""
    try:
        config = config_file.load(path)
    except ConfigError:
        config = None  # the file is broken: take what is asked for as it is
    scope = "node" if arguments.node is not None else "key"
    name = arguments.node if scope == "node" else str(_key(arguments.key, config, path))
    if must_exist and config is not None:
        known = list(config.nodes) if scope == "node" else [str(key.public_key) for key in config.keys]
        if name not in known:
            raise ConfigError(
                f"{path}: has no {scope} {name}{nearest(name, known)}; nothing was frozen. "
                "`signer keys list` shows all, `signer freeze --all --reason WHY` stops all"
            )
    return scope, name


def _key(text: str, config: Config | None, path: Path) -> PublicKey:
    """Return the key that `text` is, or that has it as its label: a public key is never taken for a label."""
    try:
        return PublicKey.parse(text)
    except FormatError as error:
        labelled = [key for key in config.keys if key.label == text] if config else []
        if len(labelled) == 1:
            return labelled[0].public_key
        if labelled:
            names = ", ".join(f"{key.public_key} on token {key.token}" for key in labelled)
            raise ConfigError(
                f"{path}: --key: {len(labelled)} keys have the label {text}; use a public key: {names}"
            ) from None
        labels = "no key has this label" if config else "labels are unknown while the file is invalid"
        guess = nearest(text, [key.label for key in config.keys]) if config else ""
        shows = "signer keys list" if config else "signer status"
        raise FormatError(
            f"--key: {labels}{guess}; as a public key: {error}; `{shows}` shows the keys"
        ) from None


def _me() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = "?"
    return f"{name} (uid {os.getuid()}), by the command line"
