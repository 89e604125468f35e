"""Signers with real tokens, as tests/supervisor has them."""

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
    """A signer that was not started, without a control process."""
    site = Site.copy_of(ring)
    yield site
    site.clean()


@pytest.fixture
def whole(ring: Ring) -> Iterator[Site]:
    """A signer that was not started, with a control process and its token."""
    site = Site.whole_copy_of(ring)
    yield site
    site.clean()
