"""Each rule of preflight: when it speaks, what it says, and how much it weighs in each kind of request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rig import two_nodes

from signer.antelope.keys import Curve
from signer.antelope.name import Name
from signer.chain import refusals
from signer.chain.values import (
    Account,
    Consensus,
    DryRun,
    Finalizer,
    FinalizerInfo,
    FinalizerKeys,
    FinalizerPolicy,
    Head,
    Info,
    LinkedAction,
    Permission,
    ProducerAnswer,
    ProducerRow,
    Resource,
    Schedule,
    ScheduledProducer,
    Schedules,
    WeightedKey,
)
from signer.config import Guards
from signer.errors import ChainRefusedError, ChainUnreachableError
from signer.rotation.evidence import Evidence, EvidenceKind
from signer.rotation.finding import Finding, Level
from signer.rotation.permission import ACTIONS, Check, Verdict
from signer.rotation.preflight import RULES, PreflightFacts, check
from signer.rotation.ring import RingLevel
from signer.rotation.rotation import Kind, Request

if TYPE_CHECKING:
    from signer.antelope.keys import PublicKey
    from signer.config import Config, Mode

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
A, B = two_nodes.A, two_nodes.B
PRODUCER, EOSIO = Name("bravo"), Name("eosio")
FIRST, SECOND = "http://127.0.0.1:8888", "http://127.0.0.1:8889"
OURS, THEIRS = two_nodes.finalizer_key(1), two_nodes.finalizer_key(2)
LIMIT = Resource(500, 500, 1000)


def config(*, node_b: str = f'finalizer_key = "{THEIRS}"', **lines: str) -> Config:
    return two_nodes.config(
        node_a=f'api = "{FIRST}"\nfinalizer_key = "{OURS}"', node_b=f'api = "{SECOND}"\n{node_b}', **lines
    )


def info(*, head_age_s: float = 0.2, lag_s: float = 3.0, savanna: bool = False, api: str = FIRST) -> Info:
    time = NOW - timedelta(seconds=head_age_s)
    return Info(
        api=api,
        chain_id=two_nodes.CHAIN_ID,
        head=Head(1000, "00" * 32, time),
        irreversible=Head(990, "00" * 32, time - timedelta(seconds=lag_s)),
        consensus=Consensus.SAVANNA if savanna else Consensus.LEGACY,
        server_version="v5",
        received_at=NOW,
        received_s=0.0,
        latency_s=0.01,
    )


def row(*keys: PublicKey, **changed: Any) -> ProducerRow:  # noqa: ANN401 - any field
    weighted = tuple(WeightedKey(key, 1) for key in keys)
    return replace(ProducerRow(PRODUCER, weighted, (), 1, True, "https://b", 7, 1.0), **changed)


def answers(first: ProducerRow | None, second: ProducerRow | None) -> tuple[ProducerAnswer, ...]:
    return (ProducerAnswer(FIRST, first, None), ProducerAnswer(SECOND, second, None))


def schedule(version: int, *names: str) -> Schedule:
    return Schedule(version, tuple(ScheduledProducer(Name(name), (), ()) for name in names))


def account(**changed: Any) -> Account:  # noqa: ANN401 - any field
    links = tuple(LinkedAction(EOSIO, Name(action)) for action in ACTIONS)
    rotate = Permission(
        Name("rotate"), Name("active"), 1, (WeightedKey(two_nodes.ROTATION, 1),), (), (), (), links
    )
    return replace(Account(PRODUCER, (rotate,), (), LIMIT, LIMIT, 100, 200, privileged=False), **changed)


def evidence(kind: EvidenceKind, age: timedelta = timedelta(0)) -> Evidence:
    return Evidence("b", kind, B[1], NOW - age, "", "ann")


def finalizers(*keys: str) -> FinalizerInfo:
    return FinalizerInfo(FinalizerPolicy(1, 1, tuple(Finalizer("bravo", 1, key) for key in keys)), None, ())


#: Production is at node a and moves to node b; nothing is in the way.
PROMOTE = Request(Kind.PROMOTE, "local", "b", "ann")
#: Node b has production and gets a fresh key.
CYCLE = replace(PROMOTE, kind=Kind.CYCLE)
GOOD = PreflightFacts(
    request=PROMOTE,
    now=NOW,
    config=config(),
    to_key=B[1],
    probe="",
    chain_problem="",
    info=info(),
    rows=answers(row(A[1]), row(A[1])),
    schedules=Schedules(schedule(3, "alpha", "bravo"), None, None),
    account=account(),
    checks=(Check("limit", Verdict.OK, "words"),),
    dry_run=DryRun(FIRST, None, 200, 150),
    finalizers=None,
    finalizer_keys=None,
    rotation_keys=(two_nodes.ROTATION,),
    node_info=info(api=SECOND),
    node_problem="",
    evidence=evidence(EvidenceKind.SIGNED),
    ring=RingLevel(Curve.R1, B[1:], (), (), low=False),
)
#: The same where one node at a time gets signatures.
LEASED = GOOD.config.model_copy(update={"guards": Guards(lease="enforce")})
GOOD_CYCLE = replace(GOOD, request=CYCLE, rows=answers(row(B[2]), row(B[2])))
#: The same on Savanna: both finalizer keys are registered, that of a votes.
SAVANNA = replace(
    GOOD,
    info=info(savanna=True),
    finalizers=finalizers(OURS),
    finalizer_keys=FinalizerKeys(PRODUCER, (OURS, THEIRS), OURS),
)


def refused(code: int, message: str) -> DryRun:
    meaning = refusals.judge(code)
    error = ChainRefusedError(code, "", message, api=FIRST, status=500, final=meaning.final)
    return DryRun(FIRST, error, None, None)


SILENT = ChainUnreachableError("no answer in time")


def the_one(facts: PreflightFacts) -> Finding:
    (found,) = check(facts)
    return found


def levels(facts: PreflightFacts) -> tuple[Level, Level, Level]:
    """The level of the one finding in a normal request, in an emergency, and unattended."""
    request = facts.request
    kinds = (request, replace(request, emergency=True, reason="dead"), replace(request, unattended=True))
    normal, emergency, unattended = (the_one(replace(facts, request=kind)).level for kind in kinds)
    # An emergency is one, also where nobody watches.
    both = replace(request, emergency=True, unattended=True)
    assert the_one(replace(facts, request=both)).level is emergency
    return normal, emergency, unattended


BLOCKER, WARNING = Level.BLOCKER, Level.WARNING
ALWAYS = (BLOCKER, BLOCKER, BLOCKER)
UNLESS_EMERGENCY = (BLOCKER, WARNING, BLOCKER)
IF_UNATTENDED = (WARNING, WARNING, BLOCKER)
NEVER = (WARNING, WARNING, WARNING)


@pytest.mark.parametrize("facts", [GOOD, GOOD_CYCLE, SAVANNA])
def test_where_nothing_is_in_the_way_nothing_is_found(facts: PreflightFacts) -> None:
    request = facts.request
    for kind in (request, replace(request, emergency=True), replace(request, unattended=True)):
        assert check(replace(facts, request=kind)) == []


CASES: dict[str, tuple[PreflightFacts, tuple[Level, Level, Level], str, str]] = {
    "chain": (
        replace(
            GOOD,
            chain_problem="http://127.0.0.1:8888 serves another chain",
            info=None,
            rows=(),
            schedules=None,
            account=None,
            checks=(),
            dry_run=None,
            node_info=None,
        ),
        ALWAYS,
        "no API node of local with the right chain id tells: http://127.0.0.1:8888 serves another chain",
        "chains.local.api",
    ),
    "target-key": (replace(GOOD, probe="it is frozen"), ALWAYS, f"{B[1]} cannot sign: it is frozen", "--key"),
    "already": (
        replace(GOOD, rows=answers(row(B[1]), row(B[1]))),
        ALWAYS,
        f"{B[1]} is registered already",
        "nothing",
    ),
    "producer-row": (
        replace(GOOD, rows=answers(None, None)),
        ALWAYS,
        "bravo is not registered as a producer",
        "regproducer",
    ),
    "row-inactive": (
        replace(GOOD, rows=answers(*[row(A[1], is_active=False)] * 2)),
        ALWAYS,
        "bravo is unregistered",
        "--reactivate",
    ),
    "row-keys": (
        replace(GOOD, rows=answers(*[row(A[1], B[2])] * 2)),
        UNLESS_EMERGENCY,
        "2 keys of more than one node (a, b)",
        "one node",
    ),
    "row-leased": (
        replace(GOOD, config=LEASED, rows=answers(*[row(A[1], B[2])] * 2)),
        NEVER,
        "2 keys of more than one node (a, b): the lease lets one of them produce",
        "signer lease show",
    ),
    "cycle-node": (
        replace(GOOD_CYCLE, rows=GOOD.rows),
        UNLESS_EMERGENCY,
        "held by a, not b",
        "promote b",
    ),
    "ring-empty": (
        replace(GOOD_CYCLE, ring=RingLevel(Curve.R1, (), (B[2],), (B[1],), low=True)),
        ALWAYS,
        "the ring of b is empty: no unused R1 key",
        "signer keys generate",
    ),
    "permission": (
        replace(GOOD, account=account(permissions=())),
        ALWAYS,
        "bravo has no permission rotate",
        "signer permission verify --chain local",
    ),
    "transaction": (
        replace(GOOD, dry_run=refused(3050003, "url too long")),
        ALWAYS,
        f"the transaction would fail: {FIRST} refused: url too long (3050003",
        "signer permission verify --chain local",
    ),
    "resources": (
        replace(
            GOOD,
            dry_run=None,
            account=account(
                cpu=Resource(990, 10, 1000), net=Resource(900, 100, 1000), ram_used=201, ram_quota=200
            ),
        ),
        ALWAYS,
        "10 of 1000 us CPU are left, 100 of 1000 bytes NET are left, 201 of 200 bytes RAM are used",
        "for bravo",
    ),
    "finalizer-unregistered": (
        replace(SAVANNA, finalizer_keys=FinalizerKeys(PRODUCER, (OURS,), OURS)),
        UNLESS_EMERGENCY,
        f"{THEIRS}, is none of the 1 registered ones",
        "regfinkey",
    ),
    "finalizer-shared": (
        replace(SAVANNA, config=config(node_b=f'finalizer_key = "{OURS}"')),
        UNLESS_EMERGENCY,
        "b has the finalizer key of a",
        "of its own",
    ),
    "evidence": (
        replace(GOOD, evidence=evidence(EvidenceKind.DECLARED)),
        IF_UNATTENDED,
        "is declared in the signer's configuration, and nobody looked",
        "signer nodes attest b",
    ),
    "finalizer-unknown": (
        replace(SAVANNA, config=config(node_b="")),
        NEVER,
        "nobody can say when it is safe to stop the other node",
        "nodes.b.finalizer_key",
    ),
    "node-unwatched": (
        replace(GOOD, config=two_nodes.config(), node_info=None),
        NEVER,
        "nodes.b has no api",
        "nodes.b.api",
    ),
    "node-silent": (
        replace(GOOD, node_info=None, node_problem="connection refused"),
        NEVER,
        "the API of b gives no answer: connection refused",
        "whether b runs",
    ),
    "node-behind": (
        replace(GOOD, node_info=info(head_age_s=5.3)),
        NEVER,
        "b is 5.1 s behind",
        "in sync",
    ),
    "transaction-now": (
        replace(GOOD, dry_run=refused(3080006, "deadline exceeded")),
        NEVER,
        "would not be taken at this moment: http://127.0.0.1:8888 refused: deadline exceeded",
        "every node",
    ),
    "schedule-busy": (
        replace(
            GOOD,
            schedules=Schedules(schedule(3, "bravo"), schedule(4, "bravo"), schedule(5, "bravo")),
        ),
        NEVER,
        "a proposed schedule (version 5) and a pending schedule (version 4) is on its way",
        "takes longer",
    ),
    "unelected": (
        replace(GOOD, schedules=Schedules(schedule(3, "alpha"), None, None)),
        NEVER,
        "bravo is not elected",
        "",
    ),
    "head-old": (
        replace(GOOD, info=info(head_age_s=8.0), node_info=info(head_age_s=8.0)),
        NEVER,
        "block 1000 is 8.0 s old",
        "clock",
    ),
    "finality": (
        replace(GOOD, info=info(lag_s=49.0)),
        NEVER,
        "block 990 is 49 s behind the head (usual are up to 24 s)",
        "finalize",
    ),
    "clock": (
        replace(GOOD, info=info(head_age_s=-1.1)),
        NEVER,
        "at least 0.6 s behind the chain's; transactions expire by the chain's time, so only times in logs are wrong",
        "NTP",
    ),
    "row-disagreement": (
        replace(GOOD, rows=answers(row(A[1]), row(A[2], is_active=False))),
        NEVER,
        f"{FIRST}: active, {A[1]}; {SECOND}: inactive, {A[2]}",
        "agree",
    ),
    "api-alone": (
        replace(
            GOOD,
            config=GOOD.config.model_copy(
                update={"chains": {"local": GOOD.chain.model_copy(update={"api": (FIRST,)})}}
            ),
            rows=GOOD.rows[:1],
        ),
        NEVER,
        "chains.local.api names one node",
        "second node",
    ),
    "api-silent": (
        replace(GOOD, rows=(GOOD.rows[0], ProducerAnswer(SECOND, None, SILENT))),
        NEVER,
        f"1 of 2 API nodes do not count: {SECOND}: no answer in time",
        "irreversible",
    ),
    "ring-low": (
        replace(GOOD_CYCLE, ring=RingLevel(Curve.R1, (B[1],), (B[2],), (), low=True)),
        NEVER,
        "1 unused R1 key is left for b, this one included",
        "restart that node",
    ),
    "permission-keys": (
        replace(GOOD, checks=(Check("two-keys", Verdict.WARNING, "it has 1 key", "x"),)),
        NEVER,
        "it has 1 key",
        "second signer",
    ),
    "block-key-authority": (
        replace(GOOD, checks=(Check("block-keys", Verdict.FAILURE, "block key X is there", "x"),)),
        NEVER,
        "block key X is there",
        "at once",
    ),
    "permission-differs": (
        replace(
            GOOD,
            checks=(
                Check("keys", Verdict.FAILURE, "K is missing", "x"),
                Check("links", Verdict.FAILURE, "unprod is not linked", "x"),
                Check("any-links", Verdict.UNKNOWN, "not told", "x"),
            ),
        ),
        NEVER,
        "K is missing; unprod is not linked",
        "signer permission verify --chain local",
    ),
}


def test_every_rule_has_a_case_in_the_order_of_the_table() -> None:
    assert [rule.name for rule in RULES] == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_speaks_alone_with_figures_and_a_remedy(name: str) -> None:
    facts, expected, text, remedy = CASES[name]

    found = the_one(facts)

    assert found.rule == name
    assert text in found.text
    assert found.remedy
    assert remedy in found.remedy
    assert "{" not in found.remedy
    assert levels(facts) == expected


# -- where a rule keeps silent, and its other words --------------------------------------------------------


def test_findings_are_in_the_order_of_the_table() -> None:
    facts = replace(GOOD, probe="frozen", evidence=None, rows=answers(None, None), account=None)

    assert [each.rule for each in check(facts)] == ["target-key", "producer-row", "permission", "evidence"]


def test_without_a_chain_the_rest_is_still_said() -> None:
    facts = replace(CASES["chain"][0], probe="frozen", evidence=None, node_problem="refused")

    assert [each.rule for each in check(facts)] == ["chain", "target-key", "evidence", "node-silent"]


def test_reactivation_has_to_be_asked_for() -> None:
    inactive = replace(GOOD, rows=answers(*[row(is_active=False, other_keys=("null",))] * 2))

    assert the_one(inactive).rule == "row-inactive"
    assert check(replace(inactive, request=replace(PROMOTE, reactivate=True))) == []


def test_an_inactive_row_with_the_target_key_is_not_done_already() -> None:
    facts = replace(GOOD, rows=answers(*[row(B[1], is_active=False)] * 2))

    assert the_one(facts).rule == "row-inactive"
    assert check(replace(facts, request=replace(PROMOTE, reactivate=True))) == []


def test_a_row_that_nobody_tells_is_not_called_unregistered() -> None:
    facts = replace(GOOD, rows=(ProducerAnswer(FIRST, None, SILENT), ProducerAnswer(SECOND, None, SILENT)))

    found = {each.rule: each.text for each in check(facts)}

    assert found["producer-row"] == "no API node tells the row of bravo"


@pytest.mark.parametrize(
    ("there", "nodes"),
    [
        (row(A[1], A[2]), None),
        # Both of another signer: one node of it, or two. It does not hinder.
        (row(two_nodes.public_key(91), two_nodes.public_key(92)), None),
        (row(A[1], two_nodes.public_key(91)), "(a and others)"),
        (row(A[1], other_keys=("PUB_WA_x",)), "(a and others)"),
    ],
)
def test_several_keys_in_the_row_hinder_only_if_several_nodes_have_them(
    there: ProducerRow, nodes: str | None
) -> None:
    found = check(replace(GOOD, rows=answers(there, there)))

    assert [each.rule for each in found] == ([] if nodes is None else ["row-keys"])
    assert all(str(nodes) in each.text for each in found)


@pytest.mark.parametrize("lease", ["off", "observe"])
def test_several_nodes_in_the_row_hinder_unless_the_lease_is_enforced(lease: Mode) -> None:
    there = answers(*[row(A[1], B[2])] * 2)
    config = GOOD.config.model_copy(update={"guards": Guards(lease=lease)})

    assert the_one(replace(GOOD, config=config, rows=there)).rule == "row-keys"
    assert the_one(replace(GOOD, config=LEASED, rows=there)).level is WARNING


def test_a_lease_does_not_bind_the_nodes_of_another_signer() -> None:
    there = answers(*[row(A[1], two_nodes.public_key(91))] * 2)

    assert the_one(replace(GOOD, config=LEASED, rows=there)).rule == "row-keys"


def test_the_row_of_the_api_node_that_was_believed_counts() -> None:
    facts = replace(GOOD, rows=answers(row(A[1]), row(A[2])), info=info(api=SECOND))

    assert facts.row_keys == {A[2]}


def test_a_cycle_of_a_node_that_another_signer_replaced_is_no_cycle() -> None:
    stranger = row(two_nodes.public_key(91))

    found = the_one(replace(GOOD_CYCLE, rows=answers(stranger, stranger)))

    assert (found.rule, found.level) == ("cycle-node", BLOCKER)
    assert "no node of this signer" in found.text


def test_a_cycle_takes_no_key_that_was_used() -> None:
    used = RingLevel(Curve.R1, (B[2],), (B[1],), (), low=False)

    found = the_one(replace(GOOD_CYCLE, ring=used))

    assert (found.rule, found.level) == ("ring-empty", BLOCKER)
    assert "was used before" in found.text
    # A promotion may.
    assert check(replace(GOOD, ring=used)) == []


def test_a_cycle_to_a_key_of_the_other_curve_needs_no_key_of_the_rings() -> None:
    assert check(replace(GOOD_CYCLE, to_key=B[0], ring=RingLevel(Curve.R1, (), (B[2],), (), low=False))) == []


def test_a_promotion_takes_no_fresh_key_so_a_low_ring_does_not_matter() -> None:
    assert check(replace(GOOD, ring=RingLevel(Curve.R1, (), B[1:], (), low=True))) == []


def test_a_rotation_key_has_to_be_able_to_sign() -> None:
    assert the_one(replace(GOOD, rotation_keys=())).rule == "permission"
    assert the_one(replace(GOOD, rotation_keys=(A[1],))).rule == "permission"


@pytest.mark.parametrize("code", [3080001, 3080002, 3080004, 3081001])
def test_an_account_that_cannot_pay_makes_the_transaction_fail(code: int) -> None:
    found = the_one(replace(GOOD, dry_run=refused(code, "exhausted")))

    assert (found.rule, found.level) == ("transaction", BLOCKER)


def test_where_a_dry_run_passes_the_account_can_pay() -> None:
    poor = account(cpu=Resource(1000, 0, 1000), ram_used=201)

    assert check(replace(GOOD, account=poor)) == []


def test_an_account_without_limits_can_pay() -> None:
    endless = account(cpu=Resource(5, -1, -1), net=Resource(5, -1, -1), ram_quota=-1)

    assert check(replace(GOOD, account=endless, dry_run=None)) == []


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (None, "nothing says that b lists"),
        (evidence(EvidenceKind.UNLISTED), "b does not list"),
        (evidence(EvidenceKind.SIGNED, timedelta(hours=193)), "was seen (signed) 193 h ago"),
        (evidence(EvidenceKind.FILE, timedelta(hours=193)), "evidence_max_age_h is 192"),
    ],
)
def test_what_is_not_known_of_the_target_is_said(seen: Evidence | None, words: str) -> None:
    facts = replace(GOOD, evidence=seen)

    assert words in the_one(facts).text
    assert levels(facts) == IF_UNATTENDED


@pytest.mark.parametrize("kind", [EvidenceKind.SIGNED, EvidenceKind.FILE])
def test_evidence_that_is_not_too_old_is_enough_for_everyone(kind: EvidenceKind) -> None:
    facts = replace(GOOD, evidence=evidence(kind, timedelta(hours=192)))

    assert check(replace(facts, request=replace(PROMOTE, unattended=True))) == []


def test_a_finalizer_key_that_votes_is_registered_whatever_the_table_says() -> None:
    assert check(replace(SAVANNA, finalizer_keys=None, finalizers=finalizers(THEIRS))) == []


def test_a_producer_without_any_registered_finalizer_key_is_told() -> None:
    found = the_one(replace(SAVANNA, finalizer_keys=None, finalizers=finalizers()))

    assert "none of the 0 registered ones" in found.text


def test_finalizer_keys_do_not_matter_on_a_legacy_chain() -> None:
    assert check(replace(GOOD, config=config(node_b=f'finalizer_key = "{OURS}"'))) == []
    assert check(replace(GOOD, config=config(node_b=""))) == []


@pytest.mark.parametrize("stage", ["pending", "proposed"])
def test_a_producer_on_its_way_into_the_schedule_is_elected(stage: str) -> None:
    schedules = replace(Schedules(schedule(3, "alpha"), None, None), **{stage: schedule(4, "alpha", "bravo")})

    assert [each.rule for each in check(replace(GOOD, schedules=schedules))] == ["schedule-busy"]


@pytest.mark.parametrize(
    ("facts", "lag_s", "found"),
    [
        (GOOD, 48.0, []),
        # 21 producers: 180 s are usual.
        (replace(GOOD, schedules=Schedules(schedule(3, *["bravo"] * 21), None, None)), 360.0, []),
        (SAVANNA, 30.0, []),
        (SAVANNA, 30.5, ["finality"]),
    ],
)
def test_how_far_finality_lags_depends_on_the_chain(
    facts: PreflightFacts, lag_s: float, found: list[str]
) -> None:
    assert facts.info is not None
    irreversible = replace(facts.info.irreversible, time=facts.info.head.time - timedelta(seconds=lag_s))

    stalled = replace(facts, info=replace(facts.info, irreversible=irreversible))

    assert [each.rule for each in check(stalled)] == found


@pytest.mark.parametrize(
    ("head_age_s", "found"),
    [(-1.0, []), (-0.4, []), (2.5, []), (2.6, ["clock"]), (7.5, ["clock"]), (7.6, ["head-old"])],
)
def test_a_head_in_the_future_or_in_the_past_is_told(head_age_s: float, found: list[str]) -> None:
    both = info(head_age_s=head_age_s)

    assert [each.rule for each in check(replace(GOOD, info=both, node_info=both))] == found
