"""May this key sign this transaction? Deny by default. Pure: the time comes from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from signer.errors import FormatError
from signer.policy.constraint import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from signer.antelope.foreign import ForeignAction, ForeignTransaction
    from signer.antelope.keys import PublicKey
    from signer.policy.policies import Policies, Policy
    from signer.policy.rule import Rule


#: What is wrong with a transaction is said up to here, for cleos shows it on one line.
_SHOWN_REFUSALS: Final = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What policy says of one action.

    Attributes:
        action: the action itself.
        arguments: its data, decoded; None where they could not be read.
        rule: the name of the rule that allows it; empty where none does.
        refusal: the stable name of what refuses it: `unreadable-action`, `no-rule`, `argument`; empty if allowed.
        reasons: why no rule allows it, for a person.
    """

    action: ForeignAction
    arguments: dict[str, object] | None
    rule: str
    refusal: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a key may sign a transaction, and why.

    Attributes:
        allowed: it may.
        rule: the names of the rules that allow it, each once, with commas between; else the stable name of what
            refuses it first.
        text: one line for a person: the key, the rule, the argument that did not fit.
        verdicts: of each action, in their order, up to max_actions; empty where the key has no policy.
    """

    allowed: bool
    rule: str
    text: str
    verdicts: tuple[Verdict, ...]


class _Refusal(NamedTuple):
    rule: str
    text: str


def decide(
    transaction: ForeignTransaction, chain_id: bytes, key: PublicKey, policies: Policies, now: datetime
) -> Decision:
    """Return whether `key` may sign `transaction`.

    Args:
        transaction: as it will be signed.
        chain_id: for which chain it is to be signed (bytes, 32).
        key: one of the keys to sign with.
        policies: of this signer.
        now: the time (UTC).
    """
    return next(filter(None, deciding(transaction, chain_id, key, policies, now)))


def deciding(
    transaction: ForeignTransaction, chain_id: bytes, key: PublicKey, policies: Policies, now: datetime
) -> Iterator[Decision | None]:
    """As `decide`, in steps: yield None after each action, each of which may take 1 to 2 ms, and the decision last."""
    policy = policies.by_key.get(key)
    if policy is None:
        yield Decision(
            allowed=False,
            rule="no-policy",
            text=f"{key.fc} signs nothing: no [[policies]] in the signer's configuration allows it anything",
            verdicts=(),
        )
        return
    spent: dict[tuple[str, str], int] = {}
    verdicts = []
    # Those above max_actions are not looked at: they are refused together.
    for action in transaction.actions[: policy.max_actions]:
        verdicts.append(_verdict(action, policy, spent))
        yield None
    yield _decision(tuple(verdicts), [*_general(transaction, chain_id, policy, now)], policy, key)


def _decision(
    verdicts: tuple[Verdict, ...], general: list[_Refusal], policy: Policy, key: PublicKey
) -> Decision:
    refusals = [*general, *_of_actions(verdicts)]
    who = f'the policy of "{policy.label}" ({key.fc})'
    if refusals:
        more = len(refusals) - _SHOWN_REFUSALS
        told = [each.text for each in refusals[:_SHOWN_REFUSALS]] + ([f"and {more} more"] if more > 0 else [])
        text = f"{who} refuses: {'; '.join(told)}"
        return Decision(allowed=False, rule=refusals[0].rule, text=text, verdicts=verdicts)
    rules = ",".join(dict.fromkeys(verdict.rule for verdict in verdicts))
    return Decision(allowed=True, rule=rules, text=f"{who} allows it: {rules}", verdicts=verdicts)


def _general(
    transaction: ForeignTransaction, chain_id: bytes, policy: Policy, now: datetime
) -> Iterator[_Refusal]:
    """What is refused whatever the actions are."""
    if chain_id != policy.chain_id:
        yield _Refusal(
            "chain", f"it is for the chain {chain_id.hex()}, and the key signs for {policy.chain} alone"
        )
    if transaction.expiration <= now:
        past = int((now - transaction.expiration).total_seconds())
        yield _Refusal("expired", f"it expired {past} s ago by the signer's clock")
    elif transaction.expiration - now > policy.max_expiration:
        ahead = int((transaction.expiration - now).total_seconds())
        most = int(policy.max_expiration.total_seconds())
        yield _Refusal("expiration", f"it expires in {ahead} s, and max_expiration_s is {most}")
    if transaction.delay_sec:
        yield _Refusal("delay", f"delay_sec is {transaction.delay_sec}, and nothing deferred is signed")
    if transaction.context_free_actions or transaction.context_free_data:
        yield _Refusal(
            "context-free", "it has context free actions or data (cleos adds one for --force-unique)"
        )
    if transaction.extensions:
        yield _Refusal("extension", "it has a transaction extension, and none is known here")
    if not transaction.actions:
        yield _Refusal("no-actions", "it has no actions")
    if len(transaction.actions) > policy.max_actions:
        yield _Refusal(
            "actions", f"it has {len(transaction.actions)} actions, and max_actions is {policy.max_actions}"
        )


def _of_actions(verdicts: tuple[Verdict, ...]) -> Iterator[_Refusal]:
    for number, verdict in enumerate(verdicts, 1):
        if verdict.refusal:
            action = f"action {number}, {verdict.action.account}::{verdict.action.name}"
            yield _Refusal(verdict.refusal, f"{action}: {'; '.join(verdict.reasons)}")


def _verdict(action: ForeignAction, policy: Policy, spent: dict[tuple[str, str], int]) -> Verdict:
    """Judge one action; add what it takes of each bound to `spent`, by rule and argument.

    What no rule is about is not decoded: that takes time, and the process that asks has blocks to sign.
    """
    rules = [rule for rule in policy.rules if rule.names(action)]
    if not rules:
        return Verdict(action, None, "", "no-rule", ("no rule is about this action",))
    known = rules[0].known
    try:
        value = known.abi.decode(known.kind, action.data)
    except FormatError as error:
        return Verdict(action, None, "", "unreadable-action", (f"it cannot be read: {error}",))
    assert isinstance(value, dict)  # noqa: S101 - for mypy; rules are about structs alone (abis.py)
    reasons = []
    for rule in rules:
        misfits = rule.misfits(action, value) or _overspent(rule, value, spent)
        if not misfits:
            return Verdict(action, value, rule.name, "", ())
        reasons.append(f'rule "{rule.name}": {"; ".join(misfits)}')
    return Verdict(action, value, "", "argument", tuple(reasons))


def _overspent(rule: Rule, arguments: dict[str, object], spent: dict[tuple[str, str], int]) -> list[str]:
    """Return which bounds an action passes with those before it; if none, count it."""
    found = []
    counted = {}
    for name, constraint in rule.constraints.items():
        if constraint.at_most is None or name not in arguments:
            continue
        at = (rule.name, name)
        try:
            counted[at] = spent.get(at, 0) + constraint.at_most.count(arguments[name])
        except FormatError as error:
            found.append(f"{name} {error}")
            continue
        if counted[at] > constraint.at_most.amount:
            before = ", with the actions before it" if spent.get(at) else ""
            found.append(
                f"{name} is {shown(arguments[name])}{before}, more than {constraint.at_most.text} in one transaction"
            )
    if not found:
        spent.update(counted)
    return found
