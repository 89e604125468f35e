"""Asking the running signer, over its admin socket.

HTTP by http.client and not by httpx, whose import takes longer than the rest of a command. Every answer is
bounded in size, and every call has one deadline that a peer cannot stretch by answering slowly.
"""

from __future__ import annotations

import errno
import http.client
import json
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from signer.errors import AdminRefusedError, AdminUnreachableError

if TYPE_CHECKING:
    from pathlib import Path

#: A signer that does not answer a status in this time is not well.
DEFAULT_TIMEOUT_S: Final = 5.0
#: A status with a thousand keys has about 500 kB.
_MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
_PERMITTED: Final = range(200, 300)


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket, with a deadline for the whole exchange."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost")
        self._path = path
        self._deadline = time.monotonic() + timeout_s

    def connect(self) -> None:
        """Connect. Called by `request`."""
        self.sock = _DeadlineSocket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.deadline = self._deadline
        self.sock.settimeout(max(self._deadline - time.monotonic(), 0.001))
        self.sock.connect(str(self._path))


class _DeadlineSocket(socket.socket):
    """A socket whose reads and writes all end at one instant."""

    deadline: float = 0.0

    def _shorten(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - socket's own signature
        """Read, until the deadline."""
        self._shorten()
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - socket's own signature
        """Write, until the deadline."""
        self._shorten()
        super().sendall(*args, **kwargs)


class AdminClient:
    """The admin API of one signer.

    Args:
        path: its admin socket.
        timeout_s: the longest that a call takes, in s.
    """

    def __init__(self, path: Path, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON object at `path`.

        Raises:
            AdminUnreachableError: nobody listens, or no sensible answer came in time.
            AdminRefusedError: the signer said no.
            PermissionError: this user may not connect.
        """
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send `body` to `path` and return the JSON object that answers. Raises as `get`."""
        return self._ask("POST", path, body or {})

    def listening(self) -> bool:
        """Whether a process listens on the socket.

        Raises:
            PermissionError: this user may not connect.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(self._timeout_s)
            try:
                sock.connect(str(self._path))
            except PermissionError:
                raise
            except TimeoutError:
                return True
            except OSError as error:
                # EAGAIN: a listener whose backlog is full (unix(7)).
                return error.errno == errno.EAGAIN
        return True

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        connection = _Connection(self._path, self._timeout_s)
        try:
            content = None if body is None else json.dumps(body).encode()
            headers = {"Connection": "close"} | (
                {} if content is None else {"Content-Type": "application/json"}
            )
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            status, data = response.status, response.read(_MAX_ANSWER_BYTES + 1)
            if response.length:  # a bounded read() does not tell that the end is missing
                data = b""
        except PermissionError as error:
            raise PermissionError(
                error.errno,
                "may not use the admin socket; run this as root or as the signer's user",
                str(self._path),
            ) from None
        except TimeoutError:
            raise self._unwell(f"gave no answer within {self._timeout_s:g} s") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise AdminUnreachableError(
                f"the signer is not running: nobody listens on {self._path}; "
                "start it with `signer serve` as the signer's user (a trial: ./deploy/quickstart --detach)",
                running=False,
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unwell(f"broke off ({str(error) or type(error).__name__})") from None
        finally:
            connection.close()
        return self._read(status, data)

    def _read(self, status: int, data: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(data) if len(data) <= _MAX_ANSWER_BYTES else None
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._unwell(f"answered {status} with something that is not a JSON object")
        if status in _PERMITTED:
            return answer
        error = answer.get("error")
        if not isinstance(error, dict):
            raise self._unwell(f"answered {status} without saying why")
        code, message, remedy = (str(error.get(key) or "") for key in ("code", "message", "remedy"))
        raise AdminRefusedError(status, code, message or f"refused with status {status}", remedy)

    def _unwell(self, what: str) -> AdminUnreachableError:
        return AdminUnreachableError(
            f"the process that listens on {self._path} {what}; see its log, or name its config",
            running=True,
        )
