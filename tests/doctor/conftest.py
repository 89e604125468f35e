"""One chain and one trial for all tests of this folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.chain import Chain
from rig.produced_trial import ProducedTrial
from rig.tools import Tools

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def world() -> Iterator[ProducedTrial]:
    """One for all tests: each leaves it as it was."""
    with (
        tempfile.TemporaryDirectory(prefix="doctor-") as folder,
        Chain(Tools.find(), Path(folder, "chain")) as chain,
    ):
        made = ProducedTrial(Path(folder), chain)
        try:
            made.start()
            yield made
        finally:
            made.signer.stop()
            for api in made.apis:
                api.stop()
