"""The command line as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.command_line import Result, admin_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rig.command_line import Answers

#: Far more than any command takes; a command that hangs must not hang the tests.
_TIMEOUT_S = 60

CONFIG = """\
state_dir = "state"

[chains.local]
id = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

[tokens.primary]
uri = "pkcs11:token=primary?module-path=/usr/lib/softhsm/libsofthsm2.so"
software = true
environment = { SOFTHSM2_CONF = "hsm/softhsm2.conf" }
pin_file = "primary.pin"

[nodes.a]
chain = "local"
timeout_ms = 7

[[listeners]]
kind = "node"
node = "a"
unix = "run/a.sock"

[[listeners]]
kind = "node"
node = "a"
tcp = "127.0.0.1:8900"

[[listeners]]
kind = "admin"
unix = "admin.sock"

[[keys]]
public_key = "PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr"
role = "block"
node = "a"
token = "primary"
label = "r1-1"

[[keys]]
public_key = "EOS5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1ZeXbgf"
role = "block"
node = "a"
token = "primary"
label = "k1-1"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a valid signer.toml. Its path is short enough for a socket."""
    (tmp_path / "signer.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


@pytest.fixture
def public_site() -> Iterator[Path]:
    """As `site`, in a folder that every user can read; pytest's own is for one user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "signer.toml").write_text(CONFIG, encoding="utf-8")
        (folder / "signer.toml").chmod(0o644)
        yield folder


@pytest.fixture
def signer(site: Path) -> Callable[..., Result]:
    """Run `signer` in the site's folder."""

    def run(*arguments: str, user: int | None = None, cwd: Path = site) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "signer.cli", *arguments],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
            user=user,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def answers(site: Path) -> Iterator[Answers]:
    """A server on the site's admin socket, for the client's own errors."""
    with admin_server(site / "admin.sock") as given:
        yield given
