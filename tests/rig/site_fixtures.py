"""Fixtures: a signer of its own for each test, with copies of tokens that are made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rig.site import Ring, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Lines with an error, at the most. A process without memory writes a million.
_SHOWN = 200


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Ring:
    """The tokens."""
    return Ring.make(tmp_path_factory.mktemp("ring"))


@pytest.fixture
def site(ring: Ring) -> Iterator[Site]:
    """A signer that was not started, without a control process."""
    yield from _kept(Site.copy_of(ring))


@pytest.fixture
def whole(ring: Ring) -> Iterator[Site]:
    """A signer that was not started, with a control process and its token."""
    yield from _kept(Site.whole_copy_of(ring))


def _kept(site: Site) -> Iterator[Site]:
    yield site
    if site.program is not None:
        errors = [line for line in site.log.splitlines() if '"error"' in line]
        print(*errors[-_SHOWN:], sep="\n")  # noqa: T201 - if it failed
    site.clean()
