"""Listening sockets: made here, handed to the processes that serve them, kept over reload and restart.

A unix socket is born 0600, then given its owner, group and 0660, inside a folder of 0750: the kernel refuses everyone
else. uvicorn's own `uds=` would make it 0666.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from signer.errors import ConfigError

if TYPE_CHECKING:
    from signer.config import Listener

_BACKLOG = 1024
_SOCKET_MODE = 0o660
_FOLDER_MODE = 0o750


def bind(listener: Listener) -> socket.socket:
    """Return a listening socket for `listener`.

    Raises:
        ConfigError: the address is taken, the folder cannot be used, or the owner does not exist.
    """
    try:
        if listener.unix is not None:
            return _bind_unix(Path(listener.unix), _uid(listener), _gid(listener))
        assert listener.tcp is not None  # noqa: S101 - a listener has one of unix and tcp
        host, port = listener.tcp.host, listener.tcp.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        raise ConfigError(
            f"listener {listener.address}: cannot listen: {error.strerror}; "
            "is another signer running, or the address taken?"
        ) from None
    return sock


def release(sock: socket.socket) -> None:
    """Close a listening socket and remove its file."""
    name = sock.getsockname()
    sock.close()
    if isinstance(name, str) and name:
        Path(name).unlink(missing_ok=True)


def _bind_unix(path: Path, uid: int, gid: int) -> socket.socket:
    _make_folder(path.parent, uid, gid)
    if path.is_socket():
        path.unlink()  # ours from before: the state folder's lock says that no other signer runs
    elif path.exists():
        raise ConfigError(f"listener unix:{path}: a file that is no socket is in the way; move it")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)
    os.chown(path, uid, gid)
    path.chmod(_SOCKET_MODE)
    sock.listen(_BACKLOG)
    sock.setblocking(False)
    return sock


def _make_folder(folder: Path, uid: int, gid: int) -> None:
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700)
        os.chown(folder, uid, gid)
        folder.chmod(_FOLDER_MODE)
        return
    status = folder.stat()
    if status.st_uid not in (os.geteuid(), uid, 0):
        raise ConfigError(
            f"{folder}: belongs to {_name(status.st_uid)}, and this runs as {_name(os.geteuid())}; "
            f"run it as {_name(status.st_uid)}: sockets go into a folder of the signer's own user"
        )
    if stat.S_IMODE(status.st_mode) & 0o007 and status.st_uid == os.geteuid():
        folder.chmod(_FOLDER_MODE)
    elif stat.S_IMODE(status.st_mode) & 0o002:
        raise ConfigError(f"{folder}: others can write to it; run: chmod 0750 {folder}")


def _name(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"uid {uid}"


def _uid(listener: Listener) -> int:
    if listener.owner is None:
        return os.geteuid()
    try:
        return pwd.getpwnam(listener.owner).pw_uid
    except KeyError:
        raise ConfigError(
            f"listener {listener.address}: owner: there is no user {listener.owner!r}"
        ) from None


def _gid(listener: Listener) -> int:
    if listener.group is None:
        return os.getegid()
    try:
        return grp.getgrnam(listener.group).gr_gid
    except KeyError:
        raise ConfigError(
            f"listener {listener.address}: group: there is no group {listener.group!r}"
        ) from None
