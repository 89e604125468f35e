"""deploy/quickstart as a person runs it, in a folder of the test."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from rig.condition import HANG_S, until
from rig.program import free_port

REPOSITORY: Final = Path(__file__).resolve().parents[2]
QUICKSTART: Final = REPOSITORY / "deploy" / "quickstart"
#: A deadline against a hang, in s.
_TIMEOUT_S: Final = 120
#: The signer's word for a signature that nodeos would no longer wait for (signer/signing/envelope.py).
_LATE: Final = "signer_late_exception"
#: Written by a running signer.
_ALIVE: Final = ("signer.log", "state")


def three_free_ports() -> int:
    """Return N so that nobody listened on N, N+1 and N+2 a moment ago."""
    while True:
        first = free_port()
        try:
            for port in (first + 1, first + 2):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            continue
        return first


@dataclass
class Trial:
    """One folder of quickstart.

    Attributes:
        folder: what `--dir` names.
        port: what `--port` names.
        wrapper: a command that runs quickstart in another way, such as setpriv.
    """

    folder: Path
    port: int = field(default_factory=three_free_ports)
    wrapper: tuple[str, ...] = ()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run quickstart on this folder."""
        return subprocess.run(
            [*self.wrapper, QUICKSTART, "--dir", self.folder, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )

    def start(self, *arguments: str) -> dict[str, Any]:
        """Start detached and return what `--json` printed."""
        result = self.run("--port", str(self.port), "--detach", "--json", *arguments)
        assert result.returncode == 0, result.stderr
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    def stop(self) -> subprocess.CompletedProcess[str]:
        """Stop the signer."""
        result = self.run("--stop")
        assert result.returncode == 0, result.stderr
        return result

    def description(self) -> dict[str, Any]:
        """What quickstart.json says now."""
        content: dict[str, Any] = json.loads((self.folder / "quickstart.json").read_text())
        return content

    def secrets(self) -> list[str]:
        """Every PIN and the control token."""
        files = [*self.folder.glob("pins/*"), *self.folder.glob("so-pins/*"), self.folder / "control.token"]
        return [path.read_text().strip() for path in files]

    def fingerprint(self) -> dict[str, str]:
        """A hash of every file that a running signer does not write, with owner, mode and time of change."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            name = str(path.relative_to(self.folder))
            if name.split("/", 1)[0] in _ALIVE or path.name.endswith(".lock"):
                continue
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            digest = hashlib.sha256(content).hexdigest()
            found[name] = f"{digest} {status.st_uid} {status.st_mode:o} {status.st_ino} {status.st_mtime_ns}"
        return found


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=HANG_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self._path)


def sign(target: str, digest: str, public_key: str) -> tuple[int, Any]:
    """Ask `target`, a sign_digest URL or the path of a unix socket, as nodeos does; return status and JSON.

    A refusal because it would come too late is asked again: which machine is fast enough is for the bench.
    """
    return until(lambda: _answer(target, digest, public_key), f"{target} answers in its time")


def _answer(target: str, digest: str, public_key: str) -> tuple[int, Any] | None:
    if target.startswith("http://"):
        url = urlsplit(target)
        connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=HANG_S)
        path = url.path
    else:
        connection, path = _UnixConnection(target), "/"
    try:
        connection.request("POST", path, json.dumps([digest, public_key]))
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    late = response.status != http.client.CREATED and answer["error"]["name"] == _LATE
    return None if late else (response.status, answer)


def uid_of(pid: int) -> int:
    """Return the user id that a process runs as."""
    return os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116 - no file of a user
