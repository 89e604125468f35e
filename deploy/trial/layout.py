"""Where everything of a trial lies. Pure: makes nothing."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NODES: Final = ("primary", "standby")
CONTROL: Final = "control"
TOKENS: Final = (*NODES, CONTROL)

#: A unix socket's path has at most 107 bytes (unix(7)). The longest below a socket folder is
#: `run/standby/sign.sock`, 21 bytes and a slash; 21 more are room for a temporary name beside it.
#: deploy/quickstart has the same number.
MAX_FOLDER_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of a trial.

    Attributes:
        folder: all state, absolute; the folder that `--dir` names.
        sockets: the folder of the socket folders: `folder`, or a short one where its path is too long.
    """

    folder: Path
    sockets: Path

    @classmethod
    def of(cls, folder: Path, sockets: Path | None = None) -> Layout:
        """Return the layout of `folder`, with the sockets in `sockets` or, by default, where they fit."""
        if sockets is None and len(os.fsencode(folder)) > MAX_FOLDER_BYTES:
            name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:10]
            runtime = os.environ.get("XDG_RUNTIME_DIR")
            if runtime and len(os.fsencode(runtime)) <= MAX_FOLDER_BYTES - len("/antelope-signer-") - len(
                name
            ):
                sockets = Path(runtime) / f"antelope-signer-{name}"
            else:
                sockets = Path("/tmp") / f"antelope-signer-{os.geteuid()}-{name}"  # noqa: S108 - checked before use
        return cls(folder, sockets or folder)

    @property
    def marker(self) -> Path:
        """An empty file that says that quickstart made this folder; also its lock."""
        return self.folder / ".quickstart"

    @property
    def config(self) -> Path:
        """The signer's configuration file."""
        return self.folder / "signer.toml"

    @property
    def description(self) -> Path:
        """What a script needs to know."""
        return self.folder / "quickstart.json"

    @property
    def state(self) -> Path:
        """The signer's own state folder."""
        return self.folder / "state"

    @property
    def log(self) -> Path:
        """What a detached signer prints."""
        return self.folder / "signer.log"

    @property
    def control_token_file(self) -> Path:
        """The bearer token for the control listener."""
        return self.folder / "control.token"

    @property
    def pins(self) -> Path:
        """The folder of the user PINs, which the signer reads."""
        return self.folder / "pins"

    @property
    def so_pins(self) -> Path:
        """The folder of the security officer PINs, which the signer never reads."""
        return self.folder / "so-pins"

    def pin(self, token: str) -> Path:
        """Return the file of the user PIN of `token`."""
        return self.pins / f"{token}.pin"

    def so_pin(self, token: str) -> Path:
        """Return the file of the security officer PIN of `token`."""
        return self.so_pins / f"{token}.pin"

    def softhsm(self, token: str) -> Path:
        """Return the SoftHSM home of `token`: one for each, so that no lane sees another's token."""
        return self.folder / "softhsm" / token

    def sign_socket(self, node: str) -> Path:
        """Return the socket that `node` asks."""
        return self.sockets / "run" / node / "sign.sock"

    @property
    def wallet_socket(self) -> Path:
        """The socket for cleos."""
        return self.sockets / "run" / "wallet" / "wallet.sock"

    @property
    def admin_socket(self) -> Path:
        """The socket for `signer status` and its like."""
        return self.sockets / "run" / "admin" / "admin.sock"
