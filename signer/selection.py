"""Which part of the configuration each process works with. Pure."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from signer.errors import ConfigError

if TYPE_CHECKING:
    from signer.config import Config, Key, Listener


def block_tokens(config: Config) -> list[str]:
    """Return the names of the tokens that the signing process opens."""
    return [name for name, token in config.tokens.items() if token.purpose == "block"]


def control_tokens(config: Config) -> list[str]:
    """Return the names of the tokens that the control process opens."""
    return [name for name, token in config.tokens.items() if token.purpose == "control"]


def keys_of_token(config: Config, token: str) -> list[Key]:
    """Return the keys of a token in the order of the file; a lane knows them by their position here."""
    return [key for key in config.keys if key.token == token]


def signing_listeners(config: Config) -> list[Listener]:
    """Return the listeners that the signing process serves."""
    return [listener for listener in config.listeners if listener.kind in ("node", "wallet")]


def control_listeners(config: Config) -> list[Listener]:
    """Return the listeners that the control process serves."""
    return [listener for listener in config.listeners if listener.kind == "control"]


def served_listeners(config: Config, only: str | None) -> list[Listener]:
    """Return the listeners to open where `only` one process (`signing` or `control`) is started, None for both."""
    if only == "signing":
        return [listener for listener in config.listeners if listener.kind != "control"]
    if only == "control":
        return [listener for listener in config.listeners if listener.kind in ("admin", "control")]
    return list(config.listeners)


def peer_uids(listener: Listener) -> frozenset[int] | None:
    """Return the uids that a unix socket serves; None on TCP, where the kernel does not tell.

    Without `peers` these are the socket's owner, the signer's own user and root.

    Raises:
        ConfigError: there is no such user.
    """
    if listener.unix is None:
        return None
    if listener.peers is None:
        owner = [listener.owner] if listener.owner is not None else []
        return frozenset({0, os.geteuid(), *(_uid(listener, name) for name in owner)})
    return frozenset(_uid(listener, peer) for peer in listener.peers)


def _uid(listener: Listener, peer: str | int) -> int:
    if isinstance(peer, int):
        return peer
    try:
        return pwd.getpwnam(peer).pw_uid
    except KeyError:
        raise ConfigError(f"listener {listener.address}: peers: there is no user {peer!r}") from None
