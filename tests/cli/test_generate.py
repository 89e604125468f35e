"""`signer keys generate` with a real SoftHSM token: a key in the token, and a configuration that has it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from rig.hsm_home import make_home

from signer import config_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rig.command_line import Result
    from rig.hsm_home import Home

    Signer = Callable[..., Result]


def provision(site: Path) -> Home:
    """Make the token of the configuration in `site`."""
    home = make_home(site)
    path = site / "signer.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("hsm/softhsm2.conf", "softhsm/softhsm2.conf"), encoding="utf-8")
    return home


@pytest.fixture
def home(site: Path) -> Home:
    """The site with a token, primary, as its configuration says."""
    return provision(site)


def generate(*more: str, curve: str = "r1", label: str = "new") -> tuple[str, ...]:
    """The arguments for a block key of node a."""
    return (
        "keys",
        "generate",
        "--token",
        "primary",
        "--curve",
        curve,
        "--node",
        "a",
        "--label",
        label,
        *more,
    )


@pytest.mark.parametrize("curve", ["r1", "k1"])
def test_a_key_is_made_and_appended(curve: str, signer: Signer, home: Home, site: Path) -> None:
    """The key that the token has is the one in the configuration, with its label and id."""
    (site / "signer.toml").chmod(0o640)

    result = signer(*generate("--append", "--json", curve=curve))

    assert (result.code, result.err) == (0, "")
    made = json.loads(result.out)
    key = config_file.load(site / "signer.toml").keys[-1]
    assert (str(key.public_key), key.label, key.id) == (made["public_key"], "new", made["id"])
    assert made["legacy_public_key"] == key.public_key.legacy
    assert key.public_key.curve == curve.upper()
    listed = json.loads(home.on_token("list", "--json").stdout)
    assert key.public_key.data.hex() in json.dumps(listed)
    assert (site / "signer.toml").stat().st_mode & 0o777 == 0o640
    assert not list(site.glob(".signer.toml.*"))


def test_without_append_the_block_is_printed(signer: Signer, home: Home, site: Path) -> None:
    """What is printed can be pasted; the file is left alone."""
    before = (site / "signer.toml").read_bytes()

    out = signer(*generate(curve="k1")).out

    assert (site / "signer.toml").read_bytes() == before
    assert "legacy form  EOS" in out
    block = out[out.index("[[keys]]") :]
    assert len(config_file.parse(before + block.encode(), site / "signer.toml").keys) == 3


def test_a_comment_at_the_end_without_a_newline_stays_one(signer: Signer, home: Home, site: Path) -> None:
    """The block begins on a line of its own."""
    with (site / "signer.toml").open("a", encoding="utf-8") as file:
        file.write("# the end")

    assert signer(*generate("--append")).code == 0
    assert "# the end\n\n[[keys]]\n" in (site / "signer.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (generate("--role", "rotation"), "rotation"),
        (generate("--chain", "other"), "other"),
        (generate(label="r1-1"), "label of keys[0]"),
        (("keys", "generate", "--token", "primry", "--node", "a", "--label", "x"), 'did you mean "primary"'),
        (("keys", "generate", "--token", "primary", "--label", "x"), "keys[2].node"),
    ],
)
def test_no_key_is_made_that_could_not_be_configured(
    arguments: tuple[str, ...], word: str, signer: Signer, home: Home, site: Path
) -> None:
    """The configuration is checked before the token is touched."""
    before = (site / "signer.toml").read_bytes()

    result = signer(*arguments, "--append")

    assert result.code == 2
    assert word in result.err
    assert (site / "signer.toml").read_bytes() == before
    assert json.loads(home.on_token("list", "--json").stdout) in ([], {"keys": []})


def test_a_label_that_the_token_has_is_1(signer: Signer, home: Home) -> None:
    """Nothing is overwritten in the token."""
    home.generate("new", "r1")

    result = signer(*generate())

    assert result.code == 1
    assert "choose another label" in result.err


def test_a_refused_pin_is_6_and_is_not_tried_again(signer: Signer, home: Home, site: Path) -> None:
    """The marker stops the second try, until the PIN source changes or a person says so."""
    pin = home.pin_file.read_text(encoding="utf-8")
    home.pin_file.write_text("wrong-pin\n", encoding="utf-8")

    first, second = signer(*generate()), signer(*generate())

    assert (first.code, second.code) == (6, 6)
    assert "CKR_PIN_INCORRECT" in first.err
    assert "signer token retry primary" in second.err
    assert "wrong-pin" not in first.err + second.err
    assert (site / "state" / "pin-refused" / "primary.json").exists()
    home.pin_file.write_text(pin, encoding="utf-8")
    assert signer(*generate()).code == 0


def test_a_pin_file_that_others_can_read_is_6(signer: Signer, home: Home) -> None:
    """The token is not asked."""
    home.pin_file.chmod(0o644)

    result = signer(*generate())

    assert result.code == 6
    assert "chmod 0400" in result.err


def test_root_makes_keys_as_the_user_of_the_state(signer: Signer, public_site: Path) -> None:
    """What root generates, the signer can use: the token's files belong to the signer's user."""
    user = 4711
    home = provision(public_site)
    (public_site / "state").mkdir()
    softhsm = public_site / "softhsm"
    for path in (public_site / "state", softhsm, home.pin_file, *softhsm.rglob("*")):
        os.chown(path, user, user)

    result = signer(*generate("--append"), cwd=public_site)

    assert (result.code, result.err) == (0, "")
    assert {path.stat().st_uid for path in softhsm.rglob("*")} == {user}
