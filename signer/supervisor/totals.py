"""What the signer did since it started, counted from the decisions that reach the audit log.

Here and not in the signing process: nothing of it runs while nodeos waits, a reload begins no count anew, and a signing
process that dies takes no count with it but what its last audit lines are of. Rehearsals and probes make no decision,
so none is counted. Every name that becomes a label is one of the configuration's or of the code: a caller adds none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from signer.signing.audit import Verdict
from signer.supervisor.latency import Latency

if TYPE_CHECKING:
    from signer.config import Config

#: Upper bounds of tries per signature. One lane alone needs two for K1 on average, 7 once in a hundred, 14 once in ten
#: thousand.
TRIES: Final = (1, 2, 3, 4, 5, 7, 10, 14)


class Totals:
    """All counts of one supervisor.

    Args:
        config: whose keys and nodes are counted one by one.
    """

    def __init__(self, config: Config) -> None:
        self._decisions: Counter[tuple[str, str, str, str]] = Counter()
        self._latency: dict[tuple[str, str], Latency] = {}
        self._tries: dict[str, list[int]] = {}
        self._operations: Counter[str] = Counter()
        self._lanes_lost: Counter[str] = Counter()
        self.configured(config)

    def configured(self, config: Config) -> None:
        """Take another configuration; what was counted stays."""
        self._curves = {str(key.public_key): key.public_key.curve.value for key in config.keys}
        self._timeouts = {name: round(node.timeout_ms * 1000) for name, node in config.nodes.items()}

    def decision(self, entry: dict[str, Any]) -> None:
        """Count one decision (signer.signing.service.Decision as a dict)."""
        key, node, verdict = entry["key"], entry["node"], entry["verdict"]
        curve = self._curves.get(key, "")
        self._decisions[key if curve else "", node, verdict, entry["rule"]] += 1
        signed = verdict == Verdict.SIGNED
        if not curve or not (signed or verdict == Verdict.LATE):
            return
        if signed:
            self._count_tries(curve, entry["tries"])
        if node in self._timeouts:
            latency = self._latency.setdefault((node, curve), Latency())
            latency.add(entry["micros"], self._timeouts[node], late=not signed)

    def lane_lost(self, token: str) -> None:
        """Count a lane that ended, failed or hung, and was replaced."""
        self._lanes_lost[token] += 1

    @property
    def late(self) -> int:
        """Signatures that came too late and were not sent."""
        return sum(count for (_, _, verdict, _), count in self._decisions.items() if verdict == Verdict.LATE)

    def latency(self) -> dict[str, Any]:
        """Return by node and curve what Latency.state returns."""
        nodes: dict[str, Any] = {}
        for (node, curve), latency in self._latency.items():
            nodes.setdefault(node, {})[curve] = latency.state()
        return nodes

    def state(self) -> dict[str, Any]:
        """Return the counts.

        `decisions` has one item for each key (PUB_ form, empty for one that is not configured), node, verdict and
        rule. `tries` has the HSM operations of signatures, by curve, in the form of a histogram.
        """
        verdicts: Counter[str] = Counter()
        rules: Counter[str] = Counter()
        for (_, _, verdict, rule), count in self._decisions.items():
            verdicts[verdict] += count
            if rule:
                rules[rule] += count
        return {
            "verdicts": dict(verdicts),
            "rules": dict(rules),
            "decisions": [
                {"key": key, "node": node, "verdict": verdict, "rule": rule, "count": count}
                for (key, node, verdict, rule), count in self._decisions.items()
            ],
            "tries": {
                curve: {"buckets": list(TRIES), "counts": list(counts), "sum": self._operations[curve]}
                for curve, counts in self._tries.items()
            },
            "lanes_lost": dict(self._lanes_lost),
        }

    def _count_tries(self, curve: str, tries: int) -> None:
        counts = self._tries.setdefault(curve, [0] * (len(TRIES) + 1))
        counts[bisect_left(TRIES, tries)] += 1
        self._operations[curve] += tries
