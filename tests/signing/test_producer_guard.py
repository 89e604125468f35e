"""The rules of one producer: what each mode refuses, sees and counts."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.signing.envelope import FaultError
from signer.signing.height import Height
from signer.signing.lease import Authority, Claim, Lease
from signer.signing.producer_guard import ProducerGuard, Terms
from signer.signing.rate import Rate
from signer.signing.repeats import KEPT_NS, MOST, Repeats

if TYPE_CHECKING:
    from collections.abc import Sequence

S, MS = 1_000_000_000, 1_000_000
TERMS = Terms("enforce", 252 * S, "enforce", 24, 6 * S, "observe", savanna=False)
NODES = {"a1": "A", "b1": "B"}


class World:
    """A guard, and a clock for it."""

    def __init__(self, **changed: Any) -> None:  # noqa: ANN401 - any of the terms
        self.now_ns = 1000 * S
        self.said = ""
        self.guard = ProducerGuard(
            "local",
            TERMS._replace(**changed),
            NODES,
            monotonic_ns=lambda: self.now_ns,
            clock=lambda: self.now_ns / S,
        )

    def ask(self, key: str, digest: bytes | None = None, *, after_ms: int = 500) -> str:
        """Ask and sign; return the rule that refused, or an empty text."""
        self.now_ns += after_ms * MS
        digest = os.urandom(32) if digest is None else digest
        try:
            self.guard.check(NODES[key], key, digest, "uid 0")
            self.guard.check_rate(NODES[key], key, "uid 0")
            self.guard.give(NODES[key], key, digest, "uid 0")
        except FaultError as error:
            self.said = error.message
            return error.rule
        return ""

    @property
    def seen(self) -> list[str]:
        """The rules of which there is news."""
        return [each.rule for each in self.guard.news]


def number(value: int) -> bytes:
    """Return a digest of Savanna."""
    return value.to_bytes(4) + os.urandom(28)


# -- lease -------------------------------------------------------------------------------------------------


def test_another_node_is_refused_before_the_token_is_asked() -> None:
    world = World()
    assert world.ask("a1") == ""
    with pytest.raises(FaultError, match="rule lease: node A holds the lease of chain local, not B") as error:
        world.guard.check("B", "b1", bytes(32), "uid 0")
    assert "signer lease take B" in error.value.message
    assert error.value.fault.code == 3990017


def test_a_token_that_fails_gets_no_lease() -> None:
    """Who asks first and gets no signature holds nothing."""
    world = World()
    world.guard.check("A", "a1", bytes(32), "uid 0")
    assert world.guard.lease is None
    assert world.ask("b1") == ""
    assert world.guard.lease is not None
    assert world.guard.lease.holder == "B"


def test_of_two_in_the_token_at_once_one_leaves() -> None:
    world = World()
    for node, key in (("A", "a1"), ("B", "b1")):
        world.guard.check(node, key, bytes(32), "uid 0")
    world.guard.give("B", "b1", bytes(32), "uid 0")
    with pytest.raises(FaultError, match="rule lease"):
        world.guard.give("A", "a1", bytes(32), "uid 0")


def test_observed_nothing_is_refused_and_all_is_told() -> None:
    world = World(lease="observe")
    assert [world.ask(key) for key in ("a1", "b1", "a1", "b1")] == [""] * 4
    assert world.seen == ["lease", "lease"]
    assert world.guard.observed == {"lease": 2}
    assert world.guard.lease is not None
    assert world.guard.lease.holder == "A"


def test_off_nothing_is_kept() -> None:
    world = World(lease="off", rate="off", height="off")
    assert [world.ask(key, after_ms=1) for key in ("a1", "b1") * 50] == [""] * 100
    assert (world.guard.lease, world.seen) == (None, [])


def test_more_producers_than_configured_make_the_silence_longer() -> None:
    world = World(silence_ns=12 * S)
    world.guard.see(Authority(frozenset({"a1", "b1"})), 21, savanna=False)
    world.ask("a1")
    assert world.ask("b1", after_ms=251_999) == "lease"
    assert world.ask("b1", after_ms=1) == ""


def test_fewer_producers_than_configured_do_not_make_it_shorter() -> None:
    world = World()
    world.guard.see(Authority(frozenset({"a1", "b1"})), 1, savanna=False)
    world.ask("a1")
    assert world.ask("b1", after_ms=251_999) == "lease"


def test_a_holder_that_is_not_configured_any_more_holds_nothing() -> None:
    world = World()
    world.guard.take(Lease("gone", Claim.FIRST, 0.0, 0.0, world.now_ns))
    assert world.ask("a1") == ""


# -- slot --------------------------------------------------------------------------------------------------


def test_a_lease_that_moves_within_a_slot_waits_for_the_next() -> None:
    world = World()
    world.ask("a1")
    world.guard.take(Lease("B", Claim.TAKEN, 0.0, 0.0, world.now_ns))
    assert world.ask("b1", after_ms=50) == "slot"
    assert world.said.startswith("rule slot: node A was given a signature 50 ms ago")
    assert world.ask("b1", after_ms=400) == ""


def test_a_promotion_between_two_slots_loses_none() -> None:
    """A nodeos makes blocks 450 to 500 ms apart."""
    world = World()
    world.guard.see(Authority(frozenset({"a1"}), (frozenset({"b1"}),)), 21, savanna=False)
    world.ask("a1")
    assert world.ask("b1", after_ms=450) == ""


@pytest.mark.parametrize("lease", ["off", "observe"])
def test_on_savanna_the_slot_is_guarded_without_a_lease(lease: str) -> None:
    world = World(lease=lease, savanna=True)
    world.ask("a1", number(1))
    assert world.ask("b1", number(1), after_ms=50) == "slot"
    assert world.ask("b1", number(2), after_ms=450) == ""


@pytest.mark.parametrize(("other_ms", "seen"), [(50, {"lease", "slot", "height"}), (300, set())])
def test_who_asks_at_a_node_that_does_not_produce_takes_no_slot_from_the_holder(
    other_ms: int, seen: set[str]
) -> None:
    """Before each of its slots: both have a signature, and that is told, or the other is near the slot before."""
    world = World(lease="observe", savanna=True)
    world.ask("a1", number(1))
    for height in range(2, 14):
        world.ask("b1", number(height), after_ms=500 - other_ms)
        assert world.ask("a1", number(height), after_ms=other_ms) == ""
    assert set(world.seen) == seen


@pytest.mark.parametrize(("lease", "savanna"), [("enforce", False), ("observe", True)])
def test_who_asks_at_the_node_that_production_left_takes_nothing_from_the_one_that_has_it(
    lease: str,
    savanna: bool,  # noqa: FBT001 - a case
) -> None:
    """But for one slot: it holds the lease, and asks so often that none is free of it, and the rate is used up."""
    world = World(lease=lease, savanna=savanna)
    assert [world.ask("a1", number(height), after_ms=250) for height in range(24)] == [""] * 24
    world.guard.see(Authority(frozenset({"b1"})), 21, savanna=savanna)
    rules = []
    for height in range(24, 47):
        world.ask("a1", number(height), after_ms=200)
        rules.append(world.ask("b1", number(height), after_ms=50))
        world.ask("a1", number(height), after_ms=250)
    assert rules == ["slot"] + [""] * 22
    assert world.guard.lease is not None
    assert world.guard.lease.holder == "B"
    assert world.guard.lease.claim is Claim.AUTHORITY


def test_a_view_that_changes_its_mind_gives_no_slot_to_two() -> None:
    """One lying API node: both nodes ask in each slot, and the key that it says is active is the other one's."""
    world = World()
    world.ask("a1")
    given: list[tuple[str, int]] = [("a1", world.now_ns)]
    for _ in range(20):
        for active in ("b1", "a1"):
            world.guard.see(Authority(frozenset({active})), 21, savanna=False)
            given += [
                (key, world.now_ns)
                for key in ("a1", "b1")
                if not world.ask(key, after_ms=5 if key == "b1" else 120)
            ]
    for (one, first_ns), (other, then_ns) in pairwise(given):
        assert one == other or then_ns - first_ns >= 400 * MS


def test_without_a_lease_one_of_an_earlier_configuration_is_none() -> None:
    world = World(lease="off", savanna=True)
    world.guard.take(Lease("A", Claim.FIRST, 0.0, 0.0, world.now_ns))
    assert world.ask("b1", number(1)) == ""
    assert world.ask("a1", number(1), after_ms=50) == "slot"


def test_after_a_restart_the_slot_is_the_holders_as_before() -> None:
    """Not of who was given one without a claim; of a holder that a person replaced since, it is."""
    for other, taken, rule in (("B", False, ""), ("B", True, "slot"), ("A", False, "")):
        world = World(lease="observe", savanna=True)
        at_ns = world.now_ns - 300 * MS
        claim = Claim.TAKEN if taken else Claim.FIRST
        signed_ns = world.now_ns - (100 if taken else 800) * MS
        world.guard.take(Lease("A", claim, 0.0, 0.0, signed_ns))
        world.guard.before([(other, at_ns)])
        assert world.ask("a1", number(2), after_ms=1) == rule


def test_the_same_block_does_not_make_the_slot_another_nodes() -> None:
    world = World(lease="off", savanna=True)
    one = number(1)
    world.ask("a1", one)
    assert world.ask("b1", one, after_ms=50) == ""
    assert world.ask("b1", number(1), after_ms=50) == "slot"
    assert world.ask("a1", number(1), after_ms=50) == ""


def test_a_holder_waits_for_the_slot_after_the_one_that_its_predecessor_had() -> None:
    """Also where a person gave it the lease in between: that one had a right to its signature."""
    world = World(lease="observe", savanna=True)
    world.ask("a1", number(1))
    world.guard.take(Lease("B", Claim.TAKEN, 0.0, 0.0, world.now_ns))
    assert world.ask("b1", number(1), after_ms=50) == "slot"
    assert world.ask("b1", number(2), after_ms=450) == ""


def test_elsewhere_it_is_not() -> None:
    world = World(lease="off")
    world.ask("a1")
    assert world.ask("b1", after_ms=50) == ""


def test_the_same_digest_is_one_block() -> None:
    world = World(lease="off", savanna=True)
    digest = number(1)
    world.ask("a1", digest)
    assert world.ask("b1", digest, after_ms=1) == ""


# -- rate --------------------------------------------------------------------------------------------------


def test_the_limit_is_of_signatures_in_any_window() -> None:
    world = World()
    assert [world.ask("a1", after_ms=1) for _ in range(24)] == [""] * 24
    assert [world.ask("a1", after_ms=1) for _ in range(100)] == ["rate"] * 100
    assert world.said.startswith("rule rate: 24 signatures were given on chain local within 6 s")
    assert world.said.endswith("a1 (asked by uid 0)")
    assert world.ask("a1", after_ms=6000 - 124 + 1) == ""


def test_what_was_refused_or_failed_does_not_count() -> None:
    """A nodeos that asks 600 times in 3 s, for nothing."""
    world = World()
    for _ in range(600):
        world.now_ns += 5 * MS
        world.guard.check("A", "a1", os.urandom(32), "uid 0")
        world.guard.check_rate("A", "a1", "uid 0")
    assert [world.ask("a1", after_ms=1) for _ in range(24)] == [""] * 24


def test_the_limit_is_of_the_producer_not_of_a_key() -> None:
    world = World(lease="off")
    rules = [world.ask(key, after_ms=1) for key in ("a1", "b1") * 13]
    assert rules == [""] * 24 + ["rate"] * 2


def test_who_asks_at_a_node_that_does_not_produce_uses_up_nothing_of_the_holder() -> None:
    """They get what is left of the producer's, and the holder has all of its own."""
    world = World(lease="observe")
    world.ask("a1")
    assert [world.ask("b1", after_ms=1) for _ in range(30)] == [""] * 23 + ["rate"] * 7
    assert [world.ask("a1", after_ms=1) for _ in range(24)] == [""] * 23 + ["rate"]


def test_a_rate_that_is_observed_refuses_nothing() -> None:
    world = World(rate="observe")
    assert [world.ask("a1", after_ms=1) for _ in range(26)] == [""] * 26
    assert world.seen == ["rate", "rate"]


def test_a_restart_does_not_begin_a_new_window() -> None:
    world = World()
    world.guard.before([("A", world.now_ns - i * MS) for i in range(24, 0, -1)])
    assert world.ask("a1", after_ms=1) == "rate"


def test_an_earlier_process_that_still_signs_is_told_of_again() -> None:
    """Its newest signature counts for the slot, and none of them twice for the rate."""
    world = World()
    given = [("A", world.now_ns - i * 100 * MS) for i in range(12, 0, -1)]
    world.guard.before(given)
    world.guard.before([*given, ("A", world.now_ns)])
    world.guard.lease = None
    assert world.ask("b1", after_ms=100) == "slot"
    assert [world.ask("a1", after_ms=10) for _ in range(12)] == [""] * 11 + ["rate"]


@given(st.lists(st.integers(0, 2_000), max_size=200), st.integers(1, 5))
def test_no_window_ever_has_more(pauses: Sequence[int], limit: int) -> None:
    rate, now, given_at = Rate(limit, 1_000), 0, []
    for pause in pauses:
        now += pause
        if not rate.exceeded(now):
            rate.give(now)
            given_at.append(now)
    for at in given_at:
        assert sum(at <= each < at + 1_000 for each in given_at) <= limit


# -- height ------------------------------------------------------------------------------------------------


def test_a_number_that_does_not_rise_is_signed_and_told() -> None:
    world = World(savanna=True)
    heights = (7, 8, 8, 3, 9)
    assert [world.ask("a1", number(value)) for value in heights] == [""] * 5
    assert world.seen == ["height", "height"]
    assert "block 8 signed on chain local after block 8" in world.guard.news[0].text
    assert "block 3 signed on chain local after block 8" in world.guard.news[1].text


def test_numbers_are_looked_at_once_the_chain_shows_that_it_is_savanna() -> None:
    world = World()
    world.ask("a1", number(9))
    world.ask("a1", number(1))
    assert world.seen == []
    world.guard.see(Authority(frozenset({"a1"})), 21, savanna=True)
    world.ask("a1", number(5))
    world.ask("a1", number(4))
    assert world.seen == ["height"]


def test_the_highest_digest_again_is_no_news() -> None:
    height, digest = Height(), number(5)
    assert [height.give(digest), height.give(digest), height.give(number(5))] == [None, None, 5]


# -- repeats -----------------------------------------------------------------------------------------------


def test_a_signature_is_given_again_for_minutes() -> None:
    repeats, digest = Repeats(), os.urandom(32)
    repeats.keep(digest, "a1", "SIG", 0)
    assert repeats.find(digest, "a1", KEPT_NS - 1) == "SIG"
    assert repeats.find(digest, "a1", KEPT_NS) is None
    assert repeats.find(digest, "b1", 0) is None
    assert repeats.find(os.urandom(32), "a1", 0) is None


def test_memory_is_bounded_and_the_old_go() -> None:
    repeats = Repeats()
    digests = [os.urandom(32) for _ in range(MOST + 100)]
    for at, digest in enumerate(digests):
        repeats.keep(digest, "a1", "SIG", at)
    found = [repeats.find(digest, "a1", MOST) for digest in digests]
    assert found == [None] * 100 + ["SIG"] * MOST
    for digest in digests[:MOST]:
        repeats.keep(digest, "a1", "SIG", 2 * KEPT_NS)
    assert repeats.find(digests[-1], "a1", MOST) is None
