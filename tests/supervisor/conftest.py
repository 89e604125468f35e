"""A signer of its own for each test, with copies of two tokens that are made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rig.site import Ring, Site

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Ring:
    """The tokens."""
    return Ring.make(tmp_path_factory.mktemp("ring"))


@pytest.fixture
def site(ring: Ring) -> Iterator[Site]:
    """A signer that was not started."""
    site = Site.copy_of(ring)
    yield site
    if site.program is not None:
        print(*(line for line in site.log.splitlines() if '"error"' in line), sep="\n")  # noqa: T201 - if it failed
    site.clean()
