"""A small valid configuration, to be broken in one place at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from signer import config_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from signer.config import Config

VALID = """\
state_dir = "state"

[chains.local]
id = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

[tokens.primary]
uri = "pkcs11:token=primary?module-path=/usr/lib/softhsm/libsofthsm2.so"
pin_file = "pins/primary.pin"

[nodes.a]
chain = "local"

[[listeners]]
kind = "node"
node = "a"
unix = "run/a/sign.sock"

[[listeners]]
kind = "admin"
unix = "run/admin.sock"

[[keys]]
public_key = "PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr"
role = "block"
node = "a"
token = "primary"
label = "r1-1"
"""


@pytest.fixture
def valid_text() -> str:
    """The text of a small valid configuration."""
    return VALID


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Config]:
    """Load a text from a file signer.toml in tmp_path."""

    def load_text(text: str) -> Config:
        path = tmp_path / "signer.toml"
        path.write_text(text, encoding="utf-8")
        return config_file.load(path)

    return load_text
