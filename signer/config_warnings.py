"""What is valid and still unwise, or will not work on this machine. Looks at files, opens none."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from typing import TYPE_CHECKING, Final

from hsm.uri import parse_uri
from signer.antelope.keys import Curve
from signer.config import DEFAULT_TIMEOUT_MS
from signer.policy.bypass import bypasses
from signer.policy.policies import owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from signer.config import Config, Listener, Token

_SECRET_MODES: Final = frozenset({0o400, 0o600})
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


def warnings(config: Config) -> list[str]:
    """Return what `check-config --strict` says about `config`: key, what is unwise, what to do."""
    return [
        *_state_dir(config),
        *(line for name, token in config.tokens.items() for line in _token(config, name, token)),
        *_nodes(config),
        *(
            line
            for index, each in enumerate(config.listeners)
            for line in _listener(f"listeners[{index}]", each)
        ),
        *_warmth(config),
        *_policies(config),
        *_audit(config),
    ]


def _audit(config: Config) -> Iterator[str]:
    places = (config.audit.checkpoint_syslog, config.audit.checkpoint_file)
    if any(places) and not any(key.role == "audit" for key in config.keys):
        yield 'audit: checkpoints have a place to go and no key that signs them; add a key of role "audit"'
    file = config.audit.checkpoint_file
    if file is None:
        return
    if not file.parent.is_dir():
        yield f"audit.checkpoint_file: there is no folder {file.parent}; make it or mount it"
    elif config.state_dir.is_dir() and file.parent.stat().st_dev == config.state_dir.stat().st_dev:
        yield (
            f"audit.checkpoint_file: {file} is on the file system of state_dir, so it is lost or changed with the "
            "log that it proves; put it on another one"
        )


def _state_dir(config: Config) -> Iterator[str]:
    path = config.state_dir
    if not path.is_dir():
        yield f"state_dir: {path} is not a folder yet; make it with mode 0700 and the signer's user as owner"
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield f"state_dir: {path} is open to other users; run chmod 0700 on it"


def _token(config: Config, name: str, token: Token) -> Iterator[str]:
    at = f"tokens.{name}"
    if token.software:
        yield (
            f"{at}.software: a software token protects against nobody who can read its folder; "
            "use a hardware token outside tests and trials"
        )
    if token.lanes == 1:
        yield f"{at}.lanes: with one lane nothing signs while it is replaced; use 2 or more"
    if not any(key.token == name for key in config.keys):
        yield f"{at}: no key is in this token; remove it or add [[keys]]"
    module = parse_uri(token.uri).module_path
    if not os.path.isfile(module):  # noqa: PTH113 - text of a URI
        yield f"{at}.uri: the module {module} does not exist here; install it or correct module-path"
    for variable, value in token.environment.items():
        if value.startswith("/") and not os.path.exists(value):  # noqa: PTH110 - text that need not be a path
            yield f"{at}.environment.{variable}: {value} does not exist; make it or correct the path"
    if token.pin_file is not None:
        yield from _secret_file(f"{at}.pin_file", token.pin_file, status=token.pin_file.lstat)
    if token.purpose == "block" and not any(key.token == name and key.role == "probe" for key in config.keys):
        yield from _unprobed(config, at, token)


def _unprobed(config: Config, at: str, token: Token) -> Iterator[str]:
    if not token.software:
        yield f'{at}: has no key of role "probe", so nothing proves that it signs between rounds; add one'
    elif config.warmth.enabled:
        yield f'{at}: has no key of role "probe", so it is not kept warm; add one'


def _secret_file(at: str, path: Path, *, status: Callable[[], os.stat_result]) -> Iterator[str]:
    """A PIN file must not be a link; a TLS key may be one, as those of certbot are."""
    try:
        found = status()
    except OSError as error:
        yield f"{at}: {path}: {error.strerror}; make it with mode 0400"
        return
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        yield f"{at}: {path} is not a regular file, so it will not be read; name the file itself"
    elif mode not in _SECRET_MODES:
        yield f"{at}: {path} has mode {mode:04o}, so it will not be read; run chmod 0400 on it"
    if path.parent.stat().st_mode & _WRITABLE_BY_OTHERS:
        yield f"{at}: other users may replace files in {path.parent}; run chmod go-w on it"


def _nodes(config: Config) -> Iterator[str]:
    for name, node in config.nodes.items():
        own = [key for key in config.keys if key.node == name]
        slow = [
            key for key in own if key.public_key.curve is Curve.K1 and not config.tokens[key.token].software
        ]
        if slow and node.timeout_ms <= DEFAULT_TIMEOUT_MS:
            yield (
                f"nodes.{name}.timeout_ms: {node.timeout_ms} ms is short for K1 in a hardware token, "
                "which needs two operations on average and ten at times; raise it here and there, or use R1"
            )
        if len(own) == 1:
            yield f"nodes.{name}: has one key, so a rotation needs a restart of nodeos; add a spare"
        elif len({key.token for key in own}) == 1 and len(config.tokens) > 1:
            yield f"nodes.{name}: all its keys are in token {own[0].token} and stop with it; put one into another"


def _listener(at: str, listener: Listener) -> Iterator[str]:
    if listener.tcp is not None:
        if listener.expose_beyond_loopback:
            yield f"{at}.tcp: whoever reaches {listener.tcp} can have blocks signed; use a firewall"
        if listener.kind == "node":
            yield f"{at}.tcp: all local users can have blocks signed here; a unix socket asks who calls"
        if listener.allow_wallet_on_tcp:
            yield f"{at}.tcp: a wallet on TCP does not ask who calls; use a unix socket"
        yield from _tls(at, listener)
        return
    path = listener.unix
    if path is None:
        return
    folder = path.parent
    if folder.is_dir() and folder.stat().st_mode & _WRITABLE_BY_OTHERS:
        yield f"{at}.unix: other users may replace the socket in {folder}; run chmod go-w on it"
    for field, user in (("owner", listener.owner), *(("peers", peer) for peer in listener.peers or ())):
        if isinstance(user, str) and not _exists(pwd.getpwnam, user):
            yield f"{at}.{field}: this machine has no user {user}; make it or correct the name"
    if listener.group is not None and not _exists(grp.getgrnam, listener.group):
        yield f"{at}.group: this machine has no group {listener.group}; make it or correct the name"


def _tls(at: str, listener: Listener) -> Iterator[str]:
    for field in ("tls_certificate", "tls_client_ca"):
        path = getattr(listener, field)
        if path is not None and not path.is_file():
            yield f"{at}.{field}: {path} is not a file; make it or correct the path"
    if listener.tls_key is not None:
        yield from _secret_file(f"{at}.tls_key", listener.tls_key, status=listener.tls_key.stat)
    if (
        listener.kind == "control"
        and listener.tcp is not None
        and listener.tcp.unspecified
        and not listener.names
    ):
        yield f"{at}.names: nobody can call it by a name; list the names that are in the certificate"


def _exists(look_up: Callable[[str], object], name: str) -> bool:
    try:
        look_up(name)
    except KeyError:
        return False
    return True


def _warmth(config: Config) -> Iterator[str]:
    if not config.warmth.enabled and any(token.software for token in config.tokens.values()):
        yield "warmth.enabled: false: a signature after a pause may take longer than nodeos waits"


def _policies(config: Config) -> Iterator[str]:
    for found in bypasses(config):
        yield f"{found.at}: {found.text}; let the rotation key do that"
    named = {key.label for policy in config.policies for key in owner(config, policy.key)}
    for index, key in enumerate(config.keys):
        if key.role == "account" and key.label not in named:
            yield f"keys[{index}]: no policy allows this account key anything, so it signs nothing; add [[policies]]"
