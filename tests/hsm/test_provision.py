"""A new token: random PINs in two files, nothing overwritten. By the command, in a folder of its own."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from rig.hsm_home import SOFTHSM, Home, make_home

from hsm.errors import PinRefusedError, ProvisionError
from hsm.pin import Pin, PinFile
from hsm.provision import init_token
from hsm.softhsm import write_configuration

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from hsm.module import Module


def init(home: Home, label: str, pin: Path, so_pin: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run init-token in the SoftHSM of `home`."""
    return home.run(
        *("init-token", "--module", SOFTHSM, "--label", label, "--pin-file", pin, "--so-pin-file", so_pin),
        *more,
    )


def test_the_pins_are_long_random_and_different(home: Home, tmp_path: Path) -> None:
    """Two tokens have four PINs."""
    second = tmp_path / "second"
    second.mkdir()
    other = make_home(second)

    files = (home.pin_file, home.so_pin_file, other.pin_file, other.so_pin_file)

    pins = {PinFile(file).read().reveal() for file in files}
    assert len(pins) == 4
    assert {len(pin) for pin in pins} == {16}
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_each_pin_opens_what_it_is_for(module: Module, shared_home: Home, pin: Pin) -> None:
    """The user PIN is not the security officer's."""
    so_pin = PinFile(shared_home.so_pin_file).read()
    (token,) = [token for token in module.tokens() if token.label == "primary"]

    module.close_session(module.open_session(token, pin))
    module.close_session(module.open_officer_session(token, so_pin))

    with pytest.raises(PinRefusedError):
        module.open_session(token, so_pin)
    with pytest.raises(PinRefusedError):
        module.open_officer_session(token, pin)


def test_the_length_is_chosen(home: Home) -> None:
    """For devices that take short PINs only."""
    done = init(home, "short", home.folder / "a", home.folder / "b", "--pin-length", "8", "--json")

    assert done.returncode == 0, done.stderr
    assert len(PinFile(home.folder / "a").read().reveal()) == 8
    assert json.loads(done.stdout)["uri"] == f"pkcs11:token=short?module-path={SOFTHSM}"


def test_a_token_of_the_same_label_is_not_overwritten(home: Home) -> None:
    """The first one's keys and PIN stay, and no PIN file is made."""
    key = home.generate("kept", "r1")

    done = init(home, "primary", home.folder / "a", home.folder / "b")

    assert done.returncode == 1
    assert "token primary exists already" in done.stderr
    assert not (home.folder / "a").exists()
    assert not (home.folder / "b").exists()
    assert json.loads(home.on_token("list", "--json").stdout) == [key]


@pytest.mark.parametrize("taken", ["a", "b"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_that_exists_is_not_overwritten(home: Home, taken: str, kind: str) -> None:
    """Nor one that a link points to; no token is made."""
    path = home.folder / taken
    if kind == "file":
        path.write_text("precious")
    else:
        path.symlink_to(home.folder / "nowhere")

    done = init(home, "second", home.folder / "a", home.folder / "b")

    assert done.returncode == 1
    assert f"{path} exists already" in done.stderr
    assert sum((home.folder / name).exists() for name in ("a", "b", "nowhere")) == (kind == "file")
    assert (
        "token=second"
        in home.run(
            *("list", "--uri", f"pkcs11:token=second?module-path={SOFTHSM}", "--pin-file", home.pin_file)
        ).stderr
    )


def test_the_two_pins_need_two_files(home: Home) -> None:
    """Also where the same file is named in two ways."""
    done = init(home, "second", home.folder / "a", home.folder / ".." / home.folder.name / "a")

    assert done.returncode == 1
    assert "two files" in done.stderr


@pytest.mark.parametrize("label", ["", " ", " a", "a ", "a\n", "a" * 33, "ü" * 17])
def test_a_label_that_no_uri_finds_is_refused(module: Module, tmp_path: Path, label: str) -> None:
    """Labels are padded with blanks and cut at 32 bytes by the standard."""
    with pytest.raises(ProvisionError, match="label"):
        init_token(module, label, tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("length", [-1, 0, 3, 257])
def test_a_length_out_of_range_is_refused(module: Module, tmp_path: Path, length: int) -> None:
    """Before anything is made."""
    with pytest.raises(ProvisionError, match="length is 4 to 256"):
        init_token(module, "new", tmp_path / "a", tmp_path / "b", pin_length=length)

    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_refused(module: Module, tmp_path: Path) -> None:
    """It is not made with a mode that nobody chose."""
    with pytest.raises(ProvisionError, match="does not exist"):
        init_token(module, "new", tmp_path / "absent" / "a", tmp_path / "b")


def test_a_pin_that_the_token_refuses_leaves_no_file(module: Module, tmp_path: Path) -> None:
    """SoftHSM takes at most 255 bytes, so the same command with another length works afterwards."""
    with pytest.raises(PinRefusedError, match="CKR_PIN_") as caught:
        init_token(module, "new", tmp_path / "a", tmp_path / "b", pin_length=256)

    assert "nothing was made" in " ".join(caught.value.__notes__)
    assert list(tmp_path.iterdir()) == []
    assert init_token(module, "new", tmp_path / "a", tmp_path / "b", pin_length=255).label == "new"


def test_a_softhsm_folder_is_private_and_used_again(tmp_path: Path) -> None:
    """A second call changes nothing; one that was edited is refused."""
    folder = tmp_path / "softhsm"
    path = write_configuration(folder)
    before = path.read_text()

    assert write_configuration(folder) == path
    assert path.read_text() == before
    assert {stat.S_IMODE(item.stat().st_mode) for item in (folder, folder / "tokens")} == {0o700}

    path.write_text(before + "log.level = DEBUG\n")
    with pytest.raises(ProvisionError, match="differs"):
        write_configuration(folder)


def test_a_softhsm_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file stands in its place."""
    (tmp_path / "file").touch()

    with pytest.raises(ProvisionError, match="cannot be made"):
        write_configuration(tmp_path / "file")


def test_several_tokens_live_in_one_softhsm(home: Home) -> None:
    """SoftHSM numbers its slots anew for each token; the label finds the right one."""
    for name in ("second", "third"):
        done = init(home, name, home.folder / f"{name}.pin", home.folder / f"{name}.so-pin")
        assert done.returncode == 0, done.stderr

    for name in ("second", "third"):
        made = home.run(
            *("generate", "--uri", f"pkcs11:token={name}?module-path={SOFTHSM}", "--label", f"of-{name}"),
            *("--pin-file", home.folder / f"{name}.pin", "--curve", "r1", "--json"),
        )
        assert json.loads(made.stdout)["label"] == f"of-{name}"
    assert json.loads(home.on_token("list", "--json").stdout) == []


def test_the_umask_of_the_caller_does_not_open_the_files(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask."""
    old = os.umask(0)
    try:
        home = make_home(tmp_path)
    finally:
        os.umask(old)

    for path in (home.pin_file, home.so_pin_file, home.configuration):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.configuration.parent.stat().st_mode) == 0o700
