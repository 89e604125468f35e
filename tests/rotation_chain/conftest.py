"""Two chains with the real system contract: one with an election, one without.

What needs an election waits for the chain most of its time. So it plays from the first test of this folder on, beside
the tests that need none, and is asked for its results last.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.chain import Chain
from rig.scenes import Scenes
from rig.stage import Stage
from rig.tools import Tools
from rotation_chain import election, killing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rotation_chain.election import Cast

#: Files of the long form alone.
collect_ignore = [] if os.environ.get("ROTATION_LONG") else ["test_emergency_pair.py"]


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Real nodeos, cleos and keosd."""
    return Tools.find()


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder with a short name, and not below pytest's own, which nobody else can search."""
    with tempfile.TemporaryDirectory(prefix="r-") as made:
        yield Path(made)


@pytest.fixture(scope="session")
def cast(tools: Tools, folder: Path) -> Iterator[Cast]:
    """Everybody of `election`, playing."""
    with Chain(tools, folder / "chain", local=["alpha"]) as chain, Scenes(3) as scenes:
        stage = Stage(tools, folder, chain, scenes)
        try:
            yield election.play(stage)
        finally:
            stage.stop()


@pytest.fixture(scope="session")
def quiet(tools: Tools, folder: Path) -> Iterator[Stage]:
    """A chain without an election: `eosio` makes every block, and each is irreversible with the next one."""
    with Chain(tools, folder / "quiet") as chain, Scenes(4) as scenes:
        stage = Stage(tools, folder, chain, scenes)
        try:
            yield stage
        finally:
            stage.stop()


@pytest.fixture(scope="session")
def killed(quiet: Stage) -> Stage:
    """The quiet chain with the scenes of `killing` playing."""
    killing.play(quiet)
    return quiet


@pytest.fixture(scope="session", autouse=True)
def _playing(request: pytest.FixtureRequest) -> None:
    """Begin with what takes longest, if it was asked for."""
    asked = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    for name in ("cast", "killed"):
        if name in asked:
            request.getfixturevalue(name)
