"""A folder with a real SoftHSM and one token, provisioned by our own command signer-hsm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsm.softhsm import CONFIG_VARIABLE
from rig.condition import HANG_S

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
#: The command as a user has it.
COMMAND = Path(sys.executable).with_name("signer-hsm")


@dataclass(frozen=True)
class Home:
    """A SoftHSM folder with one token, "primary".

    Attributes:
        folder: holds softhsm/, primary.pin and primary.so-pin.
    """

    folder: Path

    @property
    def uri(self) -> str:
        """The token's URI."""
        return f"pkcs11:token=primary?module-path={SOFTHSM}"

    @property
    def pin_file(self) -> Path:
        """Where the user PIN is."""
        return self.folder / "primary.pin"

    @property
    def so_pin_file(self) -> Path:
        """Where the security officer's PIN is."""
        return self.folder / "primary.so-pin"

    @property
    def configuration(self) -> Path:
        """What SOFTHSM2_CONF names."""
        return self.folder / "softhsm" / "softhsm2.conf"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that uses this home."""
        return {"PATH": os.defpath, CONFIG_VARIABLE: str(self.configuration)}

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run signer-hsm with `arguments` in this home."""
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )

    def on_token(self, command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of signer-hsm that takes a token, on this home's."""
        return self.run(command, "--uri", self.uri, "--pin-file", self.pin_file, *arguments)

    def generate(self, label: str, curve: str) -> dict[str, Any]:
        """Make a key and return what the command says of it."""
        done = self.on_token("generate", "--label", label, "--curve", curve, "--json")
        assert done.returncode == 0, done.stderr
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown

    def destroy(self, label: str) -> None:
        """Remove a key pair behind everybody's back, as another application would."""
        done = self.python(
            "import pathlib\n"
            "from pkcs11 import Attribute\n"
            "from hsm.module import Module\nfrom hsm.pin import PinFile\nfrom hsm.uri import parse_uri\n"
            f"pin = PinFile(pathlib.Path({str(self.pin_file)!r})).read()\n"
            f"with Module({SOFTHSM!r}).session(parse_uri({self.uri!r}), pin, write=True) as session:\n"
            f"    for found in list(session.get_objects({{Attribute.LABEL: {label!r}}})):\n"
            "        found.destroy()\n"
        )
        assert done.returncode == 0, done.stderr

    def python(self, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a Python program in a process of its own, in this home."""
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )


def make_home(folder: Path) -> Home:
    """Make a home in `folder` by the command that users run."""
    home = Home(folder)
    done = home.run(
        *("init-token", "--module", SOFTHSM, "--label", "primary", "--softhsm-dir", folder / "softhsm"),
        *("--pin-file", home.pin_file, "--so-pin-file", home.so_pin_file),
    )
    assert done.returncode == 0, done.stderr
    return home
