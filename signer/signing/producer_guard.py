"""The rules of one producer on one chain: lease, slot, rate, height. Look-ups in memory and nothing else.

Asked twice for each signature: `check` before the token, so that who may not sign costs it nothing; `give` once the
signature is there, because another node may have come first meanwhile. Only `give` changes anything, but for a lease
that goes to the node that the chain accepts.

In mode `observe` nothing is refused; what `enforce` would have refused becomes news, which is told after the answer.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from signer.signing import lease as leases
from signer.signing import slot
from signer.signing.envelope import refuse
from signer.signing.height import Height
from signer.signing.lease import Ask, Claim, Lease
from signer.signing.rate import Rate
from signer.signing.slot import Given

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from signer.config import Config, Mode
    from signer.signing.lease import Authority

_NS_PER_S = 1_000_000_000
#: The chain accepts no key of the holder, or will not.
_BY_THE_CHAIN: Final = (Claim.AUTHORITY, Claim.SUCCESSOR)
#: Who has one of these has it by what it was given before, or by the chain, and not by others' absence.
_RIGHTFUL: Final = (Claim.HOLDER, *_BY_THE_CHAIN)
#: News that waits to be told; what does not fit is counted all the same.
_MOST_NEWS = 100


class Terms(NamedTuple):
    """What the configuration says of a chain's guards. Times in ns."""

    lease: Mode
    silence_ns: int
    rate: Mode
    rate_limit: int
    rate_window_ns: int
    height: Mode
    savanna: bool

    @classmethod
    def of(cls, config: Config, chain: str) -> Terms:
        """Return those of `chain`."""
        return cls(
            lease=config.lease_mode(chain),
            silence_ns=config.lease_silence_s(chain) * _NS_PER_S,
            rate=config.rate_mode(chain),
            rate_limit=config.guards.rate_limit,
            rate_window_ns=config.guards.rate_window_s * _NS_PER_S,
            height=config.height_mode(chain),
            savanna=config.chains[chain].consensus == "savanna",
        )


class News(NamedTuple):
    """What a guard saw and did not refuse: `rule` of which producer's `chain`, in words."""

    chain: str
    rule: str
    text: str


class ProducerGuard:
    """The rules of one chain's producer.

    Args:
        chain: the chain's name in the configuration.
        terms: how each rule is meant.
        nodes: of each block key of the chain (PUB_ form), its node.
        monotonic_ns: ns of a clock that never goes back.
        clock: s since 1970.

    Attributes:
        lease: who holds it; None if nobody does.
        authority: what was last seen of the chain; None if nothing was.
        moved: whether the lease went to another node since somebody looked.
        news: what was seen and not refused, since somebody looked.
        observed: how often, by rule, since this process started.
    """

    __slots__ = (
        "_clock",
        "_height",
        "_last",
        "_monotonic_ns",
        "_nodes",
        "_rate",
        "_rates",
        "_silence_ns",
        "authority",
        "chain",
        "lease",
        "moved",
        "news",
        "observed",
        "savanna",
        "terms",
    )

    def __init__(
        self,
        chain: str,
        terms: Terms,
        nodes: Mapping[str, str],
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._clock = clock
        self.chain = chain
        self.terms = terms
        self.lease: Lease | None = None
        self.authority: Authority | None = None
        self.savanna = terms.savanna
        self.moved = False
        self.news: list[News] = []
        self.observed: dict[str, int] = {}
        self._nodes = nodes
        self._silence_ns = terms.silence_ns
        self._rate = Rate(terms.rate_limit, terms.rate_window_ns)
        # Of each node alone: see _has_enough.
        self._rates = {
            node: Rate(terms.rate_limit, terms.rate_window_ns) for node in dict.fromkeys(nodes.values())
        }
        self._height = Height()
        self._last: Given | None = None

    # -- on the way of a signature -------------------------------------------------------------------

    def check(self, node: str, key: str, digest: bytes, caller: str) -> None:
        """Refuse what may not be signed now.

        Raises:
            FaultError: rule `lease` or `slot`.
        """
        if not self._slot_enforced():  # as it is wherever the lease is
            return
        now_ns = self._monotonic_ns()
        claim = self._claim(node, key, now_ns)
        if self.terms.lease == "enforce" and claim is None:
            raise refuse("lease", self._not_holder(node, key, caller, now_ns))
        if self._is_taken(node, digest, claim, now_ns):
            if claim in _BY_THE_CHAIN and self.terms.lease != "off":
                # This slot is lost. With the lease where it was, each would be that somebody asks the old node in.
                self._hold(node, key, claim, now_ns)
            raise refuse("slot", self._same_slot(node, key, caller, now_ns))

    def check_rate(self, node: str, key: str, caller: str) -> None:
        """Refuse one signature too many.

        Raises:
            FaultError: rule `rate`.
        """
        if self.terms.rate == "enforce" and self._has_enough(node, key, self._monotonic_ns()):
            raise refuse("rate", self._too_many(key, caller))

    def give(self, node: str, key: str, digest: bytes, caller: str) -> None:
        """Book a signature that is about to leave.

        Raises:
            FaultError: rule `lease`, `slot` or `rate`: it may not leave any more.
        """
        self.check(node, key, digest, caller)
        self.check_rate(node, key, caller)
        now_ns = self._monotonic_ns()
        self._observe(node, key, digest, caller, now_ns)
        claim = self._claim(node, key, now_ns)
        if self.terms.lease != "off":
            self._hold(node, key, claim, now_ns)
        self._rate.give(now_ns)
        self._rates[node].give(now_ns)
        # Of one block that two nodes were given, the slot is the first one's.
        if not slot.same_block(self._last, node, digest, now_ns):
            self._last = Given(node, digest, now_ns, claimed=claim is not None)
        if self.savanna and self.terms.height == "observe":
            number = self._height.give(digest)
            if number is not None:
                self._tell("height", self._not_rising(number, node, caller))

    def _claim(self, node: str, key: str, now_ns: int) -> Claim | None:
        held = self.lease
        if held is not None and held.holder == node:  # nearly always
            return Claim.HOLDER
        return leases.decide(held, Ask(node, key, now_ns), self.authority, self._nodes, self._silence_ns)

    def _hold(self, node: str, key: str, claim: Claim | None, now_ns: int) -> None:
        if claim is not None:
            self.lease = leases.signed(
                self.lease, Ask(node, key, now_ns), claim, self._clock(), self.authority
            )
            self.moved = self.moved or claim is not Claim.HOLDER

    def _slot_enforced(self) -> bool:
        """With the lease, or with heights: a Savanna chain has no such guard in nodeos."""
        return self.terms.lease == "enforce" or (self.savanna and self.terms.height == "observe")

    def _is_taken(self, node: str, digest: bytes, claim: Claim | None, now_ns: int) -> bool:
        """Whether another node was given this slot. Who holds the lease has it all the same if the other one does not.

        Else whoever reaches the listener of a node that does not produce could take each slot before the other one.
        """
        last = self._last
        if not slot.same(last, node, digest, now_ns):
            return False
        assert last is not None  # noqa: S101 - another node signed
        return last.claimed or claim is not Claim.HOLDER

    def _has_enough(self, node: str, key: str, now_ns: int) -> bool:
        """Whether a signature is one too many of the producer's.

        Who holds the lease, or gets it from the chain, is not refused for what others were given: else whoever reaches
        the listener of a node that does not produce could use up what the other one needs.
        """
        if not self._rate.exceeded(now_ns):  # nearly always
            return False
        if self.terms.lease == "off" or self._claim(node, key, now_ns) not in _RIGHTFUL:
            return True
        return self._rates[node].exceeded(now_ns)

    def _observe(self, node: str, key: str, digest: bytes, caller: str, now_ns: int) -> None:
        """Tell what `enforce` would have refused."""
        if self.terms.lease == "observe":
            if self._claim(node, key, now_ns) is None:
                self._tell("lease", self._not_holder(node, key, caller, now_ns))
            if slot.same(self._last, node, digest, now_ns):
                self._tell("slot", self._same_slot(node, key, caller, now_ns))
        if self.terms.rate == "observe" and self._has_enough(node, key, now_ns):
            self._tell("rate", self._too_many(key, caller))

    def _tell(self, rule: str, text: str) -> None:
        self.observed[rule] = self.observed.get(rule, 0) + 1
        if len(self.news) < _MOST_NEWS:
            self.news.append(News(self.chain, rule, text))

    # -- words ---------------------------------------------------------------------------------------

    def _not_holder(self, node: str, key: str, caller: str, now_ns: int) -> str:
        lease = self.lease
        assert lease is not None  # noqa: S101 - somebody else holds it
        left_s = (self._silence_ns - (now_ns - lease.signed_ns)) / _NS_PER_S
        return (
            f"rule lease: node {lease.holder} holds the lease of chain {self.chain}, not {node}; it ends "
            f"{left_s:.0f} s from now unless {lease.holder} signs, or by `signer lease take {node} --reason WHY`; "
            f"{key} (asked by {caller})"
        )

    def _same_slot(self, node: str, key: str, caller: str, now_ns: int) -> str:
        last = self._last
        assert last is not None  # noqa: S101 - another node signed
        return (
            f"rule slot: node {last.node} was given a signature {(now_ns - last.at_ns) / 1e6:.0f} ms ago, which is the "
            f"same slot of chain {self.chain}; {node} may sign the next one; {key} (asked by {caller})"
        )

    def _too_many(self, key: str, caller: str) -> str:
        return (
            f"rule rate: {self.terms.rate_limit} signatures were given on chain {self.chain} within "
            f"{self.terms.rate_window_ns // _NS_PER_S} s, and a producer needs 12 in 6 s; {key} (asked by {caller})"
        )

    def _not_rising(self, number: int, node: str, caller: str) -> str:
        return (
            f"rule height: node {node} had block {number} signed on chain {self.chain} after block "
            f"{self._height.highest} was; after a change of forks that is right (asked by {caller})"
        )

    # -- what others know ----------------------------------------------------------------------------

    def see(self, authority: Authority, producers: int, *, savanna: bool) -> None:
        """Take what was seen of the chain; `producers` are in the active schedule, 0 if that is not known."""
        self.authority = authority
        # Never less than configured, and never less than two rounds as they really are.
        self._silence_ns = max(self.terms.silence_ns, 2 * 6 * producers * _NS_PER_S)
        self.savanna = savanna or self.terms.savanna
        if self.lease is not None:
            self.lease = leases.seen(self.lease, authority)

    def take(self, lease: Lease | None) -> None:
        """Take who holds the lease, from the supervisor. A node that is not configured any more holds none."""
        known = lease is not None and self.terms.lease != "off" and lease.holder in set(self._nodes.values())
        self.lease = lease if known else None

    def before(self, given: list[tuple[str, int]]) -> None:
        """Take the newest signatures of an earlier process, oldest first: node, and ns of CLOCK_MONOTONIC.

        While that one still signs it may be called again with more of them.
        """
        self._rate.before(at_ns for _, at_ns in given)
        for name, rate in self._rates.items():
            rate.before(at_ns for node, at_ns in given if node == name)
        if given and (self._last is None or self._last.at_ns < given[-1][1]):
            node, at_ns = given[-1]
            lease = self.lease
            # Enforced, nobody is given one without a claim. A claim makes the node the holder, and only a person can
            # have given the lease away since.
            claimed = (
                self.terms.lease == "enforce"
                or lease is None
                or lease.holder == node
                or at_ns <= lease.signed_ns
            )
            self._last = Given(node, b"", at_ns, claimed=claimed)

    def state(self) -> dict[str, Any]:
        """Return what `signer status` shows of it."""
        lease = self.lease
        return {
            "lease": self.terms.lease,
            "holder": None if lease is None else lease.holder,
            "claim": None if lease is None else lease.claim.value,
            "since": None if lease is None else lease.since,
            "signed_at": None if lease is None else lease.signed_at,
            "silence_s": self._silence_ns // _NS_PER_S,
            "chain_seen": self.authority is not None,
            "rate": self.terms.rate,
            "height": self.terms.height if self.savanna else "off",
            "observed": dict(self.observed),
        }
