"""A trial that runs for the tests of one file. With BARE_LONG in the environment, a bare Debian too."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Half an hour of mirrors and packages.
collect_ignore = [] if os.environ.get("BARE_LONG") else ["test_bare_debian.py"]


def _private_folder() -> tempfile.TemporaryDirectory[str]:
    # Not below pytest's own folder: each run of pytest sets that to 0700 again, which ends what setfacl gave.
    return tempfile.TemporaryDirectory(prefix="trial-")


@pytest.fixture
def private_folder() -> Iterator[Path]:
    """A folder of mode 0700."""
    with _private_folder() as folder:
        yield Path(folder)


@pytest.fixture
def trial(private_folder: Path) -> Iterator[Trial]:
    """A folder that nothing was made in. What runs on it at the end is stopped."""
    made = Trial(private_folder / "trial")
    yield made
    if (made.folder / ".quickstart").exists():
        made.stop()


@pytest.fixture(scope="module")
def running() -> Iterator[Trial]:
    """A trial that runs, detached, below a folder that only its owner can search."""
    with _private_folder() as parent:
        made = Trial(Path(parent) / "trial")
        try:
            made.start()
            yield made
        finally:
            made.stop()
