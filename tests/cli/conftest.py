"""The command line as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.command_line import Result, admin_server
from rig.condition import HANG_S
from rig.control_server import control_site
from rig.fake_rotations import KEY_A, KEY_B

from signer import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rig.command_line import Answers
    from rig.control_server import ControlSite


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

#: A signer whose chain `eos` can rotate, and whose chain `bare` cannot.
CONTROL_CONFIG = f"""\
state_dir = "state"
[chains.eos]
id = "{"aa" * 32}"
api = ["http://127.0.0.1:8888"]
producer = "bp1"
[chains.bare]
id = "{"bb" * 32}"
[tokens.primary]
uri = "pkcs11:token=primary?module-path=/usr/lib/softhsm/libsofthsm2.so"
pin_file = "primary.pin"
[tokens.control]
uri = "pkcs11:token=control?module-path=/usr/lib/softhsm/libsofthsm2.so"
pin_file = "control.pin"
purpose = "control"
[nodes.a]
chain = "eos"
[nodes.b]
chain = "eos"
[[listeners]]
kind = "node"
node = "a"
unix = "a.sock"
[[listeners]]
kind = "node"
node = "b"
unix = "b.sock"
[[listeners]]
kind = "admin"
unix = "admin.sock"
[[listeners]]
kind = "control"
unix = "control.sock"
[[keys]]
public_key = "{KEY_A}"
role = "block"
node = "a"
token = "primary"
label = "a-1"
[[keys]]
public_key = "{KEY_B}"
role = "block"
node = "b"
token = "primary"
label = "b-1"
[[keys]]
public_key = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"
role = "rotation"
chain = "eos"
token = "control"
label = "r-1"
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
            timeout=HANG_S,
            user=user,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def answers(site: Path) -> Iterator[Answers]:
    """A server on the site's admin socket, for the client's own errors."""
    with admin_server(site / "admin.sock") as given:
        yield given


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlSite]:
    """Yield a folder with a control process, which is the working folder too. No watcher pauses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGNER_TOKEN_FILE", raising=False)
    monkeypatch.setattr("signer.commands.progress._PAUSE_S", 0.001)
    monkeypatch.setattr("signer.signing.server._DRAIN_S", 0.01)  # the client keeps its connection
    with control_site(tmp_path, CONTROL_CONFIG) as given:
        given.clock.now = datetime.now(UTC).replace(microsecond=0)
        yield given


@pytest.fixture
def run(control: ControlSite, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run one command in this process: faster than a process of its own."""

    def command(*arguments: str) -> Result:
        capsys.readouterr()
        try:
            code = cli.main(arguments)
        except SystemExit as ended:
            code = int(str(ended.code))
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return command
