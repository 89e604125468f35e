"""What can be known of deploy/Dockerfile without an engine to build it: its sources, packages, commands and users."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from typing import Final

import pytest
from rig.trial import REPOSITORY

_TEXT: Final = (REPOSITORY / "deploy" / "Dockerfile").read_text(encoding="utf-8")
#: (instruction, its text), with continued lines joined.
_STEPS: Final = [
    (word, rest)
    for line in re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", _TEXT, flags=re.MULTILINE)).splitlines()
    if line.strip()
    for word, _, rest in [line.strip().partition(" ")]
]
_IGNORED: Final = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
_KNOWN: Final = {
    *("FROM", "RUN", "COPY", "WORKDIR", "ENV", "USER", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"),
}


def _of(instruction: str) -> list[str]:
    return [rest for word, rest in _STEPS if word == instruction]


def _commands() -> list[list[str]]:
    return [shlex.split(part) for run in _of("RUN") for part in run.split("&&")]


def test_every_instruction_is_one_that_is_looked_at() -> None:
    assert {word for word, _ in _STEPS} == _KNOWN
    assert len(_commands()) > 8


def test_it_copies_what_is_there_and_what_the_context_lets_through() -> None:
    sources = {word for copy in _of("COPY") if "--from" not in copy for word in shlex.split(copy)[:-1]}
    allowed = {line[1:] for line in _IGNORED if line.startswith("!")}

    assert _IGNORED[1] == "*"
    assert sources == allowed
    assert all((REPOSITORY / source).exists() for source in sources)


def test_every_package_is_in_debian_12() -> None:
    packages = {
        word
        for command in _commands()
        if command[:2] == ["apt-get", "install"]
        for word in command[2:]
        if not word.startswith("-")
    }

    assert packages == {"python3", "python3-venv", "softhsm2"}
    known = subprocess.run(
        ["apt-cache", "pkgnames"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert packages <= set(known)


@pytest.mark.parametrize("command", _commands(), ids=lambda command: " ".join(command[:3]))
def test_every_command_exists(command: list[str]) -> None:
    """In the image those of .venv; of the rest this Debian has them too."""
    program = command[0]
    if program.startswith(".venv/bin/"):
        assert (REPOSITORY / program).exists()
    else:
        found = subprocess.run(
            ["/bin/bash", "-c", 'command -v "$1"', "-", program], capture_output=True, check=False
        )
        assert found.returncode == 0


def test_pip_takes_what_the_lock_has_and_nothing_else() -> None:
    installs = [command for command in _commands() if command[1:2] == ["install"] and "pip" in command[0]]

    assert len(installs) == 2
    assert {"--require-hashes", "--only-binary"} <= set(installs[0])
    assert {"--no-deps", "--no-build-isolation"} <= set(installs[1])


def test_it_runs_as_a_user_by_number_and_never_as_root() -> None:
    *_, user = _of("USER")
    after = [word for word, _ in _STEPS[[word for word, _ in _STEPS].index("USER") + 1 :]]

    assert user == "10001:10001"
    assert f"useradd --uid {user.partition(':')[0]} " in _TEXT
    assert "RUN" not in after
    assert "COPY" not in after


def test_nothing_secret_is_in_it() -> None:
    assert not re.search(r"(?i)\b(pin|passw|secret|token)\w*\s*=", _TEXT)
    assert _of("ENV") == ["PATH=/opt/antelope-signer/.venv/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1"]
    assert not [rest for rest in _of("COPY") if re.search(r"\.(pin|pem|key|toml\.)|softhsm", rest)]


def test_what_it_starts_is_the_signer() -> None:
    entry, start = json.loads(_of("ENTRYPOINT")[0]), json.loads(_of("CMD")[0])
    check = json.loads(_of("HEALTHCHECK")[0].partition("CMD ")[2])

    for words in (entry + start, check):
        program = REPOSITORY / ".venv" / "bin" / words[0]
        done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
        # A configuration that does not exist: exit code 2 too, but with its name and not with the usage.
        assert done.returncode == 2
        assert "/etc/antelope-signer/signer.toml" in done.stderr
        assert "usage" not in done.stderr
