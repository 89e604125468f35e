"""Files and sockets, as the kernel shows them."""

from __future__ import annotations

import os
import pwd
import socket
import stat
from typing import TYPE_CHECKING, Final

from signer.doctor.facts import FileFact, ListenerFact

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from signer.config import Config, Listener

#: A listener on this machine takes a connection at once.
_CONNECT_S: Final = 1.0


def user_name(uid: int) -> str:
    """Return the user's name, or `uid N`."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def file(path: Path) -> FileFact:
    """Return what is at `path`, a link as a link."""
    try:
        found, folder = path.lstat(), path.parent.stat()
    except OSError as error:
        return FileFact(path, problem=error.strerror or type(error).__name__)
    return FileFact(
        path,
        _kind(found.st_mode),
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        user_name(found.st_uid),
        stat.S_IMODE(folder.st_mode),
    )


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "folder",
        stat.S_IFSOCK: "socket",
        stat.S_IFLNK: "symbolic link",
    }
    return kinds.get(stat.S_IFMT(mode), "special file")


def pins(config: Config) -> dict[str, FileFact]:
    """Return the PIN file of each token that has one."""
    return {name: file(token.pin_file) for name, token in config.tokens.items() if token.pin_file is not None}


def listeners(wanted: Iterable[Listener]) -> list[ListenerFact]:
    """Return what is found at each address. Nothing is sent there."""
    return [
        ListenerFact(each.address, _listens(each), None if each.unix is None else file(each.unix))
        for each in wanted
    ]


def _listens(listener: Listener) -> bool | None:
    if listener.tcp is None:
        family, address = socket.AF_UNIX, str(listener.unix)
    else:
        host = listener.tcp.host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        if listener.tcp.unspecified:
            host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        address = (host, listener.tcp.port)  # type: ignore[assignment]  # as connect() takes them
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(_CONNECT_S)
        try:
            sock.connect(address)
        except PermissionError:
            return None
        except TimeoutError:
            return True  # somebody listens and is busy
        except OSError:
            return False
    return True


def owners(wanted: Iterable[Listener]) -> dict[str, int | None]:
    """Return the uids of the users that listeners name as owners, None for those that this machine does not have."""
    found: dict[str, int | None] = {}
    for listener in wanted:
        if listener.owner is not None:
            try:
                found[listener.owner] = pwd.getpwnam(listener.owner).pw_uid
            except KeyError:
                found[listener.owner] = None
    return found


def owner_of(folder: Path) -> int | None:
    """Return the uid that `folder` belongs to, None where that cannot be seen."""
    try:
        return os.stat(folder).st_uid  # noqa: PTH116 - a number and nothing else
    except OSError:
        return None
