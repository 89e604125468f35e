"""A real SoftHSM in a folder of its own, provisioned by our own commands.

A module is initialised once per process. Tests that need one in a state of its own run it in a child.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from rig.hsm_home import SOFTHSM, Home, make_home

from hsm.module import Module
from hsm.pin import Pin, PinFile
from hsm.softhsm import CONFIG_VARIABLE
from hsm.uri import TokenUri, parse_uri

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pkcs11.types import Session


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home of this test alone."""
    return make_home(tmp_path)


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The home that the module of this process sees."""
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def module(shared_home: Home) -> Iterator[Module]:
    """The one module of this process, stopped at the end of the file so that another may start."""
    with pytest.MonkeyPatch.context() as patch:
        # SoftHSM reads this again whenever a test starts the module anew.
        patch.setenv(CONFIG_VARIABLE, str(shared_home.configuration))
        module = Module(SOFTHSM)
        yield module
        module.finalize()


@pytest.fixture
def uri(shared_home: Home) -> TokenUri:
    """The URI of the shared token."""
    return parse_uri(shared_home.uri)


@pytest.fixture
def pin(shared_home: Home) -> Pin:
    """The shared token's PIN."""
    return PinFile(shared_home.pin_file).read()


@pytest.fixture
def session(module: Module, uri: TokenUri, pin: Pin) -> Iterator[Session]:
    """A logged-in read-write session on the shared token."""
    with module.session(uri, pin, write=True) as session:
        yield session


_numbers = itertools.count(1)


@pytest.fixture
def label() -> str:
    """A key label that no other test uses."""
    return f"key-{next(_numbers)}"
