"""A TPM in software (swtpm), as a device that no resource manager stands before."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Final

from rig.program import Program, free_port

if TYPE_CHECKING:
    from pathlib import Path

MODULE: Final = "/usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1"


class Tpm(Program):
    """One TPM with an empty state.

    Args:
        folder: for its state; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        state = folder / "state"
        state.mkdir(parents=True)
        self._port = _two_free_ports()
        super().__init__(
            [
                *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}"),
                *("--server", f"type=tcp,port={self._port},bindaddr=127.0.0.1"),
                *("--ctrl", f"type=tcp,port={self._port + 1},bindaddr=127.0.0.1"),
                *("--flags", "not-need-init,startup-clear"),
            ],
            folder / "swtpm.log",
            environment={"PATH": os.environ["PATH"]},
            folder=folder,
            death_signal=signal.SIGTERM,
        )
        self.name = "swtpm"
        self.wait_until_up(self._listens, "swtpm listens")

    @property
    def tcti(self) -> str:
        """How the TPM's libraries reach it."""
        return f"swtpm:host=127.0.0.1,port={self._port}"

    def tool(self, *command: str) -> None:
        """Run one of tpm2-tools on it."""
        done = subprocess.run(
            command,
            env={"PATH": os.environ["PATH"], "TPM2TOOLS_TCTI": self.tcti, "TSS2_LOG": "all+none"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def forgive(self) -> None:
        """Let it take any number of wrong PINs: a TPM that was not shut down in form counts that as one."""
        self.tool("tpm2_dictionarylockout", "--setup-parameters", "-n", "100000", "-t", "1", "-l", "1")

    def flush(self) -> None:
        """Remove what processes have left in it: on a host, the kernel's resource manager does."""
        self.tool("tpm2_flushcontext", "--transient-object")
        self.tool("tpm2_flushcontext", "--loaded-session")

    def _listens(self) -> bool:
        # The control port: a connection to the other one would be the one that it serves.
        try:
            socket.create_connection(("127.0.0.1", self._port + 1), timeout=1).close()
        except OSError:
            return False
        return True


def _two_free_ports() -> int:
    while True:
        port = free_port()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        return port
