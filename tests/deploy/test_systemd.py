"""The units in deploy/systemd are what systemd takes, and their commands are the signer's."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from rig.trial import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER = REPOSITORY / "deploy" / "systemd"
_UNITS = sorted(_FOLDER.glob("antelope-signer*"))
#: What a unit may be exposed at most, by `systemd-analyze security`: as its comment, README and runbook say.
_EXPOSURE = {
    "antelope-signer.service": 1.6,
    "antelope-signer-cycle.service": 1.2,
    "antelope-signer-metrics.service": 0.5,
}
_SCORE = re.compile(r"Overall exposure level for \S+: ([0-9.]+)")
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


def test_systemd_never_gives_up_on_the_signer() -> None:
    """An address may come late, with its tunnel: until then each start ends with "cannot listen"."""
    sections = (_FOLDER / "antelope-signer.service").read_text().split("\n[")
    unit = next(section for section in sections if section.startswith("Unit]")).splitlines()
    service = next(section for section in sections if section.startswith("Service]")).splitlines()
    assert {"Restart=always", "RestartSec=1"} <= set(service)
    assert "StartLimitIntervalSec=0" in unit
    assert {"Wants=network-online.target", "After=network-online.target"} <= set(unit)


def test_every_unit_is_looked_at() -> None:
    assert [unit.name for unit in _UNITS] == [
        "antelope-signer-cycle.service",
        "antelope-signer-cycle.timer",
        "antelope-signer-metrics.service",
        "antelope-signer-metrics.timer",
        "antelope-signer.service",
    ]
    assert {path.name for path in _FOLDER.iterdir()} - {unit.name for unit in _UNITS} == {"device.conf"}


@pytest.mark.parametrize("name", _EXPOSURE)
def test_the_exposure_is_what_is_stated(name: str) -> None:
    assert _exposure(_FOLDER / name) == _EXPOSURE[name]


def test_the_unit_with_a_device_has_no_complaint_and_is_hardly_more_exposed(tmp_path: Path) -> None:
    unit = tmp_path / "antelope-signer.service"
    text = (_FOLDER / unit.name).read_text().replace(_INSTALLED, f"{REPOSITORY}/")
    drop_in = (_FOLDER / "device.conf").read_text().replace("#DeviceAllow", "DeviceAllow")
    drop_in = drop_in.replace("#Restrict", "Restrict").replace("SupplementaryGroups=tss", "")
    folder = tmp_path / "antelope-signer.service.d"
    folder.mkdir()
    unit.write_text(text)
    (folder / "device.conf").write_text(drop_in)

    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert done.stderr == ""
    unit.write_text(text.replace("[Install]", drop_in + "\n[Install]"))
    assert _exposure(unit) <= 2.0


def _exposure(unit: Path) -> float:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=True,
    )
    score = _SCORE.search(done.stdout)
    assert score is not None, done.stdout
    return float(score[1])


@pytest.mark.parametrize("name", ["antelope-signer.service", "antelope-signer-cycle.service"])
def test_every_command_is_one_of_the_signers(name: str) -> None:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string((_FOLDER / name).read_text())
    commands = [value for name, value in parsed["Service"].items() if name in ("ExecStart", "ExecReload")]
    assert commands
    for command in commands:
        words = shlex.split(command.replace(_INSTALLED, f"{REPOSITORY}/"))
        # A configuration that does not exist: exit code 2 too, but with its name and not with the usage.
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "/etc/antelope-signer/signer.toml" in done.stderr
        assert "usage" not in done.stderr
