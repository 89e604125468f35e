"""The lock files: every package with its hashes, and nothing of the machine that made them."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[2]
_LOCKS = ["requirements.lock", "requirements-test.lock", "deploy/tools.lock"]
_PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^ ;]+)( ;.*)? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def _pins(name: str) -> dict[str, str]:
    lines = (_REPOSITORY / name).read_text().splitlines()
    return {match[1]: match[2] for line in lines if (match := _PIN.match(line))}


@pytest.mark.parametrize("name", _LOCKS)
def test_a_lock_is_pins_hashes_and_comments(name: str) -> None:
    """No index, no folder and no host of whoever made it."""
    for line in (_REPOSITORY / name).read_text().splitlines():
        assert not line.strip() or line.lstrip().startswith("#") or _PIN.match(line) or _HASH.match(line), (
            line
        )
        assert "://" not in line
    assert _pins(name)


@pytest.mark.parametrize("name", _LOCKS)
def test_every_pin_has_a_hash(name: str) -> None:
    """So that pip takes nothing else."""
    lines = (_REPOSITORY / name).read_text().splitlines()
    for line, following in itertools.pairwise(lines):
        if _PIN.match(line):
            assert _HASH.match(following), line


def test_tests_run_with_the_versions_that_users_get() -> None:
    """The test lock contains the runtime lock."""
    assert _pins("requirements.lock").items() <= _pins("requirements-test.lock").items()


def test_locks_have_what_the_project_asks_for() -> None:
    """A new dependency needs deploy/lock."""
    project = tomllib.loads((_REPOSITORY / "pyproject.toml").read_text())
    names = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    assert {_name(each) for each in names} <= set(_pins("requirements.lock"))
    extra = project["project"]["optional-dependencies"]["test"]
    assert {_name(each) for each in extra} <= set(_pins("requirements-test.lock"))


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[._-]+", "-", match[0]).lower()
