"""How long signatures take against what each nodeos waits, and what to let it wait. Pure.

Requests of nodes are what counts. Where there were too few since the start, rounds of probe signatures stand in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from signer.config import DEFAULT_TIMEOUT_MS
from signer.doctor.finding import Finding, failure, ok, unknown, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from signer.config import Config

#: Blocks of a producer's round; fewer requests tell nothing.
ROUND: Final = 12
#: The slowest of a hundred signatures fits twice: K1 in SoftHSM has p99 5 ms and loses nothing at 10 (README, Figures).
_FACTOR: Final = 2
#: One in a hundred lost is no accident.
_LOST: Final = 0.01
_MAX_TIMEOUT_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Taken:
    """How long signatures of one node and curve took, in ms.

    Attributes:
        count: of them.
        above: those that were of no use, because nodeos had stopped waiting.
        source: what was measured, for a person.
        asked: whether nodes asked for them.
    """

    count: int
    p50: float
    p99: float
    worst: float
    above: int
    source: str
    asked: bool = True

    @property
    def recommended(self) -> int:
        """The keosd-provider-timeout that these figures ask for, in ms."""
        return min(_MAX_TIMEOUT_MS, max(DEFAULT_TIMEOUT_MS, math.ceil(_FACTOR * self.p99)))


def requested(latency: Mapping[str, Any], node: str, curve: str) -> Taken | None:
    """Return what `signer status` has of a node's requests, None where that is less than a round."""
    found = (latency.get(node) or {}).get(curve)
    if not found or found["count"] < ROUND:
        return None
    return Taken(
        found["count"],
        found["p50_ms"],
        found["p99_ms"],
        found["worst_ms"],
        found["above_timeout"],
        "requests of the node",
    )


def measured(times_ms: Sequence[float], limit_ms: float) -> Taken | None:
    """Return what probe signatures come to, None where there were none.

    Args:
        times_ms: how long each took.
        limit_ms: after which it would have been of no use.
    """
    if not times_ms:
        return None
    ordered = sorted(times_ms)
    above = sum(each > limit_ms for each in ordered)
    middle, last = ordered[(len(ordered) - 1) // 2], ordered[-1]
    return Taken(
        len(ordered), middle, last, last, above, "probe signatures, one round after a silence", asked=False
    )


def missing(config: Config, latency: Mapping[str, Any], nodes: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of token and curve whose nodes have not asked often enough, and that may be measured."""
    found = []
    for key in config.keys:
        if key.node is None or key.node not in nodes:
            continue
        curve = key.public_key.curve.value
        probed = any(
            each.role == "probe" and each.token == key.token and each.public_key.curve.value == curve
            for each in config.keys
        )
        pair = (key.token, curve)
        if requested(latency, key.node, curve) is None and probed and config.tokens[key.token].software:
            found.append(pair)
    return list(dict.fromkeys(found))


def check(
    config: Config,
    nodes: Sequence[str],
    latency: Mapping[str, Any],
    probes: Mapping[tuple[str, str], Sequence[float]],
    *,
    busy: bool,
) -> Iterator[Finding]:
    """Yield one line for each node and curve.

    Args:
        config: the configuration.
        nodes: the nodes to look at.
        latency: of `signer status`.
        probes: times of probe signatures in ms, by token and curve.
        busy: whether the machine has more to do than it can: then probes say nothing of another day.
    """
    for node in nodes:
        own = [key for key in config.keys if key.role == "block" and key.node == node]
        for curve in sorted({key.public_key.curve.value for key in own}):
            limit = config.nodes[node].timeout_ms - config.nodes[node].margin_ms
            tokens = dict.fromkeys(key.token for key in own if key.public_key.curve.value == curve)
            times = [time for token in tokens for time in probes.get((token, curve), ())]
            taken = requested(latency, node, curve) or measured(times, limit)
            yield _judge(node, curve, config.nodes[node].timeout_ms, taken, busy=busy)


def _judge(node: str, curve: str, timeout_ms: int, taken: Taken | None, *, busy: bool) -> Finding:
    subject = f"{node} {curve}"
    if taken is None:
        return unknown(
            "latency",
            subject,
            f"fewer than {ROUND} requests since the signer started, and nothing was measured",
            "look again after a round of this node; software tokens are measured without --quick",
        )
    text = (
        f"{taken.count} {taken.source}: p50 {taken.p50:.1f}, p99 {taken.p99:.1f}, longest {taken.worst:.1f} ms; "
        f"{taken.above} too late; nodeos waits {timeout_ms} ms"
    )
    remedy = (
        f"keosd-provider-timeout = {taken.recommended} in config.ini of {node}, restart it, then "
        f"[nodes.{node}] timeout_ms = {taken.recommended} and signer reload; runbook, Late signatures"
    )
    if taken.recommended <= timeout_ms and taken.above:
        # What was slow is over, or was not the token: a lane that was replaced, load.
        remedy = "see the lines of tokens, load and priority; runbook, Late signatures"
    elif taken.above and taken.asked and _FACTOR * taken.p50 <= timeout_ms:
        # Half were quick: a module that hung for a while makes this, and no longer time would have helped.
        remedy = f"see the lines of keys, tokens and load first; if they are well and it goes on: {remedy}"
    if busy and not taken.asked and (taken.above or taken.recommended > timeout_ms):
        remedy = (
            f"measure again when the machine is not busy: signer doctor --node {node}; see the line of load"
        )
        return warning("latency", subject, f"{text}; measured on a busy machine", remedy)
    if taken.above > max(1, taken.count * _LOST):
        return failure("latency", subject, text, remedy)
    if taken.above or taken.recommended > timeout_ms:
        return warning("latency", subject, text, remedy)
    return ok("latency", subject, f"{text}; recommended {taken.recommended}")
