"""What is known of a key, how it is known, and which of several observations counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from rig import two_nodes

from signer.rotation.evidence import Evidence, EvidenceKind, declared, strongest

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MAX_AGE = timedelta(hours=192)
KEY = two_nodes.A[1]
SIGNED, FILE, DECLARED, UNLISTED = (
    EvidenceKind.SIGNED,
    EvidenceKind.FILE,
    EvidenceKind.DECLARED,
    EvidenceKind.UNLISTED,
)


def seen(kind: EvidenceKind, hours_ago: float = 0.0) -> Evidence:
    return Evidence("a", kind, KEY, NOW - timedelta(hours=hours_ago), "", "signer")


def judged(*evidence: Evidence) -> Evidence | None:
    """What counts, in either order."""
    forth = strongest(evidence, "a", KEY, now=NOW, max_age=MAX_AGE)
    back = strongest(evidence[::-1], "a", KEY, now=NOW, max_age=MAX_AGE)
    assert forth == back
    return forth


def test_without_an_observation_nothing_is_known() -> None:
    assert judged() is None


@pytest.mark.parametrize(
    ("evidence", "counts"),
    [
        ([seen(FILE), seen(DECLARED)], 0),
        ([seen(SIGNED, 2), seen(FILE)], 0),
        ([seen(SIGNED, 3), seen(SIGNED, 2)], 1),
        ([seen(SIGNED, 200), seen(FILE, 100)], 1),
        # Both too old: the kind decides; and a proof that is too old says more than a declaration of now.
        ([seen(SIGNED, 300), seen(FILE, 200)], 0),
        ([seen(FILE, 200), seen(DECLARED)], 0),
    ],
)
def test_a_fresh_proof_counts_before_an_old_one_and_any_proof_before_a_declaration(
    evidence: list[Evidence], counts: int
) -> None:
    assert judged(*evidence) == evidence[counts]


def test_a_reading_without_the_key_voids_what_was_known_before() -> None:
    assert judged(seen(SIGNED, 3), seen(FILE, 2), seen(UNLISTED, 1), seen(DECLARED)) == seen(UNLISTED, 1)


@pytest.mark.parametrize("kind", [SIGNED, FILE])
def test_a_proof_after_a_reading_without_the_key_counts_again(kind: EvidenceKind) -> None:
    assert judged(seen(SIGNED, 3), seen(UNLISTED, 2), seen(kind, 1)) == seen(kind, 1)


def test_other_nodes_and_keys_do_not_count() -> None:
    others = [
        Evidence("b", SIGNED, KEY, NOW, "", "signer"),
        Evidence("a", SIGNED, two_nodes.A[2], NOW, "", "signer"),
    ]
    assert judged(*others) is None


@pytest.mark.parametrize(
    ("evidence", "proof"),
    [
        (seen(SIGNED, 192), True),
        (seen(FILE, 192), True),
        (seen(FILE, 192.01), False),
        (seen(DECLARED), False),
        (seen(UNLISTED), False),
        # A clock that was set back must not make a proof last for ever.
        (seen(SIGNED, -193), False),
    ],
)
def test_a_proof_is_of_a_proving_kind_and_not_too_old(evidence: Evidence, *, proof: bool) -> None:
    assert evidence.is_proof(NOW, MAX_AGE) is proof


def test_the_configuration_declares_the_block_keys_of_a_node() -> None:
    found = declared(two_nodes.config(), "b", NOW)

    assert [each.key for each in found] == list(two_nodes.B)
    assert {(each.node, each.kind, each.at) for each in found} == {("b", DECLARED, NOW)}
