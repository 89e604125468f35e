"""The laws of the ring: a fresh key for a cycle, a known one for a promotion, and what may be destroyed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig import two_nodes
from rig.two_nodes import A, B
from rotation.samples import FULL, NOW, REQUEST, SECOND, rotations

from signer.antelope.keys import Curve
from signer.rotation import ring
from signer.rotation.evidence import Evidence, EvidenceKind
from signer.rotation.ring import Holders, KeyUse, RingEmpty
from signer.rotation.rotation import Kind, Rotation, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signer.antelope.keys import PublicKey

#: The machine may be busy with other tests: how long an example takes says nothing.
BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
CONFIG = two_nodes.config()
ACTIVE = dict.fromkeys((*A, *B), "active")
MINUTE = timedelta(minutes=1)
#: A key that no configuration has.
GONE = two_nodes.public_key(31)


def used(*keys: PublicKey) -> dict[PublicKey, KeyUse]:
    """Uses of these keys, oldest first."""
    return {key: KeyUse(NOW, NOW + number * SECOND, 1) for number, key in enumerate(keys)}


def following(
    kind: Kind,
    node: str,
    current: PublicKey | None,
    uses: Mapping[PublicKey, KeyUse] | None = None,
    states: Mapping[PublicKey, str] = ACTIVE,
) -> PublicKey | RingEmpty:
    return ring.next_key(CONFIG, node, "local", uses or {}, states, kind=kind, current=current)


def reason(found: PublicKey | RingEmpty) -> str:
    assert isinstance(found, RingEmpty)
    return found.reason


# -- which comes next -------------------------------------------------------------------------------------


def test_a_cycle_takes_the_first_fresh_key_of_the_current_curve() -> None:
    """R1 where there is no current key. The key that produces is not fresh, even if no rotation registered it."""
    assert following(Kind.CYCLE, "b", None) == B[1]
    assert following(Kind.CYCLE, "b", B[1]) == B[2]
    assert following(Kind.CYCLE, "b", A[1]) == B[1]
    assert following(Kind.CYCLE, "b", A[0]) == B[0]
    assert following(Kind.CYCLE, "b", None, used(B[1])) == B[2]


def test_a_cycle_passes_over_what_does_not_sign() -> None:
    """Also over a key of which the signer says nothing."""
    assert following(Kind.CYCLE, "b", None, states=ACTIVE | {B[1]: "frozen"}) == B[2]
    assert following(Kind.CYCLE, "b", None, states={B[2]: "active"}) == B[2]


def test_a_ring_without_a_fresh_key_says_what_to_do() -> None:
    """A key is never used twice by a cycle."""
    text = reason(following(Kind.CYCLE, "b", B[1], used(B[1]), states=ACTIVE | {B[2]: "frozen"}))
    assert "b has no unused R1 key: 1 used, 1 not used and not active" in text
    assert "signer keys generate" in text
    assert "no unused K1 key: 1 used;" in reason(following(Kind.CYCLE, "b", B[0], used(B[0])))


def test_a_promotion_takes_the_key_that_was_used_last() -> None:
    """Of whichever curve, if it signs."""
    assert following(Kind.PROMOTE, "b", A[1], used(B[2], B[0], B[1])) == B[1]
    assert following(Kind.PROMOTE, "b", A[1], used(B[2], B[0])) == B[0]
    assert following(Kind.PROMOTE, "b", None, used(B[2], B[0]), ACTIVE | {B[0]: "quarantined"}) == B[2]


def test_a_promotion_to_a_node_that_never_produced_takes_its_first_r1_key() -> None:
    """Else its first key; a key that does not sign is no key."""
    assert following(Kind.PROMOTE, "b", A[1], used(*A)) == B[1]
    assert following(Kind.PROMOTE, "b", A[1], states=ACTIVE | {B[1]: "frozen"}) == B[2]
    assert following(Kind.PROMOTE, "b", A[1], states={B[0]: "active"}) == B[0]
    assert "none of the 3 block keys of b is active" in reason(following(Kind.PROMOTE, "b", A[1], states={}))


def test_a_promotion_to_the_node_that_is_registered_is_refused() -> None:
    assert f"registered already, with {B[2]}" in reason(following(Kind.PROMOTE, "b", B[2]))


@pytest.mark.parametrize("kind", Kind)
def test_a_node_of_another_chain_has_no_key(kind: Kind) -> None:
    found = ring.next_key(CONFIG, "b", "other", {}, ACTIVE, kind=kind, current=None)
    assert "b has no block key for other" in reason(found)


@BUSY
@given(
    kind=st.sampled_from(Kind),
    node=st.sampled_from("ab"),
    current=st.none() | st.sampled_from((*A, *B, GONE)),
    uses=st.lists(st.sampled_from((*A, *B)), unique=True).map(lambda keys: used(*keys)),
    states=st.dictionaries(st.sampled_from((*A, *B)), st.sampled_from(["active", "frozen", "unavailable"])),
)
def test_the_key_that_comes_next_is_a_key_of_the_node_that_signs(
    kind: Kind,
    node: str,
    current: PublicKey | None,
    uses: dict[PublicKey, KeyUse],
    states: dict[PublicKey, str],
) -> None:
    """And not the one that is registered; for a cycle one that never was. An empty ring is empty for that reason."""
    found = following(kind, node, current, uses, states)
    own = {"a": A, "b": B}[node]
    if isinstance(found, RingEmpty):
        level = ring.level(CONFIG, node, uses, states, current=current)
        assert level.unused == () if kind is Kind.CYCLE else current in own or not set(own) & active(states)
        return
    assert found in own
    assert found in active(states)
    assert found != current
    assert kind is Kind.PROMOTE or found not in uses


def active(states: Mapping[PublicKey, str]) -> set[PublicKey]:
    return {key for key, state in states.items() if state == "active"}


# -- what is left -----------------------------------------------------------------------------------------


def test_the_level_counts_the_keys_of_one_curve() -> None:
    """In the order of the configuration; a current key counts as used, one that does not sign as neither."""
    level = ring.level(CONFIG, "b", used(B[0]), ACTIVE | {B[2]: "frozen"}, current=B[1])
    assert level == ring.RingLevel(Curve.R1, unused=(), used=(B[1],), unfit=(B[2],), low=True)
    level = ring.level(CONFIG, "b", {}, ACTIVE, current=A[0])
    assert level == ring.RingLevel(Curve.K1, unused=(B[0],), used=(), unfit=(), low=True)


@pytest.mark.parametrize(("water", "low"), [(1, False), (2, False), (3, True)])
def test_a_ring_is_low_below_its_mark(water: int, low: bool) -> None:  # noqa: FBT001 - a table of the test
    config = CONFIG.model_copy(
        update={"rotation": CONFIG.rotation.model_copy(update={"ring_low_water": water})}
    )
    level = ring.level(config, "b", {}, ACTIVE, current=None)
    assert (len(level.unused), level.low) == (2, low)


def test_a_node_with_k1_keys_alone_has_a_k1_ring() -> None:
    """Whatever produces now."""
    config = CONFIG.model_copy(update={"keys": tuple(key for key in CONFIG.keys if key.public_key != B[1])})
    config = config.model_copy(update={"keys": tuple(key for key in config.keys if key.public_key != B[2])})
    assert ring.level(config, "b", {}, ACTIVE, current=A[1]).curve is Curve.K1
    assert ring.level(config, "b", {}, ACTIVE, current=None).unused == (B[0],)


# -- uses -------------------------------------------------------------------------------------------------


def rotation(
    state: State, *reached: State, from_keys: tuple[PublicKey, ...] = (A[1],), minute: int = 0
) -> Rotation:
    """A rotation to B[1] that entered a state each second, beginning at this minute."""
    start = NOW + minute * MINUTE
    times = {each: start + number * SECOND for number, each in enumerate((State.PLANNED, *reached, state))}
    return replace(
        FULL,
        request=REQUEST,
        to_key=B[1],
        from_keys=from_keys,
        created_at=start,
        state=state,
        state_since=max(times.values()),
        reached=times,
        transactions=FULL.transactions[:1] if State.SIGNED in reached else (),
    )


def test_a_rotation_that_was_registered_used_both_keys() -> None:
    """The new one from then on, the old one from before until the end."""
    done = rotation(State.DONE, State.SIGNED, State.REGISTERED)
    assert ring.uses([done]) == {
        B[1]: KeyUse(NOW + 2 * SECOND, NOW + 3 * SECOND, 1),
        A[1]: KeyUse(NOW, NOW + 3 * SECOND, 1),
    }


@pytest.mark.parametrize("state", [State.REFUSED, State.ABORTED, State.FAILED, State.SIGNED, State.PREFLIGHT])
def test_a_rotation_that_was_not_registered_used_the_old_key_alone(state: State) -> None:
    """Its transaction, if there was one, is in no block, or it is looked at still."""
    before = () if state is State.SIGNED else (State.SIGNED,)
    assert set(ring.uses([rotation(state, *before)])) == {A[1]}
    assert ring.uses([rotation(state, from_keys=())]) == {}


def test_a_superseded_rotation_used_its_key_if_anything_was_signed() -> None:
    """Nobody can say that it was in no block."""
    superseded = rotation(State.SUPERSEDED, State.SIGNED)
    assert ring.uses([superseded])[B[1]].first_at == superseded.transactions[0].signed_at
    assert set(ring.uses([rotation(State.SUPERSEDED)])) == {A[1]}


def test_a_return_registers_the_old_key_again() -> None:
    """It is then the one that was used last."""
    returned = rotation(State.RETURNED, State.SIGNED, State.REGISTERED, State.ACTIVE, State.RETURNING)
    uses = ring.uses([returned])
    assert uses[B[1]] == KeyUse(NOW + 2 * SECOND, NOW + 4 * SECOND, 1)
    assert uses[A[1]] == KeyUse(NOW, NOW + 5 * SECOND, 2)


def test_uses_of_several_rotations_add_up() -> None:
    """Whichever comes first."""
    there = rotation(State.DONE, State.REGISTERED)
    back = replace(rotation(State.DONE, State.REGISTERED, from_keys=(B[1],), minute=5), to_key=A[1])
    uses = ring.uses([there, back])
    assert uses[A[1]] == KeyUse(NOW, NOW + 5 * MINUTE + 2 * SECOND, 2)
    assert uses[B[1]] == KeyUse(NOW + SECOND, NOW + 5 * MINUTE + 2 * SECOND, 1)


@BUSY
@given(several=st.lists(rotations, max_size=4))
def test_uses_hold_together(several: list[Rotation]) -> None:
    """Every key of a row is there, each at least once, and no key that no rotation has."""
    uses = ring.uses(several)
    assert {key for each in several for key in each.from_keys} <= set(uses)
    assert set(uses) <= {key for each in several for key in (*each.from_keys, each.to_key)}
    assert all(use.times >= 1 for use in uses.values())


# -- what may be destroyed --------------------------------------------------------------------------------


def holders(**changes: object) -> Holders:
    """A chain on which GONE is nowhere, irreversible until a minute ago."""
    return replace(Holders("local", (A[1],), (A[1], B[2]), NOW - MINUTE), **changes)  # type: ignore[arg-type]  # the tests' own words


def judged(key: PublicKey = GONE, **changes: object) -> str | None:
    facts: dict[str, object] = {
        "config": CONFIG,
        "chains": [holders()],
        "live": [],
        "evidence": [],
        "last_used_at": NOW - 30 * MINUTE,
        "now": NOW,
    }
    return ring.may_destroy(key, **(facts | changes))  # type: ignore[arg-type]  # as above


def seen(kind: EvidenceKind, ago: timedelta = MINUTE, node: str = "a") -> Evidence:
    return Evidence(node, kind, GONE, NOW - ago, "", "alice")


def test_a_key_that_nothing_names_may_be_destroyed() -> None:
    """Also one that was never used, and one that its node once listed and lists no more."""
    assert judged() is None
    assert judged(last_used_at=None) is None
    listed, gone = seen(EvidenceKind.SIGNED, 20 * MINUTE), seen(EvidenceKind.UNLISTED)
    assert judged(evidence=[listed, gone]) is None
    assert judged(evidence=[seen(EvidenceKind.FILE, node="removed")]) is None
    assert judged(live=[rotation(State.ACTIVE)]) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": B[1]}, "the signer's configuration lists it"),
        ({"chains": [holders(row=(GONE,))]}, "the producer's row on local names it"),
        (
            {"chains": [holders(), holders(chain="other", schedules=(A[1], GONE))]},
            "a schedule of other names it",
        ),
        (
            {"live": [replace(rotation(State.ACTIVE), to_key=GONE)]},
            "rotation 7 is active and may register it",
        ),
        (
            {"live": [rotation(State.ACTIVE, from_keys=(A[1], GONE))]},
            "rotation 7 is active and may register it",
        ),
        (
            {"evidence": [seen(EvidenceKind.SIGNED)]},
            "the nodeos of a may list it (signed, 2026-01-02 03:03 UTC)",
        ),
        (
            {"evidence": [seen(EvidenceKind.FILE, 400 * 24 * 60 * MINUTE)]},
            "the nodeos of a may list it (file",
        ),
        ({"evidence": [seen(EvidenceKind.DECLARED, node="b")]}, "signer nodes attest b"),
        (
            {"evidence": [seen(EvidenceKind.UNLISTED, 3 * MINUTE), seen(EvidenceKind.FILE)]},
            "may list it (file",
        ),
        ({"chains": []}, "no chain was asked"),
        ({"chains": [holders(row=None)]}, "chain local cannot be asked"),
        ({"chains": [holders(schedules=None)]}, "chain local cannot be asked"),
        ({"chains": [holders(irreversible_time=None)]}, "chain local cannot be asked"),
        ({"last_used_at": NOW - 10 * MINUTE}, "may not be irreversible yet: try again in 2 min"),
        ({"last_used_at": NOW - 11 * MINUTE}, "may not be irreversible yet: try again in 1 min"),
        ({"last_used_at": NOW + MINUTE}, "may not be irreversible yet: try again in 13 min"),
    ],
    ids=range(16),
)
def test_a_key_that_anything_may_name_is_kept(changes: dict[str, object], words: str) -> None:
    """With what is in the way. Each of these alone is enough."""
    answer = judged(**changes)  # type: ignore[arg-type]  # as above
    assert answer is not None
    assert words in answer
    assert ";" not in answer


def test_all_reasons_are_told_at_once() -> None:
    """Nobody wants to find the next one after each repair."""
    answer = judged(A[1], chains=[holders(chain="one"), holders(chain="two", row=None)])
    assert answer is not None
    for words in ("[[keys]]", "row on one", "schedule of one", "two cannot be asked", "schedule of two"):
        assert words in answer


def test_a_key_that_settled_is_free_a_moment_later() -> None:
    """The line is exact: ten minutes of irreversible blocks."""
    assert judged(last_used_at=NOW - 11 * MINUTE - timedelta(microseconds=1)) is None
