"""A signer of two nodes, and folders with short names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rig.site import Ring, Site
from rig.tools import Tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Real nodeos and keosd."""
    return Tools.find()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name does not grow with the test's."""
    return tmp_path_factory.mktemp("h")


@pytest.fixture
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same, with the guards that a chain with a producer has by default."""
    yield from _serving(tmp_path_factory, "[guards]", 'lease = "observe"', 'rate = "enforce"')


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A signer that runs, with every process, at nodeos' default timeout."""
    yield from _serving(tmp_path_factory)


def _serving(tmp_path_factory: pytest.TempPathFactory, *tables: str) -> Iterator[Site]:
    made = Site.whole_copy_of(Ring.make(tmp_path_factory.mktemp("ring")))
    made.timeout_ms = 5
    made.tables = [*tables]
    try:
        yield made.start()
    finally:
        made.clean()
