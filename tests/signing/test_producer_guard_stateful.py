"""Whatever nodes, chain, people and restarts do: under `enforce` no two nodes sign for one slot.

And where the chain accepts the keys of one node alone, that one is refused at most once.
"""

from __future__ import annotations

import os
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from signer.signing.envelope import FaultError
from signer.signing.lease import Authority, Claim, Lease
from signer.signing.producer_guard import ProducerGuard, Terms
from signer.signing.slot import APART_NS

S, MS = 1_000_000_000, 1_000_000
SILENCE = 252 * S
NODES = {"a1": "A", "a2": "A", "b1": "B", "b2": "B", "c1": "C"}
TERMS = Terms("enforce", SILENCE, "enforce", 24, 6 * S, "observe", savanna=False)

some_keys = st.frozensets(st.sampled_from([*NODES, "theirs"]), max_size=4)


class Producer(RuleBasedStateMachine):
    """Requests that take their time in the token, a chain that is seen late or never, restarts, people."""

    @initialize()
    def begin(self) -> None:
        """A first start."""
        self.now_ns = 10_000 * S
        self.given: list[tuple[str, int]] = []
        self.in_token: list[tuple[str, bytes]] = []
        self.holders: list[str | None] = [None]
        self.authority: Authority | None = None
        self.forced = False
        self.guard = self._new_guard()

    def _new_guard(self) -> ProducerGuard:
        return ProducerGuard(
            "local", TERMS, NODES, monotonic_ns=lambda: self.now_ns, clock=lambda: self.now_ns / S
        )

    # -- what happens ------------------------------------------------------------------------------------

    @rule(ms=st.one_of(st.integers(0, 700), st.sampled_from([6_000, 120_000, 252_000])))
    def time_passes(self, ms: int) -> None:
        """Less than a slot, a round, or the time of silence."""
        self.now_ns += ms * MS

    @rule(key=st.sampled_from(list(NODES)))
    def a_node_asks(self, key: str) -> None:
        """What may not be signed is refused here."""
        digest = os.urandom(32)
        try:
            self.guard.check(NODES[key], key, digest, "uid 0")
            self.guard.check_rate(NODES[key], key, "uid 0")
        except FaultError:
            return
        self.in_token.append((key, digest))

    @rule(data=st.data())
    def a_token_signs(self, data: st.DataObject) -> None:
        """In any order."""
        if not self.in_token:
            return
        self._sign(*self.in_token.pop(data.draw(st.integers(0, len(self.in_token) - 1))))

    @rule(key=st.sampled_from(list(NODES)))
    def a_node_is_served(self, key: str) -> None:
        """At once."""
        self.a_node_asks(key)
        if self.in_token and self.in_token[-1][0] == key:
            self._sign(*self.in_token.pop())

    def _sign(self, key: str, digest: bytes) -> None:
        before = self.guard.lease
        claim = None if before is None else before.holder
        try:
            self.guard.give(NODES[key], key, digest, "uid 0")
        except FaultError:
            return
        self.given.append((NODES[key], self.now_ns))
        after = self.guard.lease
        assert after is not None
        assert after.holder == NODES[key]
        if claim not in (None, after.holder):
            self._moved(before, after)

    def _moved(self, before: Lease | None, after: Lease) -> None:
        """A lease goes from a node that could sign only for one of the reasons in the table."""
        assert before is not None
        if after.claim is Claim.SILENCE:
            assert self.now_ns - before.signed_ns >= SILENCE
            return
        assert self.authority is not None
        if after.claim is Claim.MISSED:
            assert self.authority.missed >= 3
            return
        accepted = {NODES.get(key) for key in self.authority.active}
        if after.claim is Claim.AUTHORITY:
            assert before.holder not in accepted
            assert after.holder in accepted
            return
        assert after.claim is Claim.SUCCESSOR
        assert any(
            after.holder in {NODES.get(key) for key in coming}
            and before.holder not in {NODES.get(key) for key in coming}
            for coming in self.authority.coming
        )

    @rule()
    def a_token_fails(self) -> None:
        """For all that waits."""
        self.in_token.clear()

    @rule(
        active=some_keys,
        coming=st.lists(some_keys, max_size=3),
        missed=st.integers(0, 12),
        ago_s=st.floats(0, 300),
    )
    def the_chain_is_seen(
        self, active: frozenset[str], coming: list[frozenset[str]], missed: int, ago_s: float
    ) -> None:
        """Whatever it may be, early or late."""
        since = self.now_ns / S - ago_s if missed else None
        self.authority = Authority(active, tuple(coming), missed, since)
        self.guard.see(self.authority, 21, savanna=False)

    @rule(node=st.sampled_from(["A", "B", "C"]))
    def a_person_takes_it(self, node: str) -> None:
        """For any node."""
        now_at = self.now_ns / S
        self.guard.take(Lease(node, Claim.TAKEN, now_at, now_at, self.now_ns))

    @rule()
    def the_signing_process_is_replaced(self) -> None:
        """The supervisor knows the lease and the newest signatures; what was in the token is lost."""
        old, self.guard = self.guard, self._new_guard()
        self.in_token.clear()
        self.guard.take(old.lease)
        self.guard.before(self.given[-24:])
        if self.authority is not None:
            self.guard.see(self.authority, 21, savanna=False)

    @rule()
    def everything_is_restarted(self) -> None:
        """The file has the holder and nothing else. A start takes about a second."""
        old, self.guard = self.guard.lease, self._new_guard()
        self.in_token.clear()
        self.authority = None
        self.now_ns += S
        if old is not None:
            now_at = self.now_ns / S
            self.guard.take(Lease(old.holder, old.claim, old.since, now_at, self.now_ns))

    # -- what holds --------------------------------------------------------------------------------------

    @invariant()
    def no_window_of_a_node_has_too_many(self) -> None:
        """A restart of everything forgets the window, and takes a second."""
        recent = [node for node, at in self.given if self.now_ns - at < S]
        assert all(recent.count(node) <= 24 for node in set(recent))

    @rule()
    def the_only_node_that_the_chain_accepts_asks(self) -> None:
        """It is refused at most once, and signs the next slot, whatever the others ask for meanwhile.

        But not where a key of theirs is coming: who asks for that one takes the lease (case 8).
        """
        key = next((key for key in self.authority.active if key in NODES), None) if self.authority else None
        if key is None or self.authority is None or self.guard.lease is None:
            return
        accepted = {NODES.get(each) for each in self.authority.active} - {None}
        coming = {NODES.get(each) for keys in self.authority.coming for each in keys} - {None, NODES[key]}
        if accepted != {NODES[key]} or coming or self.guard.lease.overtook is not None:
            return
        if self.count(NODES[key]) >= 23:
            return
        before = len(self.given)
        self.a_node_is_served(key)
        for ms in (200, 150, 150):
            self.now_ns += ms * MS
            for other in set(NODES) - {key}:
                self.a_node_is_served(other)
        self.a_node_is_served(key)
        assert NODES[key] in {node for node, _ in self.given[before:]}

    def count(self, node: str) -> int:
        """Return how many signatures a node was given in the window."""
        return [each for each, at in self.given if self.now_ns - at < 6 * S].count(node)

    @invariant()
    def no_two_nodes_sign_for_one_slot(self) -> None:
        """The law."""
        for (one, first_ns), (other, then_ns) in pairwise(self.given[-20:]):
            assert one == other or then_ns - first_ns >= APART_NS

    @invariant()
    def who_signed_last_holds_it(self) -> None:
        """Unless somebody gave it away since, or the chain did."""
        lease = self.guard.lease
        if not self.given or lease is None:
            return
        node, at_ns = self.given[-1]
        given_away = (
            lease.claim in (Claim.TAKEN, Claim.AUTHORITY, Claim.SUCCESSOR) and lease.signed_ns >= at_ns
        )
        assert lease.holder == node or given_away


Producer.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestProducer = Producer.TestCase
