"""What `check-config --strict` finds: valid, and still unwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from signer.config_warnings import warnings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from signer.config import Config

    Load = Callable[[str], Config]

R1 = "PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr"
K1 = "EOS5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1ZeXbgf"
SPARE = (
    '[[keys]]\npublic_key = "PUB_R1_5B4YWRuzRL1vhyywAY3BQRRRsA8RkXHVfb11yawNRWYb2fdLj8"\nrole = "block"\n'
    'node = "a"\ntoken = "primary"\nlabel = "r1-2"\n'
)
PROBE = (
    '[[keys]]\npublic_key = "PUB_R1_8hv9eMFokEFDRdpVQzHddz8rL4NmMibS3DE81A8epCKyNhDuWM"\nrole = "probe"\n'
    'token = "primary"\nlabel = "probe"\n'
)
UNUSED = '[tokens.other]\nuri = "pkcs11:token=o?module-path=/usr/lib/softhsm/libsofthsm2.so"\npin_credential = "o"\n'

PLACES = '[audit]\ncheckpoint_file = "pins/checkpoints"\ncheckpoint_syslog = "udp:192.0.2.1:514"\n'


@pytest.fixture
def sound(valid_text: str, tmp_path: Path) -> str:
    """The text of a configuration without a finding: all files are there, with the right modes."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "pins").mkdir(mode=0o700)
    (tmp_path / "pins/primary.pin").touch(mode=0o600)
    (tmp_path / "run/a").mkdir(parents=True, mode=0o750)
    return valid_text + SPARE + PROBE


def test_a_sound_configuration_has_no_finding(sound: str, load: Load) -> None:
    """Nothing is said where nothing is unwise."""
    assert warnings(load(sound)) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("pin_file", "software = true\npin_file", ("tokens.primary.software", "protects against nobody")),
        (PROBE, "", ("tokens.primary", "nothing proves that it signs")),
        ("pin_file", "lanes = 1\npin_file", ("tokens.primary.lanes", "use 2 or more")),
        ("/usr/lib/softhsm/", "/absent/", ("tokens.primary.uri", "does not exist here")),
        (
            "pin_file",
            'environment = { A = "/absent" }\npin_file',
            ("tokens.primary.environment.A", "does not exist"),
        ),
        ("pins/primary.pin", "pins/other.pin", ("tokens.primary.pin_file", "0400")),
        ("pins/primary.pin", "pins", ("tokens.primary.pin_file", "not a regular file")),
        (R1, K1, ("nodes.a.timeout_ms", "short for K1")),
        (SPARE, "", ("nodes.a", "has one key")),
        (SPARE, SPARE + UNUSED, ("nodes.a", "all its keys are in token primary")),
        (SPARE, SPARE + UNUSED, ("tokens.other", "no key is in this token")),
        (SPARE, SPARE + PLACES, ("audit", "no key that signs them")),
        (SPARE, SPARE + PLACES, ("audit.checkpoint_file", "on the file system of state_dir")),
        (SPARE, SPARE + PLACES.replace("pins/", "absent/"), ("audit.checkpoint_file", "make it or mount it")),
        (
            'unix = "run/a/sign.sock"',
            'tcp = "127.0.0.1:1"',
            ("listeners[0].tcp", "a unix socket asks who calls"),
        ),
        (
            'unix = "run/a/sign.sock"',
            'tcp = "10.0.0.1:1"\nexpose_beyond_loopback = true',
            ("listeners[0].tcp", "firewall"),
        ),
        ('"run/admin.sock"', '"b"\nowner = "no-such-user"', ("listeners[1].owner", "no user no-such-user")),
        (
            '"run/admin.sock"',
            '"b"\ngroup = "no-such-group"',
            ("listeners[1].group", "no group no-such-group"),
        ),
        (
            '"run/admin.sock"',
            '"b"\npeers = ["root", "no-such-user"]',
            ("listeners[1].peers", "no user no-such-user"),
        ),
        (
            SPARE,
            SPARE + '[[listeners]]\nkind = "wallet"\ntcp = "127.0.0.1:1"\nallow_wallet_on_tcp = true\n',
            ("listeners[2].tcp", "does not ask who calls"),
        ),
        (
            SPARE,
            SPARE
            + '[[listeners]]\nkind = "control"\ntcp = "10.0.0.1:1"\ntls_certificate = "absent"\ntls_key = "key"\n',
            ("listeners[2].tls_certificate", "is not a file"),
        ),
        (
            SPARE,
            SPARE
            + '[[listeners]]\nkind = "control"\ntcp = "10.0.0.1:1"\ntls_certificate = "c"\ntls_key = "absent"\n',
            ("listeners[2].tls_key", "make it with mode 0400"),
        ),
        (
            SPARE,
            SPARE
            + '[[listeners]]\nkind = "control"\ntcp = "10.0.0.1:1"\ntls_certificate = "c"\ntls_key = "k"\n'
            'tls_client_ca = "absent"\n',
            ("listeners[2].tls_client_ca", "is not a file"),
        ),
        (
            SPARE,
            SPARE
            + '[[listeners]]\nkind = "control"\ntcp = "0.0.0.0:1"\ntls_certificate = "c"\ntls_key = "k"\n',
            ("listeners[2].names", "by a name"),
        ),
    ],
)
def test_what_is_unwise_is_told_with_its_key(
    old: str, new: str, told: tuple[str, str], sound: str, load: Load
) -> None:
    """Each finding names the key and says what to do."""
    assert sound.count(old) == 1
    key, word = told

    found = warnings(load(sound.replace(old, new)))

    assert any(line.startswith(f"{key}: ") and word in line for line in found), found


def test_warmth_off_with_a_software_token_is_told(sound: str, load: Load) -> None:
    """A cold software token misses the first block after a pause."""
    text = sound.replace("pin_file", "software = true\npin_file") + "[warmth]\nenabled = false\n"

    assert any(line.startswith("warmth.enabled: ") for line in warnings(load(text)))


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("pins/primary.pin", (0o644, "tokens.primary.pin_file")),
        ("pins", (0o777, "tokens.primary.pin_file")),
        ("run", (0o770, "listeners[1].unix")),
        ("run/a", (0o757, "listeners[0].unix")),
        ("state", (0o755, "state_dir")),
    ],
)
def test_modes_that_let_others_in_are_told(
    path: str, told: tuple[int, str], sound: str, load: Load, tmp_path: Path
) -> None:
    """PIN files, and the folders of PIN files, sockets and state."""
    mode, key = told
    (tmp_path / path).chmod(mode)

    (line,) = warnings(load(sound))

    assert line.startswith(f"{key}: ")
    assert "chmod" in line


def test_a_software_token_without_a_probe_key_is_not_kept_warm(sound: str, load: Load) -> None:
    text = sound.replace(PROBE, "").replace("pin_file", "software = true\npin_file")
    assert any("not kept warm" in told for told in warnings(load(text)))
