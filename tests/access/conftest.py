"""A trial that runs, as its user would have it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def trial() -> Iterator[Trial]:
    """Yield it, started; nothing in these tests changes it."""
    # Not below pytest's own folder: each run of pytest sets that to 0700 again, which ends what setfacl gave.
    with tempfile.TemporaryDirectory(prefix="trial-") as parent:
        made = Trial(Path(parent) / "trial")
        try:
            made.start()
            yield made
        finally:
            made.stop()
