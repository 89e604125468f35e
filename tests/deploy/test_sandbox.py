"""The signer works with what deploy/systemd leaves it: system calls, memory, /proc, no capability."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from rig import sandbox
from rig.condition import until
from rig.program import Program
from rig.trial import REPOSITORY, Trial, sign

from signer.admin_client import AdminClient
from signer.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNIT: Final = (REPOSITORY / "deploy" / "systemd" / "antelope-signer.service").read_text(encoding="utf-8")
_SIGNER: Final = REPOSITORY / ".venv" / "bin" / "signer"
_DIGEST: Final = "5a" * 32
#: ProtectProc=invisible and ProcSubset=pid, for root; nobody else may mount.
_PROC: Final = 'mount -t proc -o hidepid=invisible,subset=pid proc /proc && exec "$@"'


@pytest.fixture
def trial() -> Iterator[Trial]:
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        made = Trial(Path(folder) / "trial")
        made.start()
        made.stop()
        yield made


def _confined(trial: Trial, allowed: list[int]) -> Program:
    filter_file = trial.folder.parent / "filter"
    filter_file.write_text(" ".join(map(str, allowed)))
    trial.folder.parent.chmod(0o755)
    owner = trial.folder.stat()
    user = [
        f"--reuid={owner.st_uid}",
        f"--regid={owner.st_gid}",
        "--clear-groups",
        "--bounding-set=-all",
        "--no-new-privs",
    ]
    root = os.geteuid() == 0
    return Program(
        [
            *(("unshare", "--mount", "/bin/sh", "-c", _PROC, "-") if root else ()),
            *(("setpriv", *user, "--") if root else ()),
            *(sys.executable, sandbox.__file__, filter_file, sys.executable, _SIGNER),
            *("--config", trial.folder / "signer.toml", "serve"),
        ],
        trial.folder.parent / "log",
        environment={"PATH": "/usr/bin:/bin"},
        folder=Path("/"),
    )


def test_it_signs_reloads_and_freezes(trial: Trial) -> None:
    about = trial.description()
    admin = AdminClient(Path(about["admin_socket"]))
    key = next(
        key["public_key"] for key in about["keys"] if key["node"] == "primary" and key["curve"] == "K1"
    )
    with _confined(trial, sandbox.allowed(_UNIT)) as program:
        until(lambda: _whole(admin), "everything is open", explain=program.tail)
        assert sign(about["nodes"]["primary"]["url"], _DIGEST, key)[0] == 201
        for command in (
            ["reload"],
            ["upgrade"],
            ["freeze", "--node", "primary", "--reason", "a drill"],
            ["unfreeze", "--node", "primary", "--reason", "a drill"],
            ["audit", "verify"],
        ):
            done = subprocess.run(
                [_SIGNER, "--config", trial.folder / "signer.toml", *command],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{done.stderr}{program.tail()}"
        assert sign(about["nodes"]["primary"]["socket"], _DIGEST, key)[0] == 201
        assert program.stop() == 0
    refused = [line for line in program.log().splitlines() if "Operation not permitted" in line]
    # LimitRTPRIO= is not set here.
    assert not [line for line in refused if "not a real-time process" not in line]


def test_the_sandbox_is_one(trial: Trial) -> None:
    """Without the system calls for sockets it does not come to listen: so the test above can fail."""
    numbers = set(sandbox.allowed(_UNIT)) - set(sandbox.allowed("SystemCallFilter=@network-io"))

    with _confined(trial, sorted(numbers)) as program:
        until(lambda: program.exit_code is not None, "it ends", explain=program.tail)
        assert program.exit_code != 0


def _whole(admin: AdminClient) -> dict[str, Any] | None:
    try:
        status: dict[str, Any] = admin.get("/v1/status")
    except AdminError:
        return None
    states = {token["state"] for token in status["tokens"].values()}
    return (
        status
        if status["ready"] and states == {"logged-in"} and status["control"]["state"] == "ready"
        else None
    )
