"""What our nodeos list: on this host read now, elsewhere by evidence and its age. Pure.

nodeos reads its signature providers once, at its start, and no API names them. A key that is not listed does not
produce, and a provider with a host name can hang nodeos (signer.rotation.listing).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from signer.doctor.finding import Finding, failure, ok, unfit, unknown, unless, warning
from signer.rotation.permission import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from signer.config import Config
    from signer.doctor.facts import NodeosFact

#: Findings of signer.rotation.listing that make a nodeos miss blocks, or keep a key where it can leak.
_GRAVE = frozenset({"producer-name", "key-in-memory", "url", "other-listener", "other-key", "finalizer-key"})


def check(
    config: Config,
    nodes: Sequence[str],
    here: Sequence[NodeosFact],
    evidence: Mapping[str, Any] | None,
    *,
    silence: str,
    now: datetime,
) -> Iterator[Finding]:
    """Yield what is known of what each node lists.

    Args:
        config: the configuration.
        nodes: the nodes to look at.
        here: the nodeos on this host.
        evidence: what `/v1/nodes` says; None where nobody tells.
        silence: why nobody does.
        now: the local time (UTC).
    """
    known = {str(each.get("name")): each for each in (evidence or {}).get("nodes", [])}
    for name in nodes:
        own = [fact for fact in here if fact.node == name]
        if len(own) > 1:
            yield _twice(name, own)
        for fact in own:
            yield from _here(name, fact)
        if not own:
            yield _elsewhere(config, name, known.get(name), silence, now)
    for fact in here:
        if fact.problem:
            yield unknown("config-lines", f"pid {fact.pid}", fact.problem, "run this as root")


def _twice(name: str, facts: Sequence[NodeosFact]) -> Finding:
    """Two nodeos with the keys of one node produce at the same time, each its own block."""
    pids = " and ".join(str(fact.pid) for fact in facts)
    return failure(
        "double",
        name,
        f"{len(facts)} nodeos on this host list its keys: processes {pids}. Both produce, so blocks are signed twice",
        f"stop one of them, and take the keys of {name} out of its config.ini",
    )


def _here(name: str, fact: NodeosFact) -> Iterator[Finding]:
    at = f"nodeos {fact.pid} on this host"
    faults = [
        (failure if rule in _GRAVE else warning)("config-lines", name, f"{at}: {text}", remedy)
        for rule, text, remedy in fact.findings
    ]
    fine = ok("config-lines", name, f"{at} lists {fact.listed} of {fact.keys} keys, by IP address or socket")
    yield from unless(faults, fine)


def _elsewhere(
    config: Config, name: str, known: Mapping[str, Any] | None, silence: str, now: datetime
) -> Finding:
    attest = f"on the node's host: signer nodes attest {name} --config-ini FILE --pid PID"
    if known is None:
        return unknown("config-lines", name, f"its evidence is not known: {silence}", _token_remedy(silence))
    keys = known.get("keys") or []
    unlisted = [str(key["key"]) for key in keys if key.get("kind") == "unlisted"]
    if unlisted:
        count = f"{len(unlisted)} of {len(keys)}"
        text = f"its nodeos could not use {count} keys when somebody looked: {', '.join(unlisted)}"
        return warning(
            "config-lines",
            name,
            text,
            f"signer nodes config {name} prints the lines; restart that nodeos with them, then {attest}",
        )
    proven = [key for key in keys if key.get("proof")]
    if len(proven) == len(keys) and keys:
        oldest = min(datetime.fromisoformat(str(key["at"])) for key in keys)
        hours = (now - oldest).total_seconds() / 3600
        return ok(
            "config-lines", name, f"it lists {len(keys)} of {len(keys)} keys; oldest proof {hours:.0f} h old"
        )
    old = [key for key in keys if key.get("kind") in ("file", "signed") and not key.get("proof")]
    what = (
        f"{len(old)} proofs are older than {config.rotation.evidence_max_age_h} h" if old else "nobody looked"
    )
    return warning(
        "config-lines",
        name,
        f"only {len(proven)} of {len(keys)} keys are known to be listed by its nodeos: {what}",
        attest,
    )


def _token_remedy(silence: str) -> str:
    if "no access token" in silence or "sgn_" in silence:
        return "signer token create NAME --scope view --out FILE, then signer doctor --token-file FILE"
    if "API node" in silence:
        return "see the lines of api; runbook, Chain not seen"
    return "see the line of the control process"


def permission(
    config: Config, told: Mapping[str, Any] | None, silence: str, chain: str, *, production: bool
) -> Iterator[Finding]:
    """Yield what `/v1/permissions/CHAIN` says: the permission on chain, its keys, and the paths around it.

    Args:
        config: the configuration.
        told: the answer; None where nobody tells.
        silence: why nobody does.
        chain: the chain's name.
        production: whether a permission with one key is a failure.
    """
    if config.chains[chain].producer is None:
        return
    if told is None:
        yield unknown("permission", chain, f"nobody tells: {silence}", _token_remedy(silence))
        return
    checks = told.get("checks") or []
    faults = []
    for each in checks:
        subject, text, remedy = f"{chain} {each['name']}", str(each["text"]), str(each["remedy"])
        if each["verdict"] == Verdict.FAILURE:
            faults.append(failure("permission", subject, text, remedy))
        elif each["verdict"] == Verdict.WARNING:
            faults.append(unfit("permission", subject, text, remedy, production=production))
        elif each["verdict"] == Verdict.UNKNOWN:
            faults.append(unknown("permission", subject, text, remedy))
    fine = f"{told.get('producer')}@{told.get('permission')} is as it should be, in {len(checks)} points"
    yield from unless(faults, ok("permission", chain, fine))


def rings(
    config: Config, told: Mapping[str, Any] | None, silence: str, nodes: Sequence[str]
) -> Iterator[Finding]:
    """Yield how many fresh keys each node has left, by `/v1/rings`."""
    if told is None:
        yield unknown("ring", "", f"nobody tells: {silence}", _token_remedy(silence))
        return
    for ring in told.get("rings") or []:
        node, left = str(ring["node"]), int(ring["nights_left"])
        if node not in nodes:
            continue
        token = next((key.token for key in config.keys if key.node == node), "TOKEN")
        generate = f"signer keys generate --node {node} --token {token} --label LABEL --append"
        remedy = f"{generate}; runbook, Add a key"
        text = f"{left} fresh {ring['curve']} keys, one for each cycle"
        if left == 0:
            yield warning("ring", node, f"{text}: a cycle is refused", remedy)
        elif ring["low"]:
            yield warning(
                "ring", node, f"{text}; fewer than ring_low_water = {config.rotation.ring_low_water}", remedy
            )
        else:
            yield ok("ring", node, text)
