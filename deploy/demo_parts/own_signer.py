"""The demo's signer: made by deploy/quickstart, as a person makes a trial."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from demo_parts.errors import DemoError
from signer.admin_client import AdminClient
from signer.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Mapping

_QUICKSTART: Final = Path(__file__).resolve().parents[1] / "quickstart"
_SIGNER: Final = Path(sys.executable).with_name("signer")
#: s. Against a hang.
_COMMAND_S: Final = 60.0
_STATUS_S: Final = 2.0
#: What quickstart writes for each node.
_TIMEOUT: Final = re.compile(r"^timeout_ms = 5\b", re.MULTILINE)


class OwnSigner:
    """One signer with the nodes primary and standby.

    Args:
        folder: its state.
        description: quickstart.json at its start.
    """

    def __init__(self, folder: Path, description: dict[str, Any]) -> None:
        self.folder = folder
        self.description = description
        self._admin = AdminClient(Path(description["admin_socket"]), timeout_s=_STATUS_S)

    @classmethod
    def make(cls, folder: Path, port: int, chain_url: str, producer: str) -> OwnSigner:
        """Make tokens, keys and configuration, and start it.

        Raises:
            DemoError: quickstart says why not.
        """
        options = ["--port", str(port), "--chain", chain_url, "--producer", producer, "--ring", "3"]
        with subprocess.Popen(  # noqa: S603 - our own program
            [_QUICKSTART, "--dir", folder, *options, "--detach", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                printed, said = process.communicate()
            except BaseException:
                # The whole group, because a shell goes on when its child has not ended of the signal. quickstart
                # ends the signer that it has started.
                os.killpg(process.pid, signal.SIGINT)
                process.communicate()
                raise
        if process.returncode != 0:
            raise DemoError(f"quickstart did not start the signer:\n{said.strip()}")
        return cls(folder, json.loads(printed))

    @staticmethod
    def end(folder: Path) -> None:
        """Stop the signer of a folder, if there is one.

        Raises:
            DemoError: it did not end.
        """
        if not (folder / ".quickstart").exists():
            return
        done = subprocess.run(  # noqa: S603 - our own program
            [_QUICKSTART, "--dir", folder, "--stop"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if done.returncode != 0:
            raise DemoError(f"the signer of {folder} did not stop:\n{done.stderr.strip()}")

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.folder / "signer.toml"

    def keys(self, node: str) -> list[str]:
        """Return the node's R1 block keys, in the order of its ring."""
        return [
            key["public_key"]
            for key in self.description["keys"]
            if (key["role"], key["node"], key["curve"]) == ("block", node, "R1")
        ]

    def providers(self, node: str) -> list[str]:
        """Return the values of nodeos' `signature-provider` for the node's keys."""
        url = self.description["nodes"][node]["url"]
        return [f"{key}=KEOSD:{url}" for key in self.keys(node)]

    def know_nodes(self, urls: Mapping[str, str], timeout_ms: int) -> None:
        """Write each node's own HTTP API and its timeout into the configuration, and reload it."""
        text = _TIMEOUT.sub(f"timeout_ms = {timeout_ms}", self.config.read_text(encoding="utf-8"))
        for node, url in urls.items():
            text = text.replace(f"[nodes.{node}]\n", f'[nodes.{node}]\napi = "{url}"\n')
        self.config.write_text(text, encoding="utf-8")
        self.run("reload")

    def run(self, *arguments: str) -> str:
        """Run a `signer` command on it and return what it prints.

        Raises:
            DemoError: it failed.
        """
        done = subprocess.run(  # noqa: S603 - our own program
            [_SIGNER, "--config", self.config, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
            start_new_session=True,
        )
        if done.returncode != 0:
            raise DemoError(f"signer {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def status(self) -> dict[str, Any] | None:
        """Return what `signer status --json` prints, or None where nobody answers."""
        try:
            status: dict[str, Any] = self._admin.get("/v1/status")
        except (AdminError, PermissionError):
            return None
        return status

    def lanes(self, token: str) -> list[int]:
        """Return the process ids of a token's lanes."""
        tokens = (self.status() or {}).get("tokens", {})
        return [lane["pid"] for lane in tokens.get(token, {}).get("lanes", [])]

    def token_folder(self, token: str) -> Path:
        """Return where SoftHSM keeps a token: what stands for a device here."""
        return self.folder / "softhsm" / token
