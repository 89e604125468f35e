"""A listener's folder that belongs to another user is refused, with that user's name."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

import pytest

from signer import config_file
from signer.errors import ConfigError
from signer.supervisor import sockets

if TYPE_CHECKING:
    from pathlib import Path


def test_the_user_of_the_folder_is_named(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts the signer as the wrong user learns which is the right one."""
    config = config_file.load(site / "signer.toml")
    listener = next(each for each in config.listeners if each.unix is not None)
    (site / "run").mkdir(mode=0o750)
    if os.geteuid() == 0:
        os.chown(site / "run", 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    owner = pwd.getpwuid((site / "run").stat().st_uid).pw_name

    with pytest.raises(ConfigError, match=f"belongs to the user {owner}, .*run it as the user {owner}"):
        sockets.bind(listener)
