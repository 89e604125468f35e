"""A key goes into the file and out of it, and nothing else of the file changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from signer import config_edit, config_file
from signer.antelope.keys import Curve, PublicKey
from signer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_PLAN = config_edit.Plan("account", None, "local", "primary", "account-1")
_POLICY = """
[[policies]]
key = "account-1"
[[policies.rules]]
name = "claim"
contract = "eosio"
action = "claimrewards"
authorization = "bp@claim"
arguments = { owner = "bp" }
"""
_KEY = PublicKey.parse("PUB_K1_8RshaSpxEFoH48qiz2MsZYaagqRQdKwuPCavtrnPhtuwXf1G8y")


@pytest.fixture
def path(tmp_path: Path, valid_text: str) -> Path:
    """The small valid configuration, with a comment at its end."""
    path = tmp_path / "signer.toml"
    path.write_text(valid_text + "# the end")
    path.chmod(0o640)
    return path


def test_what_was_added_is_taken_out(path: Path) -> None:
    before = path.read_text()
    config = config_file.load(path)
    _PLAN.check(path, Curve.K1)

    config_edit.append(path, _PLAN.block(_KEY, "0a1b"))
    assert config_file.load(path).keys[-1].public_key == _KEY
    config_edit.remove(path, _KEY)

    assert config_file.load(path) == config
    assert path.read_text().strip() == before.strip()
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("written", [str(_KEY), _KEY.legacy])
def test_a_key_is_found_however_it_is_written(path: Path, written: str) -> None:
    """In the middle of the file, too, and among names that look like tables."""
    config = config_file.load(path)
    block = _PLAN.block(_KEY, None).replace(str(_KEY), written).replace("account-1", "a [[keys]] of ours")
    text = path.read_text()
    path.write_text(text.replace("[[listeners]]", f"{block}\n[[listeners]]", 1))

    config_edit.remove(path, _KEY)

    assert config_file.load(path) == config


def test_a_key_that_something_needs_stays(path: Path) -> None:
    """The last key of a node, or one that a policy names: the file is as it was."""
    config_edit.append(path, _PLAN.block(_KEY, None))
    path.write_text(path.read_text() + _POLICY)
    before = path.read_bytes()
    last = config_file.load(path).keys[0].public_key

    for key in (_KEY, last):
        with pytest.raises(ConfigError, match="by hand"):
            config_edit.remove(path, key)
    assert path.read_bytes() == before


def test_a_key_that_is_not_there_is_an_error(path: Path) -> None:
    with pytest.raises(ConfigError, match=str(_KEY)):
        config_edit.remove(path, _KEY)
