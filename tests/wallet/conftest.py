"""Signers with wallets, each with a copy of tokens that are provisioned once."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.wallet_site import BLOCK, DEFAULT, WalletSite, WalletTokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rig.shim import Shim


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


@pytest.fixture(scope="module")
def shared_site(
    wallet_tokens: WalletTokens, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[WalletSite, dict[str, Shim]]]:
    """A signer for all tests that leave it as it was, with shims that count logins."""
    site = WalletSite.copy_of(wallet_tokens, tmp_path_factory.mktemp("s"))
    shims = {token: site.shim(token) for token in (DEFAULT, BLOCK)}
    with site.start():
        yield site, shims


@pytest.fixture
def locked(shared_site: tuple[WalletSite, dict[str, Shim]]) -> WalletSite:
    """That signer, with no wallet open that a person opens, and no PIN tried."""
    site, _ = shared_site
    site.do("lock_all")
    site.retry()
    return site


@pytest.fixture
def shims(shared_site: tuple[WalletSite, dict[str, Shim]]) -> dict[str, Shim]:
    """The shims of that signer, by token."""
    return shared_site[1]


@pytest.fixture
def site(wallet_tokens: WalletTokens, folder: Path) -> Iterator[WalletSite]:
    """A signer that is not started yet."""
    site = WalletSite.copy_of(wallet_tokens, folder)
    yield site
    if site.program is not None:
        site.program.stop()
