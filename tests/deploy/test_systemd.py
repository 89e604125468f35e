"""The units in deploy/systemd are what systemd takes, and their commands are the signer's."""

from __future__ import annotations

import configparser
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from rig.trial import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

_UNITS = sorted((REPOSITORY / "deploy" / "systemd").iterdir())
_INSTALLED = "/opt/antelope-signer/"


def test_systemd_has_no_complaint(tmp_path: Path) -> None:
    """With the paths of this clone in the place of an installation's: verify looks for the programs."""
    copies = []
    for unit in _UNITS:
        copy = tmp_path / unit.name
        copy.write_text(unit.read_text().replace(_INSTALLED, f"{REPOSITORY}/"))
        copies.append(copy)

    done = subprocess.run(["systemd-analyze", "verify", *copies], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert done.stderr == ""


def test_every_unit_is_looked_at() -> None:
    assert [unit.name for unit in _UNITS] == [
        "antelope-signer-cycle.service",
        "antelope-signer-cycle.timer",
        "antelope-signer.service",
    ]


@pytest.mark.parametrize(
    "unit", [unit for unit in _UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name
)
def test_every_command_is_one_of_the_signers(unit: Path) -> None:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(unit.read_text())
    commands = [value for name, value in parsed["Service"].items() if name in ("ExecStart", "ExecReload")]
    assert commands
    for command in commands:
        words = shlex.split(command.replace(_INSTALLED, f"{REPOSITORY}/"))
        # A configuration that does not exist: exit code 2 too, but with its name and not with the usage.
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "/etc/antelope-signer/signer.toml" in done.stderr
        assert "usage" not in done.stderr
