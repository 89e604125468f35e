"""Places off the host for checkpoints: a syslog server, or a file on another file system.

`put` blocks; whoever calls it does so in a thread. It raises OSError and nothing else.
"""

from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Final, Protocol

from signer.signing import checkpoint as checkpoints

if TYPE_CHECKING:
    from pathlib import Path

    from signer.config import Audit, SyslogAddress
    from signer.signing.audit import Checkpoint

#: Facility 13 (log audit), severity 5 (notice): 13 * 8 + 5 (RFC 5424, section 6.2.1).
_PRIORITY: Final = 109
_APP: Final = "antelope-signer"
_MESSAGE_ID: Final = "checkpoint"
#: A server on the other side of the world connects within this, in s.
_TIMEOUT_S: Final = 5.0


class Sink(Protocol):
    """One place."""

    @property
    def name(self) -> str:
        """How alarms call it."""

    def put(self, checkpoint: Checkpoint) -> None:
        """Have it there when this returns, as far as the place can say. Raises OSError."""


def build(settings: Audit) -> list[Sink]:
    """Return the configured places."""
    found: list[Sink] = []
    if settings.checkpoint_syslog is not None:
        found.append(SyslogSink(settings.checkpoint_syslog))
    if settings.checkpoint_file is not None:
        found.append(FileSink(settings.checkpoint_file))
    return found


class SyslogSink:
    """Sends RFC 5424 messages: a datagram, or over TCP with their length before them (RFC 6587, section 3.4.1).

    A datagram that is lost on its way is lost in silence; over TCP a server that has gone is noticed.
    """

    def __init__(self, address: SyslogAddress) -> None:
        self._address = address
        self.name = str(address)

    def put(self, checkpoint: Checkpoint) -> None:
        """Send it."""
        data = message(checkpoint, socket.gethostname(), os.getpid())
        tcp = self._address.tcp
        if tcp is None:
            with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)) as unix:
                unix.settimeout(_TIMEOUT_S)
                unix.connect(self._address.path)
                unix.sendall(data)
        elif self._address.kind == "udp":
            family = socket.AF_INET6 if ":" in tcp.host else socket.AF_INET
            with closing(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)) as udp:
                udp.connect((tcp.host, tcp.port))
                udp.sendall(data)
        else:
            with socket.create_connection((tcp.host, tcp.port), _TIMEOUT_S) as stream:
                stream.sendall(b"%d %b" % (len(data), data))
                stream.shutdown(socket.SHUT_WR)
                stream.recv(1)  # the server has read to the end when it closes


class FileSink:
    """Appends lines to a file, each on the disk before the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    def put(self, checkpoint: Checkpoint) -> None:
        """Append it."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(self._path, flags, 0o600)
        try:
            size = os.fstat(file).st_size
            # After a power loss, or a full disk, the last line may have no end.
            torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            data = f"{chr(10) if torn else ''}{checkpoints.to_json(checkpoint)}\n".encode("ascii")
            if os.write(file, data) != len(data):
                raise OSError(0, "only a part of the line was taken")
            os.fsync(file)
        finally:
            os.close(file)


def message(checkpoint: Checkpoint, host: str, pid: int) -> bytes:
    """Return the RFC 5424 message of a checkpoint."""
    header = f"<{_PRIORITY}>1 {checkpoint.at} {host} {_APP} {pid} {_MESSAGE_ID} -"
    return f"{header} {checkpoints.to_json(checkpoint)}".encode("ascii", "replace")
