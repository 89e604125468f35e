"""What the README says is so: its tables match the code, its commands run on a trial."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.condition import HANG_S
from rig.trial import REPOSITORY, Trial

from hsm.__main__ import _parser as hsm_parser
from signer.cli import _parser as signer_parser
from signer.signing import envelope

if TYPE_CHECKING:
    from collections.abc import Iterator

_README = (REPOSITORY / "README.md").read_text()
_REFUSALS = (REPOSITORY / "deploy" / "refusals.md").read_text()
_BIN = REPOSITORY / ".venv" / "bin"


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    """A trial that runs, detached."""
    with tempfile.TemporaryDirectory(prefix="readme-") as parent:
        made = Trial(Path(parent) / "trial")
        try:
            made.start()
            yield made
        finally:
            made.stop()


def _signer(trial: Trial, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_BIN / "signer", "--config", trial.folder / "signer.toml", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )


def test_the_table_of_refusals_is_the_signers_own() -> None:
    rows = {
        (int(code), rule)
        for code, rule in re.findall(r"^\| (399\d{4}) \| ([a-z-]*) *\|", _REFUSALS, re.MULTILINE)
    }

    own = {(fault.code, rule) for rule, fault in envelope.OWN.items()}
    assert rows == own | {(envelope.TOO_LARGE.code, "")}


def test_the_exit_codes_are_those_of_the_help_text() -> None:
    stated = set(re.findall(r"^\| (\d+) \|", _README, re.MULTILINE))

    help_text = subprocess.run([_BIN / "signer", "--help"], capture_output=True, text=True, check=True).stdout
    assert stated == set(re.findall(r"^  (\d+) ", help_text, re.MULTILINE))


_COMMANDS = sorted(
    {
        tuple(word for word in shlex.split(command) if re.fullmatch(r"[a-z][a-z-]*", word))
        for row in re.findall(r"^\| (`signer(?:-hsm)? [^|]*) \|", _README, re.MULTILINE)
        for command in re.findall(r"`(signer(?:-hsm)? [^`]*)`", row)
    }
)


@pytest.mark.parametrize("command", _COMMANDS, ids=" ".join)
def test_every_command_of_the_tables_exists(command: tuple[str, ...]) -> None:
    result = subprocess.run(
        [_BIN / command[0], *command[1:], "--help"], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr


def test_the_tables_name_every_command() -> None:
    help_text = subprocess.run([_BIN / "signer", "--help"], capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(r"^    ([a-z-]+)(?: |$)", help_text, re.MULTILINE))

    assert listed == {command[1] for command in _COMMANDS if command[0] == "signer"}


def _paths(parser: argparse.ArgumentParser, so_far: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]  # noqa: SLF001 - argparse has no other way to ask
    if not groups:
        yield so_far
    for group in groups:
        for name, command in group.choices.items():
            yield from _paths(command, (*so_far, name))


def test_the_tables_name_every_subcommand() -> None:
    """`signer keys list`, `show` in one row stands for both; a single word belongs to the command before it."""
    named = set()
    for row in re.findall(r"^\| (`signer(?:-hsm)? [^|]*) \|", _README, re.MULTILINE):
        before: tuple[str, ...] = ()
        for command in re.findall(r"`([^`]*)`", row):
            words = tuple(word for word in shlex.split(command) if re.fullmatch(r"[a-z][a-z-]*", word))
            before = words if command.startswith("signer") else (*before[:-1], *words)
            named.add(before)

    assert named >= {*_paths(signer_parser(), ("signer",)), *_paths(hsm_parser(), ("signer-hsm",))}


def test_nodes_config_prints_every_key_and_the_timeout(trial: Trial) -> None:
    result = _signer(trial, "nodes", "config", "primary")

    keys = [key["public_key"] for key in trial.description()["keys"] if key["node"] == "primary"]
    assert result.returncode == 0, result.stderr
    assert all(
        f"signature-provider = {key}=KEOSD:http://127.0.0.1:{trial.port}" in result.stdout for key in keys
    )
    assert "keosd-provider-timeout = 5" in result.stdout


def test_the_life_of_a_key(trial: Trial) -> None:
    """Generate and append, reload, and the key is in service: the README's own commands."""
    text = re.sub(r"\s+", " ", _README)
    generate = re.search(r"`signer (keys generate [^`]*)`", text)
    assert generate is not None

    made = _signer(trial, *shlex.split(generate[1]))
    reloaded = _signer(trial, "reload")
    shown = _signer(trial, "keys", "list")

    assert made.returncode == 0, made.stderr
    assert reloaded.returncode == 0, reloaded.stderr
    assert re.search(r"primary-r1-3.*active|active.*primary-r1-3", shown.stdout), shown.stdout


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "doctor --quick",
        "check-config",
        "keys list",
        "freeze --all --reason drill",
        "unfreeze --all",
        "token list",
        "token retry primary",
        "audit verify {state}/audit/audit.jsonl",
        "audit anchor {state}/audit/audit.jsonl",
        "audit verify",
        "audit export --since 2026-01-01",
    ],
)
def test_the_daily_commands_run(trial: Trial, command: str) -> None:
    result = _signer(trial, *shlex.split(command.format(state=trial.folder / "state")))

    assert result.returncode == 0, result.stderr + result.stdout


def test_strict_check_config_finds_the_software_token(trial: Trial) -> None:
    result = _signer(trial, "check-config", "--strict")

    assert result.returncode == 5
    assert "software" in result.stdout + result.stderr


def test_the_commands_to_look_at_a_trial_run(trial: Trial) -> None:
    """As they are written, on a clone whose `.signer` is the trial of this test."""
    section = _README.partition("## Look at it")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory(prefix="clone-") as clone:
        Path(clone, ".signer").symlink_to(trial.folder)
        Path(clone, ".venv").symlink_to(REPOSITORY / ".venv")

        done = subprocess.run(
            ["/bin/bash", "-eu", "-o", "pipefail"],
            input="\n".join(blocks),
            cwd=clone,
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG_S,
        )

    assert done.returncode == 0, done.stderr
    assert "signature-provider" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["name"] == "quickstart"


_ROOTS = {path.name for path in REPOSITORY.iterdir()}
_PATHS = sorted(
    {
        word.removeprefix("./")
        for text in re.findall(r"`([^`\n]+)`|^    (\./\S+)$", _README, re.MULTILINE)
        for word in " ".join(text).split()
        if re.fullmatch(r"[A-Za-z0-9._/-]+", word)
        and (
            word.removeprefix("./").partition("/")[0] in _ROOTS
            or re.search(r"\.(md|toml|lock|json|log)$", word)
        )
        and not word.startswith(("DIR/", "STATE/", ".signer", ".rotating", "/"))
    }
    - {"signer"}
)


@pytest.mark.parametrize("path", _PATHS)
def test_every_path_in_the_clone_exists(path: str) -> None:
    assert (REPOSITORY / path).exists()


def test_the_paths_of_the_clone_are_found_in_the_text() -> None:
    """So that the test above does not pass by finding none."""
    assert {"deploy/quickstart", "deploy/runbook.md", "hsm/README.md", "requirements.lock"} <= set(_PATHS)


def test_every_path_of_a_trial_exists(trial: Trial) -> None:
    places = {"DIR": trial.folder, ".signer": trial.folder, "STATE": trial.folder / "state"}
    named = re.findall(r"(?<![\w/.])(DIR|STATE|\.signer)/([A-Za-z0-9._/-]*[A-Za-z0-9])", _README)

    assert len(set(named)) >= 4
    assert not [name for place, name in named if not os.path.lexists(places[place] / name)]
