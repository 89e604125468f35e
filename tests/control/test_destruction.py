"""The laws of releasing a key for its destruction: only what nothing needs, and with a name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from rig.control_site import is_problem
from rig.fake_rotations import KEY_A
from rig.keypair import DEVELOPMENT

from signer.antelope.keys import PublicKey
from signer.antelope.name import parse_name
from signer.chain.values import Schedule, ScheduledProducer
from signer.control.supervisor import Issued
from signer.rotation.evidence import Evidence, EvidenceKind

if TYPE_CHECKING:
    import httpx
    from rig.control_site import Site

#: A key that the configuration does not have.
OLD = PublicKey.parse(DEVELOPMENT.public)


def destroy(site: Site, key: object) -> httpx.Response:
    """Ask as alice."""
    return site.ask(f"/v1/keys/{key}/destroy", method="POST", token=site.person("alice"))


@pytest.fixture
def unlisted(site: Site) -> Site:
    """Return a site whose nodes were looked at: none lists the old key."""
    for node in ("a", "b", "c"):
        site.journal.add_evidence(
            Evidence(node, EvidenceKind.UNLISTED, OLD, site.clock.now, "pid 7", "alice")
        )
    return site


def test_a_key_that_nothing_needs_is_released(unlisted: Site) -> None:
    """In the name of the person; asking again changes nothing."""
    for _ in range(2):
        assert destroy(unlisted, OLD.legacy).json() == {"key": str(OLD)}
    assert unlisted.supervisor.acts == [("key-destroy", "alice", str(OLD))] * 2


def test_a_key_that_something_needs_stays(unlisted: Site) -> None:
    """With the reason: the configuration, or a schedule."""
    answer = destroy(unlisted, KEY_A)
    is_problem(answer, 409, "in-use")
    assert "configuration lists it" in answer.json()["detail"]

    unlisted.chain.schedule = Schedule(1, (ScheduledProducer(parse_name("bp2"), (OLD,), ()),))
    answer = destroy(unlisted, OLD)
    is_problem(answer, 409, "in-use")
    assert "a schedule of eos names it" in answer.json()["detail"]
    assert unlisted.supervisor.acts == []


def test_its_last_block_has_to_be_irreversible(unlisted: Site) -> None:
    """By the signer's own record of what it signed."""
    unlisted.supervisor.signed = Issued("SIG_K1_x", OLD, "a", datetime.now(UTC))
    answer = destroy(unlisted, OLD)
    is_problem(answer, 409, "in-use")
    assert "may not be irreversible yet" in answer.json()["detail"]


def test_what_nobody_can_say_is_a_reason(unlisted: Site) -> None:
    """A silent chain keeps every key."""
    unlisted.chain.seen = False
    is_problem(destroy(unlisted, OLD), 409, "in-use")


def test_what_is_no_key(site: Site) -> None:
    """Nothing of it is repeated."""
    answer = destroy(site, "hush")
    is_problem(answer, 422, "invalid")
    assert "hush" not in answer.text
