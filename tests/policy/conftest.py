"""A signer with two account keys, whose policy is given as TOML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from policy.actions import CHAIN, KEYS, NOW, transaction

from signer import config_file
from signer.policy import policies
from signer.policy.decision import decide

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from signer.antelope.foreign import ForeignAction
    from signer.config import Config
    from signer.policy.decision import Decision

    Load = Callable[[str], Config]
    Judge = Callable[..., Decision]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a configuration: the keys above, then `text`."""

    def load_text(text: str) -> Config:
        path = tmp_path / "signer.toml"
        path.write_text(KEYS + text, encoding="utf-8")
        return config_file.load(path)

    return load_text


@pytest.fixture
def judge(load: Load) -> Judge:
    """Decide about actions by the policy in a text."""

    def decided(
        text: str, *actions: ForeignAction, key: str = "claimer", chain: bytes = CHAIN, **fields: object
    ) -> Decision:
        config = load(text)
        public_key = next(each.public_key for each in config.keys if each.label == key)
        return decide(transaction(*actions, **fields), chain, public_key, policies.load(config), NOW)

    return decided
