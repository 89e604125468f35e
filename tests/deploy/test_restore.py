"""A signer is restored from what the runbook says to back up, and from nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from rig.condition import until
from rig.program import Program
from rig.trial import REPOSITORY, Trial, sign

from signer.admin_client import AdminClient
from signer.antelope.keys import parse_digest
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature
from signer.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUNBOOK: Final = (REPOSITORY / "deploy" / "runbook.md").read_text(encoding="utf-8")
_SECTION: Final = _RUNBOOK.partition("## What to back up")[2].partition("\n## ")[0]
#: The second column of its table.
_LISTED: Final = re.findall(r"^\| [^|]+ \| `([a-z.-]+)` \|", _SECTION, re.MULTILINE)
_SIGNER: Final = REPOSITORY / ".venv" / "bin" / "signer"
_DIGEST: Final = "5a" * 32


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="restore-") as folder:
        yield Path(folder)


def test_the_table_lists_what_the_command_copies() -> None:
    assert f'-cf "$SIGNER.backup" {" ".join(_LISTED)}\n' in _SECTION
    assert _LISTED == ["signer.toml", "state", "pins", "so-pins"]


def test_a_signer_is_restored_from_what_is_listed(place: Path) -> None:
    """On an empty folder, with the token beside it: the same keys sign, what was frozen is frozen, the log goes on."""
    trial = Trial(place / "trial")
    about = trial.start()
    try:
        key = next(key for key in about["keys"] if key["node"] == "primary" and key["curve"] == "R1")
        assert sign(about["nodes"]["primary"]["url"], _DIGEST, key["public_key"])[0] == 201
        _command(trial.folder, "freeze", "--node", "standby", "--reason", "before the loss")
    finally:
        trial.stop()
    lost = place / "lost"
    trial.folder.rename(lost)
    _restore(lost, trial.folder)

    with _serve(trial.folder, lost) as program:
        status = until(lambda: _ready(about), "it is ready", explain=program.tail)
        code, answer = sign(about["nodes"]["primary"]["url"], _DIGEST, key["public_key"])
        assert code == 201, answer
        assert str(recover(parse_digest(_DIGEST), Signature.parse(answer))) == key["public_key"]
        frozen = next(key for key in about["keys"] if key["node"] == "standby" and key["curve"] == "R1")
        refused, why = sign(about["nodes"]["standby"]["url"], _DIGEST, frozen["public_key"])
        assert (refused, why["error"]["name"]) == (500, "signer_frozen_exception")
        assert all(token["state"] == "logged-in" for token in status["tokens"].values())
    verified = _command(trial.folder, "audit", "verify")
    assert "before the loss" in (trial.folder / "state" / "audit" / "audit.jsonl").read_text()
    assert verified.returncode == 0, verified.stdout


def _restore(lost: Path, folder: Path) -> None:
    """Make an empty folder, copy what is listed, and carry the device over."""
    folder.mkdir(mode=0o700)
    for name in (*_LISTED, "softhsm"):
        subprocess.run(["cp", "-a", lost / name, folder / name], check=True)
    owner = lost.stat()
    shutil.chown(folder, owner.st_uid, owner.st_gid)
    assert {path.name for path in folder.iterdir()} == {*_LISTED, "softhsm"}


def _serve(folder: Path, lost: Path) -> Program:
    owner = lost.stat()
    return Program(
        [
            *("setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups", "--"),
            *(_SIGNER, "--config", folder / "signer.toml", "serve"),
        ],
        folder.parent / "log",
        environment={"PATH": "/usr/bin:/bin"},
        folder=Path("/"),
    )


def _ready(about: dict[str, Any]) -> dict[str, Any] | None:
    """Return the status when every token is open. It is not `ready`: one node is frozen."""
    try:
        status: dict[str, Any] = AdminClient(Path(about["admin_socket"])).get("/v1/status")
    except AdminError:
        return None
    tokens = [token["state"] for token in status["tokens"].values()]
    return status if status["state"] == "serving" and set(tokens) == {"logged-in"} else None


def _command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [_SIGNER, "--config", folder / "signer.toml", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done
