"""A provisioned signer, and folders with short names: a unix socket's path has at most 107 bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rig import signer_process
from rig.signer_process import Installation, RunningSigner
from rig.tools import Tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Real nodeos, cleos and keosd."""
    return Tools.find()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name does not grow with the test's."""
    return tmp_path_factory.mktemp("c")


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """One token and one configuration for all chains; every test starts a signer of its own on it."""
    return signer_process.provision(tmp_path_factory.mktemp("s"))


@pytest.fixture
def signer(installation: Installation) -> Iterator[RunningSigner]:
    """A ready signer."""
    with RunningSigner(installation) as running:
        yield running
