"""Signers with wallets, each with a copy of tokens that are provisioned once."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.wallet_site import WalletSite, WalletTokens

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def wallet_tokens(tmp_path_factory: pytest.TempPathFactory) -> WalletTokens:
    """Tokens for every signer of these tests, to be copied."""
    return WalletTokens.make(tmp_path_factory.mktemp("tokens"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a unix socket's path is."""
    path = Path(tempfile.mkdtemp(prefix="wallet-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def site(wallet_tokens: WalletTokens, folder: Path) -> Iterator[WalletSite]:
    """A signer that is not started yet."""
    site = WalletSite.copy_of(wallet_tokens, folder)
    yield site
    if site.program is not None:
        site.program.stop()
