"""The command signer-hsm: exit codes, one-line errors, JSON, and no PIN in sight."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from rig.hsm_home import SOFTHSM, Home

from hsm.pin import PinFile

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

URI = f"pkcs11:token=primary?module-path={SOFTHSM}"


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The command ended with `code` and one line that has `words`."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("signer-hsm: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_a_generated_key_is_shown_for_programs_and_for_people(home: Home) -> None:
    """JSON has label, id, curve and the compressed public key; so has the line."""
    key = home.generate("k", "k1")
    home.generate("r", "r1")

    assert set(key) == {"label", "id", "curve", "public_key_hex"}
    assert (key["label"], key["curve"]) == ("k", "secp256k1")
    assert len(bytes.fromhex(key["id"])) == 16
    assert len(bytes.fromhex(key["public_key_hex"])) == 33
    listed = json.loads(home.on_token("list", "--json").stdout)
    assert listed[0] == key
    assert [item["curve"] for item in listed] == ["secp256k1", "prime256v1"]
    assert f"k id {key['id']} secp256k1 {key['public_key_hex']}\n" in home.on_token("list").stdout


def test_the_audit_passes_our_keys_and_ends_with_5_on_a_finding(home: Home) -> None:
    """A key whose capabilities were left to SoftHSM may do more than sign."""
    home.generate("good", "r1")
    assert home.on_token("audit").returncode == 0

    bare = home.on_token("generate", "--label", "loose", "--curve", "r1", "--bare-template", "--json")
    assert bare.returncode == 5
    assert json.loads(bare.stdout)["label"] == "loose"
    assert "may" in bare.stderr

    audit = home.on_token("audit", "--json")
    assert audit.returncode == 5
    findings = {item["label"]: item["findings"] for item in json.loads(audit.stdout)}
    assert findings["good"] == []
    assert any("CKA_SIGN_RECOVER" in finding for finding in findings["loose"])
    people = home.on_token("audit")
    assert people.returncode == 5
    assert ": fit\n" in people.stdout


def test_an_audit_of_nothing_is_no_pass(home: Home) -> None:
    """The URI may name the wrong token."""
    done = home.on_token("audit")

    assert done.returncode == 5
    assert "no private key" in done.stderr
    assert home.on_token("list").returncode == 0


def test_a_key_that_exists_is_not_made_again(home: Home) -> None:
    """A refusal is exit code 1."""
    home.generate("once", "r1")

    assert_refused(home.on_token("generate", "--label", "once", "--curve", "k1"), 1, "already")


def test_a_wrong_pin_is_refused_without_showing_it(home: Home) -> None:
    """The PIN of the token and the wrong one stay out of the output."""
    wrong = home.folder / "wrong.pin"
    wrong.write_text("tangerine\n")
    wrong.chmod(0o400)

    done = home.run("list", "--uri", URI, "--pin-file", wrong)

    assert_refused(done, 6, "CKR_PIN_INCORRECT", "token primary")
    assert "tangerine" not in done.stderr


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_an_open_pin_file_is_refused(home: Home, mode: int) -> None:
    """Before the token is asked."""
    home.pin_file.chmod(mode)

    assert_refused(home.on_token("list"), 6, f"mode {mode:04o}", "chmod 0400")


def test_a_pin_file_that_is_no_pin_file_is_refused(home: Home) -> None:
    """Absent, empty, a link."""
    (home.folder / "empty").touch(mode=0o600)
    (home.folder / "link").symlink_to(home.pin_file)

    for name, word in (("absent", "does not exist"), ("empty", "empty"), ("link", "symbolic link")):
        assert_refused(home.run("list", "--uri", URI, "--pin-file", home.folder / name), 6, word)


@pytest.mark.parametrize(
    ("uri", "code", "word"),
    [
        ("pkcs11:token=primary", 2, "module-path"),
        (f"{URI}&pin-value=1234", 2, "pin-value is refused"),
        (URI.replace("primary", "other"), 6, "'primary'"),
        ("pkcs11:token=primary?module-path=/nonexistent.so", 6, "cannot be loaded"),
    ],
)
def test_a_wrong_uri_is_refused(home: Home, uri: str, code: int, word: str) -> None:
    """A wrong text is a usage error; a token that is not there is not."""
    assert_refused(home.run("list", "--uri", uri, "--pin-file", home.pin_file), code, word)


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["list"], ["generate", "--curve", "p384"], ["list", "--pin", "1234"]]
)
def test_wrong_arguments_are_a_usage_error(home: Home, arguments: list[str]) -> None:
    """No option takes a PIN, and none is abbreviated."""
    done = home.run(*arguments)

    assert done.returncode == 2
    assert "usage: signer-hsm" in done.stderr


@pytest.mark.parametrize("command", ["init-token", "generate", "list", "audit", "destroy"])
def test_every_command_explains_itself(home: Home, command: str) -> None:
    """With an example and the exit codes."""
    done = home.run(command, "--help")

    assert done.returncode == 0
    assert f"signer-hsm {command} -" in done.stdout
    assert "exit codes:" in done.stdout


def test_no_pin_is_in_the_command_line_environment_or_output(tmp_path: Path, home: Home) -> None:
    """Each command's process is looked at from inside, and starts no other process."""
    program = """
import json, os, subprocess, sys
from pathlib import Path
from hsm.__main__ import main

STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.system")
started = []
# Opened first: afterwards the process may not look at itself.
files = [open(f"/proc/self/{name}", "rb") for name in ("cmdline", "environ")]
sys.addaudithook(lambda event, _: started.append(event) if event in STARTS else None)
code = main(json.loads(os.environ["ARGUMENTS"]))
sys.stdout.flush()
seen = b"".join(file.read() for file in files)
Path("seen").write_bytes(seen + repr(dict(os.environ)).encode())
assert not started, started
sys.exit(code)
"""
    pins = [home.pin_file, home.so_pin_file, tmp_path / "new.pin", tmp_path / "new.so-pin"]
    token = ["--uri", URI, "--pin-file", str(home.pin_file)]
    for arguments in (
        [
            *("init-token", "--module", SOFTHSM, "--label", "new"),
            *("--pin-file", str(pins[2]), "--so-pin-file", str(pins[3])),
        ],
        ["generate", *token, "--label", "a", "--curve", "r1"],
        ["list", *token],
        ["audit", *token, "--json"],
        ["destroy", *token, "--label", "a", "--yes"],
    ):
        done = home.python(program, ARGUMENTS=json.dumps(arguments))

        assert done.returncode == 0, done.stderr
        seen = (home.folder / "seen").read_text(errors="replace") + done.stdout + done.stderr
        assert str(home.configuration) in seen
        for file in pins:
            if file.exists():
                assert PinFile(file).read().reveal() not in seen
    assert all(file.exists() for file in pins)


def test_a_command_leaves_no_core_dump(home: Home) -> None:
    """The PIN is in memory while a command runs."""
    done = home.python("""
import resource, sys
from hsm.__main__ import main
code = main(["list", "--uri", "pkcs11:", "--pin-file", "x"])
print(code, resource.getrlimit(resource.RLIMIT_CORE))
""")

    assert done.stdout == "2 (0, 0)\n"


def test_a_token_is_shown_without_its_pin(home: Home) -> None:
    """Whether it is there, and what it says of wrong PINs, which this command never adds to."""
    well = home.run("show", "--uri", URI, "--json")
    assert well.returncode == 0, well.stderr
    shown = json.loads(well.stdout)
    assert (shown["present"], shown["flags"], shown["problem"]) == (True, [], "")
    assert shown["module"].startswith("SoftHSM ")
    assert home.run("show", "--uri", URI).stdout.startswith(f"{URI}: present, SoftHSM ")

    home.pin_file.write_text("000000")
    assert home.on_token("list").returncode == 6
    told = home.run("show", "--uri", URI)
    assert told.returncode == 5
    assert "CKF_USER_PIN_COUNT_LOW" in told.stdout


def test_a_token_that_is_not_there_is_6(home: Home) -> None:
    """And which ones are."""
    other = URI.replace("primary", "elsewhere")
    assert_refused(home.run("show", "--uri", other), 6, "no token matches", "primary")
    shown = json.loads(home.run("show", "--uri", other, "--json").stdout)
    assert (shown["present"], "no token matches" in shown["problem"]) == (False, True)
