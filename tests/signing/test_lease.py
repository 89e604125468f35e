"""Each case of the table in signer.signing.lease."""

from __future__ import annotations

from dataclasses import replace

import pytest

from signer.signing.lease import Ask, Authority, Claim, Lease, decide, seen, signed

S = 1_000_000_000
SILENCE = 252 * S
#: Two keys of each node.
NODES = {"a1": "A", "a2": "A", "b1": "B", "b2": "B", "c1": "C"}
HELD = Lease("A", Claim.FIRST, since=1000.0, signed_at=1100.0, signed_ns=100 * S)
NOW = 110 * S


def keys(*names: str) -> frozenset[str]:
    return frozenset(names)


def ask(key: str, now_ns: int = NOW) -> Ask:
    return Ask(NODES.get(key, "A"), key, now_ns)


def claim(
    key: str, authority: Authority | None, lease: Lease | None = HELD, now_ns: int = NOW
) -> Claim | None:
    return decide(lease, ask(key, now_ns), authority, NODES, SILENCE)


@pytest.mark.parametrize("authority", [None, Authority(keys("b1")), Authority(keys("a1", "b1"))])
def test_1_the_first_that_signs_holds_it(authority: Authority | None) -> None:
    assert claim("a1", authority, lease=None) is Claim.FIRST


@pytest.mark.parametrize("key", ["a1", "a2"])
@pytest.mark.parametrize("authority", [None, Authority(keys("b1")), Authority(keys("a1", "b1"))])
def test_2_the_holder_signs_with_any_of_its_keys(key: str, authority: Authority | None) -> None:
    assert claim(key, authority) is Claim.HOLDER


@pytest.mark.parametrize("authority", [None, Authority(keys("a1", "b1")), Authority(keys("a1"))])
def test_3_silence_lets_another_node_have_it_and_not_before(authority: Authority | None) -> None:
    assert claim("b1", authority, now_ns=HELD.signed_ns + SILENCE - 1) is None
    assert claim("b1", authority, now_ns=HELD.signed_ns + SILENCE) is Claim.SILENCE


def test_4_without_a_view_of_the_chain_others_are_refused() -> None:
    assert claim("b1", None) is None


def test_5_where_the_authority_has_one_node_the_lease_follows_it() -> None:
    assert claim("b1", Authority(keys("b1"))) is Claim.AUTHORITY
    assert claim("b1", Authority(keys("b1", "c1"))) is Claim.AUTHORITY


def test_6_two_nodes_in_one_authority_do_not_both_sign() -> None:
    assert claim("b1", Authority(keys("a1", "b1"))) is None
    assert claim("b1", Authority(keys("a2", "b1"))) is None  # whichever of its keys the holder signs with


def test_7_missed_slots_let_the_other_have_it() -> None:
    authority = Authority(keys("a1", "b1"), missed=3, missed_since=1100.5)
    assert claim("b1", authority) is Claim.MISSED
    assert claim("b1", replace(authority, missed=2)) is None  # as many are lost now and then
    assert claim("b1", replace(authority, missed_since=None)) is None


def test_7_a_holder_that_signs_is_not_absent_however_many_slots_are_missed() -> None:
    """Its blocks are lost on the way: another node's would be too, or both would be on chain."""
    authority = Authority(keys("a1", "b1"), missed=12, missed_since=1099.5)
    assert claim("b1", authority) is None


@pytest.mark.parametrize("coming", [(keys("b1"),), (keys("c1"), keys("b1")), (keys("b1", "c1"),)])
def test_8_a_key_of_the_coming_authority_takes_it_by_being_asked_for(
    coming: tuple[frozenset[str], ...],
) -> None:
    authority = Authority(keys("a1"), coming)
    assert claim("b1", authority) is Claim.SUCCESSOR
    assert claim("b2", authority) is None


def test_9_a_coming_authority_of_both_nodes_takes_it_from_nobody() -> None:
    assert claim("b1", Authority(keys("a1"), (keys("a1", "b1"),))) is None
    assert claim("b1", Authority(keys("a1"), (keys("a2", "b1"),))) is None


@pytest.mark.parametrize("active", [keys(), keys("a1"), keys("other")])
def test_10_a_key_of_no_authority_takes_it_from_nobody(active: frozenset[str]) -> None:
    assert claim("b1", Authority(active, (keys("a1"),))) is None


def test_11_whoever_was_overtaken_does_not_take_it_back_while_nothing_new_is_seen() -> None:
    authority = Authority(keys("a1"), (keys("b1", "c1"),))
    ahead = signed(HELD, ask("b1"), Claim.SUCCESSOR, 1110.0, authority)
    assert (ahead.holder, ahead.overtook) == ("B", keys("a1"))
    assert claim("a1", authority, ahead) is None
    assert claim("c1", authority, ahead) is None
    # The chain went on to what B was ahead of ...
    now = Authority(keys("b1", "c1"))
    assert claim("c1", now, seen(ahead, now)) is None
    # ... or to something else, and back: then the authority decides again.
    other = seen(seen(ahead, now), authority)
    assert claim("a1", authority, other) is Claim.AUTHORITY


def test_11_a_fork_that_died_gives_it_back_by_missed_slots() -> None:
    authority = Authority(keys("a1"), (keys("b1"),))
    ahead = signed(HELD, ask("b1"), Claim.SUCCESSOR, 1110.0, authority)
    missed = replace(authority, missed=3, missed_since=1111.0)
    assert claim("a1", missed, seen(ahead, missed)) is Claim.MISSED


def test_12_a_node_that_was_given_it_holds_it() -> None:
    taken = Lease("B", Claim.TAKEN, 1110.0, 1110.0, NOW)
    authority = Authority(keys("a1", "b1"))
    assert claim("b1", authority, taken) is Claim.HOLDER
    assert claim("a1", authority, taken) is None
    assert claim("a1", Authority(keys("a1")), taken) is Claim.AUTHORITY


def test_a_promotion_moves_it_whichever_is_seen_first() -> None:
    """The first request of the new node is signed whether the chain was seen before the change or after it."""
    before, after = Authority(keys("a1"), (keys("b1"),)), Authority(keys("b1"))
    assert claim("b1", before) is Claim.SUCCESSOR
    assert claim("b1", after) is Claim.AUTHORITY
    # And back again, without a new view in between.
    ahead = signed(HELD, ask("b1"), Claim.SUCCESSOR, 1110.0, before)
    back = Authority(keys("b1"), (keys("a1"),))
    assert claim("a1", back, seen(ahead, back)) is Claim.SUCCESSOR


def test_a_signature_keeps_the_claim_and_ends_the_silence() -> None:
    later = signed(HELD, ask("a2", 200 * S), Claim.HOLDER, 1200.0, None)
    assert later == Lease("A", Claim.FIRST, 1000.0, 1200.0, 200 * S)


def test_a_lease_survives_its_way_to_another_process() -> None:
    for lease in (HELD, replace(HELD, claim=Claim.SUCCESSOR, overtook=keys("a1", "b1"))):
        assert Lease.from_fields(lease.to_fields()) == lease
