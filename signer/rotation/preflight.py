"""What is in the way of a rotation: facts in, findings out, by one table of rules. Pure.

`RULES` is the whole of it: each rule in the order in which it is shown, with its name, how much it weighs, and what to
do. A blocker ends a rotation before anything is signed; a warning is for a person to know.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from signer.chain.values import Consensus
from signer.rotation import permission
from signer.rotation.evidence import EvidenceKind
from signer.rotation.finding import Finding, Level
from signer.rotation.permission import Verdict
from signer.rotation.rotation import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.chain.values import (
        Account,
        DryRun,
        FinalizerInfo,
        FinalizerKeys,
        Info,
        ProducerAnswer,
        ProducerRow,
        Schedules,
    )
    from signer.config import Chain, Config, Node
    from signer.errors import ChainRefusedError
    from signer.rotation.evidence import Evidence
    from signer.rotation.permission import Check
    from signer.rotation.ring import RingLevel
    from signer.rotation.rotation import Request

#: A standby in sync is one block behind, two where the network is slow; ten are no accident, in s.
NODE_BEHIND_S: Final = 5.0
#: Longer than one producer's round of 6 s, which may be missing, and what a block takes to get here, in s.
HEAD_OLD_S: Final = 7.5
#: nodeos makes a block up to 0.5 s before its time; 0.5 s more is a clock that is slow, in s.
CLOCK_SLOW_S: Final = -1.0
#: A few missing slots look like a clock that is fast; from here on it is worth a word, in s.
CLOCK_FAST_S: Final = 2.5
#: Savanna finalizes within two rounds of votes, about 1 s (Spring); this is many times that, in s.
SAVANNA_FINALITY_S: Final = 30.0
#: A producer's round: 12 blocks of 0.5 s, in s.
_ROUND_S: Final = 6.0
#: min_transaction_cpu_usage of eosio, in us: no transaction is billed less (config.hpp).
_MIN_CPU_US: Final = 100
#: The account has used up its NET or CPU (exceptions.hpp:365-394). That may pass, but not within a rotation.
_ACCOUNT_EXHAUSTED: Final = frozenset({3080002, 3080004, 3081001})
#: The bytes of a transaction with regproducer, a url of some length and one signature.
_MIN_NET: Final = 256


@dataclass(frozen=True, slots=True)
class PreflightFacts:
    """Everything that preflight knows.

    Attributes:
        request: what was asked for.
        now: the local time (UTC).
        config: the configuration.
        to_key: the key that would be registered.
        probe: why `to_key` gave no verified signature just now, empty if it did.
        chain_problem: why no API node of the right chain tells what follows down to `finalizers`, empty if one does.
        info: of the API node that was believed; None with a problem.
        rows: what each API node says of the producer's row, in the order of the configuration.
        schedules: None with a problem.
        account: the producer's; None if there is none.
        checks: what `permission.verify` says.
        dry_run: what would become of the transaction now; None if no node can tell.
        finalizers: who votes; None on a legacy chain.
        finalizer_keys: what the producer has registered; None if nothing, and on a legacy chain.
        rotation_keys: the rotation keys of this signer for this chain that can sign now.
        node_info: get_info of the target node's own API; None if it gave no answer, or has no API.
        node_problem: why it gave no answer; empty if it did, or has no API.
        evidence: the strongest that the target node lists `to_key`; None if there is none.
        ring: what is left of the target node's ring.
    """

    request: Request
    now: datetime
    config: Config
    to_key: PublicKey
    probe: str
    chain_problem: str
    info: Info | None
    rows: tuple[ProducerAnswer, ...]
    schedules: Schedules | None
    account: Account | None
    checks: tuple[Check, ...]
    dry_run: DryRun | None
    finalizers: FinalizerInfo | None
    finalizer_keys: FinalizerKeys | None
    rotation_keys: tuple[PublicKey, ...]
    node_info: Info | None
    node_problem: str
    evidence: Evidence | None
    ring: RingLevel

    @property
    def chain(self) -> Chain:
        """The chain's table of the configuration."""
        return self.config.chains[self.request.chain]

    @property
    def node(self) -> Node:
        """The target node's table of the configuration."""
        return self.config.nodes[self.request.node]

    @property
    def row(self) -> ProducerRow | None:
        """The producer's row as the API node has it that was believed, else as the first that has one."""
        rows = [each for each in self.rows if each.row is not None]
        rows.sort(key=lambda each: self.info is None or each.api != self.info.api)
        return rows[0].row if rows else None

    @property
    def row_keys(self) -> frozenset[PublicKey]:
        """The keys in the row that some signer can hold."""
        return frozenset(each.key for each in self.row.keys) if self.row is not None else frozenset()

    @property
    def row_nodes(self) -> frozenset[str | None]:
        """The nodes of this signer that hold the row's keys; None stands for keys that none of them holds."""
        nodes = {each.public_key: each.node for each in self.config.keys if each.role == "block"}
        others = self.row.other_keys if self.row is not None else ()
        return frozenset([*map(nodes.get, self.row_keys), *([None] if others else [])])


class Weight(enum.Enum):
    """How much a rule weighs, and when it weighs less."""

    #: A blocker, whoever asks.
    ALWAYS = enum.auto()
    #: A blocker, and a warning in an emergency.
    BLOCKER = enum.auto()
    #: A warning, and a blocker for an unattended rotation that is no emergency.
    UNATTENDED = enum.auto()
    #: A warning.
    WARNING = enum.auto()

    def level(self, request: Request) -> Level:
        """What it comes to for a request."""
        blocks = (
            self is Weight.ALWAYS
            or (self is Weight.BLOCKER and not request.emergency)
            or (self is Weight.UNATTENDED and request.unattended and not request.emergency)
        )
        return Level.BLOCKER if blocks else Level.WARNING


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        name: its stable name.
        weight: see there.
        look: says what is wrong, with the figures; empty if nothing is.
        remedy: what to do, with {chain}, {node} and {producer} to be filled in.
        of_chain: whether it needs what the chain says.
    """

    name: str
    weight: Weight
    look: Callable[[PreflightFacts], str]
    remedy: str
    of_chain: bool = True


def check(facts: PreflightFacts) -> list[Finding]:
    """Apply every rule. The findings are in the order of the table, not of their levels."""
    names = {
        "chain": facts.request.chain,
        "node": facts.request.node,
        "producer": facts.chain.producer or "",
    }
    found = []
    for rule in RULES:
        text = "" if rule.of_chain and facts.chain_problem else rule.look(facts)
        if text:
            level = rule.weight.level(facts.request)
            found.append(Finding(rule.name, level, text, rule.remedy.format_map(names)))
    return found


# -- the key, the row, the permission, the transaction ---------------------------------------------------------


def _chain(facts: PreflightFacts) -> str:
    if not facts.chain_problem:
        return ""
    return f"no API node of {facts.request.chain} with the right chain id tells: {facts.chain_problem}"


def _target_key(facts: PreflightFacts) -> str:
    return f"{facts.to_key} cannot sign: {facts.probe}" if facts.probe else ""


def _already(facts: PreflightFacts) -> str:
    row = facts.row
    if row is None or not row.is_active or row.other_keys or facts.row_keys != {facts.to_key}:
        return ""
    return f"{facts.to_key} is registered already: there is nothing to do"


def _producer_row(facts: PreflightFacts) -> str:
    if facts.row is not None:
        return ""
    if all(each.error is not None for each in facts.rows):
        return f"no API node tells the row of {facts.chain.producer}"
    return f"{facts.chain.producer} is not registered as a producer"


def _row_inactive(facts: PreflightFacts) -> str:
    row = facts.row
    if row is None or row.is_active or facts.request.reactivate:
        return ""
    return f"{facts.chain.producer} is unregistered (is_active is false)"


def _row_keys(facts: PreflightFacts) -> str:
    if len(facts.row_nodes) <= 1 or _leased(facts):
        return ""
    return f"{_several(facts)}: each of them produces"


def _row_leased(facts: PreflightFacts) -> str:
    if len(facts.row_nodes) <= 1 or not _leased(facts):
        return ""
    return f"{_several(facts)}: the lease lets one of them produce, and there is no one key to return to"


def _leased(facts: PreflightFacts) -> bool:
    """Whether one node at a time is seen to here. Nodes of another signer do not ask for this lease."""
    return None not in facts.row_nodes and facts.config.lease_mode(facts.request.chain) == "enforce"


def _several(facts: PreflightFacts) -> str:
    row = facts.row
    count = len(facts.row_keys) + len(row.other_keys) if row is not None else 0
    nodes = ", ".join(sorted(name for name in facts.row_nodes if name is not None))
    others = " and others" if None in facts.row_nodes else ""
    return f"the row has {count} keys of more than one node ({nodes}{others})"


def _cycle_node(facts: PreflightFacts) -> str:
    if facts.request.kind is not Kind.CYCLE or facts.row is None or facts.row_nodes <= {facts.request.node}:
        return ""
    now = ", ".join(sorted(name or "no node of this signer" for name in facts.row_nodes))
    return (
        f"a cycle is for the node that produces, and the row's key is held by {now}, not {facts.request.node}"
    )


def _ring_empty(facts: PreflightFacts) -> str:
    if facts.request.kind is not Kind.CYCLE:
        return ""
    if facts.to_key in facts.ring.used:
        return f"{facts.to_key} was used before: a cycle takes a fresh key"
    if facts.ring.unused or facts.to_key.curve is not facts.ring.curve:
        return ""
    return f"the ring of {facts.request.node} is empty: no unused {facts.ring.curve} key can sign"


def _permission(facts: PreflightFacts) -> str:
    return permission.unusable(facts.account, facts.chain, facts.rotation_keys)


def _transaction(facts: PreflightFacts) -> str:
    refusal = _refusal(facts)
    if refusal is None or not (refusal.final or refusal.code in _ACCOUNT_EXHAUSTED):
        return ""
    return f"the transaction would fail: {refusal}"


def _transaction_now(facts: PreflightFacts) -> str:
    refusal = _refusal(facts)
    if refusal is None or refusal.final or refusal.code in _ACCOUNT_EXHAUSTED:
        return ""
    return f"the transaction would not be taken at this moment: {refusal}"


def _refusal(facts: PreflightFacts) -> ChainRefusedError | None:
    return facts.dry_run.refusal if facts.dry_run is not None else None


def _resources(facts: PreflightFacts) -> str:
    """What a dry run would have found, where no node can make one."""
    account = facts.account
    if facts.dry_run is not None or account is None:
        return ""
    found = []
    if 0 <= account.cpu.available < _MIN_CPU_US:
        found.append(f"{account.cpu.available} of {account.cpu.max} us CPU are left")
    if 0 <= account.net.available < _MIN_NET:
        found.append(f"{account.net.available} of {account.net.max} bytes NET are left")
    if 0 <= account.ram_quota < account.ram_used:
        found.append(f"{account.ram_used} of {account.ram_quota} bytes RAM are used")
    return f"{account.name} cannot pay for a transaction: {', '.join(found)}" if found else ""


# -- finalizers ------------------------------------------------------------------------------------------------


def _is_savanna(facts: PreflightFacts) -> bool:
    return facts.info is not None and facts.info.consensus is Consensus.SAVANNA


def _finalizer_unregistered(facts: PreflightFacts) -> str:
    key = facts.node.finalizer_key
    if not _is_savanna(facts) or key is None or facts.chain.producer is None:
        return ""
    registered = set(facts.finalizer_keys.keys) if facts.finalizer_keys is not None else set()
    if facts.finalizers is not None:
        registered |= facts.finalizers.active_keys(facts.chain.producer)
    if key in registered:
        return ""
    return (
        f"the finalizer key of {facts.request.node}, {key}, is none of the {len(registered)} registered ones"
    )


def _finalizer_shared(facts: PreflightFacts) -> str:
    key = facts.node.finalizer_key
    if not _is_savanna(facts) or key is None:
        return ""
    others = [
        name
        for name, node in facts.config.nodes.items()
        if name != facts.request.node and node.chain == facts.request.chain and node.finalizer_key == key
    ]
    if not others:
        return ""
    return f"{facts.request.node} has the finalizer key of {', '.join(others)}: two nodes would vote with one key"


def _finalizer_unknown(facts: PreflightFacts) -> str:
    if not _is_savanna(facts) or facts.node.finalizer_key is not None:
        return ""
    return (
        f"the finalizer key of {facts.request.node} is not known: it is not moved, and nobody can say when it is "
        "safe to stop the other node"
    )


# -- the target node -------------------------------------------------------------------------------------------


def _evidence(facts: PreflightFacts) -> str:
    seen, node = facts.evidence, facts.request.node
    if seen is None:
        return f"nothing says that {node} lists {facts.to_key}"
    if seen.kind is EvidenceKind.UNLISTED:
        return (
            f"{node} does not list {facts.to_key}, as of {seen.at:%Y-%m-%d %H:%M} UTC: it would not produce"
        )
    if seen.kind is EvidenceKind.DECLARED:
        return (
            f"that {node} lists {facts.to_key} is declared in the signer's configuration, and nobody looked"
        )
    max_age = timedelta(hours=facts.config.rotation.evidence_max_age_h)
    if seen.is_proof(facts.now, max_age):
        return ""
    hours = seen.age(facts.now) // timedelta(hours=1)
    return (
        f"that {node} lists {facts.to_key} was seen ({seen.kind}) {hours} h ago, and "
        f"evidence_max_age_h is {facts.config.rotation.evidence_max_age_h}"
    )


def _node_unwatched(facts: PreflightFacts) -> str:
    if facts.node.api is not None:
        return ""
    return f"nodes.{facts.request.node} has no api: nobody knows whether it runs and is in sync"


def _node_silent(facts: PreflightFacts) -> str:
    return (
        f"the API of {facts.request.node} gives no answer: {facts.node_problem}" if facts.node_problem else ""
    )


def _node_behind(facts: PreflightFacts) -> str:
    if facts.info is None or facts.node_info is None:
        return ""
    behind_s = (facts.info.head.time - facts.node_info.head.time).total_seconds()
    if behind_s <= NODE_BEHIND_S:
        return ""
    return (
        f"{facts.request.node} is {behind_s:.1f} s behind: its head is block {facts.node_info.head.number}, "
        f"the chain's {facts.info.head.number}"
    )


# -- the chain -------------------------------------------------------------------------------------------------


def _schedule_busy(facts: PreflightFacts) -> str:
    schedules = facts.schedules
    if schedules is None:
        return ""
    on_the_way = [
        f"{name} schedule (version {schedule.version})"
        for name, schedule in (("proposed", schedules.proposed), ("pending", schedules.pending))
        if schedule is not None
    ]
    return f"a {' and a '.join(on_the_way)} is on its way: the new key waits for it" if on_the_way else ""


def _unelected(facts: PreflightFacts) -> str:
    schedules = facts.schedules
    if schedules is None:
        return ""
    every = (schedules.active, schedules.pending, schedules.proposed)
    names = {each.name for schedule in every if schedule is not None for each in schedule.producers}
    if facts.chain.producer in names:
        return ""
    return f"{facts.chain.producer} is not elected: the rotation ends with the key registered and no block"


def _head_old(facts: PreflightFacts) -> str:
    if facts.info is None or facts.info.clock_ahead_s <= HEAD_OLD_S:
        return ""
    return (
        f"the head block {facts.info.head.number} is {facts.info.clock_ahead_s:.1f} s old: nobody produces, "
        "or the local clock is as much ahead"
    )


def _finality(facts: PreflightFacts) -> str:
    info = facts.info
    if info is None or facts.schedules is None:
        return ""
    lag_s = (info.head.time - info.irreversible.time).total_seconds()
    if _is_savanna(facts):
        usual_s, limit_s = 1.0, SAVANNA_FINALITY_S
    else:
        # Two thirds and one confirm in their rounds, twice (legacy DPoS); twice that is no accident.
        usual_s = 2 * (2 * len(facts.schedules.active.producers) // 3 + 1) * _ROUND_S
        limit_s = 2 * usual_s
    if lag_s <= limit_s:
        return ""
    return (
        f"the last irreversible block {info.irreversible.number} is {lag_s:.0f} s behind the head "
        f"(usual are up to {usual_s:.0f} s): a schedule takes as much longer, and nothing becomes final"
    )


def _clock(facts: PreflightFacts) -> str:
    if facts.info is None:
        return ""
    ahead_s = facts.info.clock_ahead_s
    if ahead_s < CLOCK_SLOW_S:
        return (
            f"the local clock is at least {-ahead_s - 0.5:.1f} s behind the chain's; transactions expire by the "
            "chain's time, so only times in logs are wrong"
        )
    if CLOCK_FAST_S < ahead_s - facts.info.latency_s <= HEAD_OLD_S:
        return (
            f"the head block is {ahead_s:.1f} s old: slots are missing, or the local clock is ahead; transactions "
            "expire by the chain's time, so only times in logs are wrong"
        )
    return ""


# -- the API nodes ---------------------------------------------------------------------------------------------


def _row_disagreement(facts: PreflightFacts) -> str:
    said = {
        each.api: "no row"
        if each.row is None
        else f"{'active' if each.row.is_active else 'inactive'}, "
        + ", ".join([*sorted(str(key) for key, _ in each.row.keys), *each.row.other_keys])
        for each in facts.rows
        if each.error is None
    }
    if len(set(said.values())) <= 1:
        return ""
    return "the API nodes disagree on the producer's row: " + "; ".join(
        f"{api}: {row}" for api, row in said.items()
    )


def _api_alone(facts: PreflightFacts) -> str:
    if len(facts.chain.api) > 1:
        return ""
    return f"chains.{facts.request.chain}.api names one node: nobody contradicts it, and nobody replaces it"


def _api_silent(facts: PreflightFacts) -> str:
    silent = [f"{each.api}: {each.error}" for each in facts.rows if each.error is not None]
    if not silent:
        return ""
    return f"{len(silent)} of {len(facts.rows)} API nodes do not count: {'; '.join(silent)}"


# -- keys and authorities --------------------------------------------------------------------------------------


def _ring_low(facts: PreflightFacts) -> str:
    """A promotion takes no fresh key, so only cycles are told."""
    if facts.request.kind is not Kind.CYCLE or not facts.ring.low or not facts.ring.unused:
        return ""
    count = len(facts.ring.unused)
    return (
        f"{count} unused {facts.ring.curve} key{'s are' if count > 1 else ' is'} left for {facts.request.node}, "
        f"this one included: as many cycles (ring_low_water is {facts.config.rotation.ring_low_water})"
    )


def _two_keys(facts: PreflightFacts) -> str:
    return _checked(facts, "two-keys", verdict=Verdict.WARNING)


def _block_key(facts: PreflightFacts) -> str:
    return _checked(facts, *_BLOCK_KEY_CHECKS, verdict=Verdict.FAILURE)


def _permission_differs(facts: PreflightFacts) -> str:
    others = [each.name for each in facts.checks if each.name not in _BLOCK_KEY_CHECKS]
    return _checked(facts, *others, verdict=Verdict.FAILURE)


_BLOCK_KEY_CHECKS: Final = ("block-keys", "block-keys-anywhere")


def _checked(facts: PreflightFacts, *names: str, verdict: Verdict) -> str:
    return "; ".join(each.text for each in facts.checks if each.name in names and each.verdict is verdict)


# -- the table -------------------------------------------------------------------------------------------------

RULES: Final = (
    Rule(
        "chain",
        Weight.ALWAYS,
        _chain,
        "see that one node of chains.{chain}.api runs, is reached from here, and serves the chain of chains.{chain}.id",
        of_chain=False,
    ),
    Rule(
        "target-key",
        Weight.ALWAYS,
        _target_key,
        "`signer status` says what is wrong with this key; take another one with --key",
        of_chain=False,
    ),
    Rule("already", Weight.ALWAYS, _already, "nothing; `signer producer` shows which node produces"),
    Rule(
        "producer-row",
        Weight.ALWAYS,
        _producer_row,
        "have its owner register it once with regproducer, or correct chains.{chain}.producer",
    ),
    Rule(
        "row-inactive",
        Weight.ALWAYS,
        _row_inactive,
        "find out who unregistered it; --reactivate registers it again",
    ),
    Rule(
        "row-keys",
        Weight.BLOCKER,
        _row_keys,
        "have its owner register the key of one node with regproducer, or, where all are nodes of this signer, set "
        'guards.lease = "enforce"; return needs one key to return to',
    ),
    Rule(
        "row-leased",
        Weight.WARNING,
        _row_leased,
        "nothing, if that is meant; `signer lease show` says which of them produces",
    ),
    Rule(
        "cycle-node",
        Weight.BLOCKER,
        _cycle_node,
        "cycle the node that produces, or promote {node}",
    ),
    Rule(
        "ring-empty",
        Weight.ALWAYS,
        _ring_empty,
        "make keys with `signer keys generate --append`, list them in the configuration of {node}, restart that node",
    ),
    Rule(
        "permission",
        Weight.ALWAYS,
        _permission,
        "`signer permission verify --chain {chain}` says what is wrong, "
        "`signer permission print --chain {chain}` how it is made",
    ),
    Rule(
        "transaction",
        Weight.ALWAYS,
        _transaction,
        "put right what the contract says; `signer permission verify --chain {chain}` looks at the permission",
    ),
    Rule(
        "resources",
        Weight.ALWAYS,
        _resources,
        "stake or buy what is missing for {producer}",
    ),
    Rule(
        "finalizer-unregistered",
        Weight.BLOCKER,
        _finalizer_unregistered,
        "have the owner of {producer} register it with regfinkey, or correct nodes.{node}.finalizer_key",
    ),
    Rule(
        "finalizer-shared",
        Weight.BLOCKER,
        _finalizer_shared,
        "give each node a finalizer key of its own, register it with regfinkey, and correct nodes.{node}.finalizer_key",
    ),
    Rule(
        "evidence",
        Weight.UNATTENDED,
        _evidence,
        "run `signer nodes attest {node} --config-ini FILE --pid PID` on its host",
        of_chain=False,
    ),
    Rule(
        "finalizer-unknown",
        Weight.WARNING,
        _finalizer_unknown,
        "give nodes.{node}.finalizer_key; nodeos prints it at its start",
    ),
    Rule(
        "node-unwatched",
        Weight.WARNING,
        _node_unwatched,
        "give nodes.{node}.api, the HTTP API of that nodeos",
        of_chain=False,
    ),
    Rule(
        "node-silent",
        Weight.WARNING,
        _node_silent,
        "see whether {node} runs; a node that does not run does not produce",
        of_chain=False,
    ),
    Rule("node-behind", Weight.WARNING, _node_behind, "wait until {node} is in sync"),
    Rule(
        "transaction-now",
        Weight.WARNING,
        _transaction_now,
        "see what keeps this API node from it; the rotation sends it to every node, again and again",
    ),
    Rule("schedule-busy", Weight.WARNING, _schedule_busy, "nothing; the rotation takes longer"),
    Rule("unelected", Weight.WARNING, _unelected, "nothing, if that is known"),
    Rule(
        "head-old",
        Weight.WARNING,
        _head_old,
        "look at the chain and at this machine's clock",
    ),
    Rule("finality", Weight.WARNING, _finality, "find out why the chain does not finalize"),
    Rule("clock", Weight.WARNING, _clock, "set this machine's clock by NTP"),
    Rule(
        "row-disagreement",
        Weight.WARNING,
        _row_disagreement,
        "nothing concludes from the row before they agree: see which one is behind or on a fork",
    ),
    Rule("api-alone", Weight.WARNING, _api_alone, "add the API of a second node to chains.{chain}.api"),
    Rule(
        "api-silent",
        Weight.WARNING,
        _api_silent,
        "see why; with one API node left the row counts only once it is irreversible",
    ),
    Rule(
        "ring-low",
        Weight.WARNING,
        _ring_low,
        "make keys with `signer keys generate --append`, list them in the configuration of {node}, restart that node",
    ),
    Rule(
        "permission-keys",
        Weight.WARNING,
        _two_keys,
        "list the rotation key of a second signer in other_rotation_keys, and run the lines of "
        "`signer permission print --chain {chain}` again",
    ),
    Rule(
        "block-key-authority",
        Weight.WARNING,
        _block_key,
        "take the block key out of that authority at once: a block key signs whatever a node asks for",
    ),
    Rule(
        "permission-differs",
        Weight.WARNING,
        _permission_differs,
        "`signer permission verify --chain {chain}` says what to do about each",
    ),
)
