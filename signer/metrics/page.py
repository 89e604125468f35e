"""The page that Prometheus reads, made from what `signer status` shows. Pure.

Both the supervisor and the control process give it out; what a process that is gone would know is not on it. There is
no registry and no state: whoever counts does so where the thing happens (signer.supervisor.totals).
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from signer.metrics.metric import METRICS, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Status = dict[str, Any]
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_KINDS: Final[dict[str, type[Family]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}
_MS_PER_S: Final = 1000
#: A producer's turn: 12 blocks of 0.5 s (eosio config.hpp, producer_repetitions).
_ROUND_S: Final = 6
#: The states of a lane, so that each has a number also while there is none.
_LANE_STATES: Final = ("busy", "idle", "starting")


def render(status: Status) -> bytes:
    """Return the page for `status` (Supervisor.status) in Prometheus' text format."""
    page = _Page()
    for part in _PARTS:
        part(page, status)
    return generate_latest(page)


class _Page(Collector):
    """The samples of one scrape."""

    def __init__(self) -> None:
        self._families = {each.name: _family(each) for each in METRICS}

    def collect(self) -> Iterable[Family]:
        """Return every metric, also one without samples."""
        return self._families.values()

    def add(self, name: str, value: float | None, *labels: str) -> None:
        """Add a sample, unless its value is not known."""
        if value is not None:
            family = self._families[name]
            assert not isinstance(family, HistogramMetricFamily)  # noqa: S101 - add_histogram is for those
            family.add_metric(labels, value)

    def add_histogram(
        self, name: str, bounds: Sequence[float], counts: Sequence[int], total: float, *labels: str
    ) -> None:
        """Add a histogram; `counts` has one number for each bound and one for what is above the last."""
        family = self._families[name]
        assert isinstance(family, HistogramMetricFamily)  # noqa: S101 - as above
        names = [*(f"{bound:g}" for bound in bounds), "+Inf"]
        family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), total)


def _family(metric: Metric) -> Family:
    return _KINDS[metric.kind](metric.name, metric.help, labels=metric.labels)


def _signer(page: _Page, status: Status) -> None:
    page.add("signer_build_info", 1, status["version"])
    page.add("signer_start_time_seconds", status["started_at"])
    page.add("signer_problems", len(status["problems"]))
    for each in status["alarms"]:
        page.add("signer_alarm", 1, each["name"], each["subject"])
    for each in status["frozen"]:
        page.add("signer_frozen", 1, each["scope"], each["name"])
    disk = status["disk"]
    page.add("signer_state_free_bytes", disk["free_bytes"])
    page.add("signer_state_size_bytes", disk["size_bytes"])


def _processes(page: _Page, status: Status) -> None:
    if status["only"] != "control":
        page.add("signer_ready", status["ready"])
        page.add("signer_signing_process_up", status["answers"]["signing"])
        page.add("signer_signing_process_restarts_total", status["restarts"])
        page.add("signer_generation", status["generation"])
    if status["control"]["state"] != "off":
        page.add("signer_control_process_up", status["answers"]["control"])
        page.add("signer_control_process_restarts_total", status["control"]["restarts"])


def _requests(page: _Page, status: Status) -> None:
    counters = status["counters"]
    keys = {each["public_key"]: each for each in status["keys"]}
    for each in counters["decisions"]:
        key = keys.get(each["key"], {})
        labels = (each["key"], key.get("label", ""), key.get("role", ""), each["node"])
        page.add("signer_requests_total", each["count"], *labels, each["verdict"], each["rule"])
    for node, curves in status["latency"].items():
        for curve, latency in curves.items():
            bounds = [bound / _MS_PER_S for bound in latency["buckets_ms"]]
            total = latency["sum_ms"] / _MS_PER_S
            page.add_histogram(
                "signer_signature_duration_seconds", bounds, latency["counts"], total, node, curve
            )
            page.add("signer_signatures_above_timeout_total", latency["above_timeout"], node, curve)
    # A count that begins at its first event hides that event from increase().
    for node, curve in {(key["node"], key["curve"]) for key in status["keys"] if key["role"] == "block"}:
        if curve not in status["latency"].get(node, {}):
            page.add("signer_signatures_above_timeout_total", 0, node, curve)
    for node, terms in status["nodes"].items():
        page.add("signer_node_timeout_seconds", terms["timeout_ms"] / _MS_PER_S, node)
        page.add("signer_node_info", 1, node, terms["chain"])
    for curve, tries in counters["tries"].items():
        name = "signer_signature_tries"
        page.add_histogram(name, tries["buckets"], tries["counts"], tries["sum"], curve)
    page.add("signer_late_replies_total", counters.get("late_replies"))
    for outcome, count in counters.get("probes", {}).items():
        page.add("signer_probes_total", count, outcome)


def _keys(page: _Page, status: Status) -> None:
    for key in status["keys"]:
        labels = (key["public_key"], key["label"], key["role"], key["node"] or "")
        page.add("signer_key_state", 1, *labels, key["token"], key["state"])
        page.add("signer_key_last_signature_timestamp_seconds", key["last_signature_at"], *labels)


def _tokens(page: _Page, status: Status) -> None:
    """Of a half that does not run here by design the tokens are not down: another signer has them."""
    elsewhere = {"control"} if status["control"]["state"] == "off" else set()
    if status["only"] == "control":
        elsewhere.add("block")
    for name, token in status["tokens"].items():
        if token["purpose"] in elsewhere:
            continue
        page.add("signer_token_state", 1, name, token["purpose"], token["state"])
        page.add("signer_token_last_proof_timestamp_seconds", token["proved_at"], name)
        page.add("signer_lanes_configured", token["lanes_configured"], name)
        page.add("signer_lanes_lost_total", status["counters"]["lanes_lost"].get(name, 0), name)
        states = [lane["state"] for lane in token["lanes"]]
        for state in _LANE_STATES:
            page.add("signer_lanes", states.count(state), name, state)


def _guards(page: _Page, status: Status) -> None:
    if "repeated" in status["counters"]:
        page.add("signer_repeated_requests_total", status["counters"]["repeated"])
    for chain, guard in status["guards"].items():
        if guard["holder"] is not None:
            page.add("signer_lease_holder", 1, chain, guard["holder"])
        for rule in ("lease", "rate", "height"):
            page.add("signer_guard_mode", 1, chain, rule, guard[rule])
        for rule, count in guard["observed"].items():
            page.add("signer_guard_observed_total", count, chain, rule)


def _audit(page: _Page, status: Status) -> None:
    audit = status["audit"]
    page.add("signer_audit_lines_total", audit["seq"])
    page.add("signer_audit_waiting_lines", audit["waiting"])
    page.add("signer_audit_lost_lines_total", audit["lost"])
    page.add("signer_audit_degraded", bool(audit["degraded"]))


def _chains(page: _Page, status: Status) -> None:
    own = {key["public_key"] for key in status["keys"]}
    for chain, seen in status["chains"].items():
        page.add("signer_chain_seen_timestamp_seconds", seen["at"], chain)
        if not status["answers"]["control"]:
            continue  # what was seen is old, and nobody looks
        page.add("signer_chain_head_timestamp_seconds", seen["head_at"], chain)
        page.add("signer_round_seconds", seen["producers"] * _ROUND_S, chain)
        page.add("signer_scheduled", not own.isdisjoint(seen["active"]), chain)
        page.add("signer_producer_scheduled", bool(seen["active"]), chain)
        page.add("signer_slots_missed_in_row", seen["missed_in_row"], chain)
        page.add("signer_last_block_timestamp_seconds", seen["last_block_at"], chain)


def _production(page: _Page, status: Status) -> None:
    """What only the control process knows: while it does not answer, nothing of it is on the page."""
    production = status["production"]
    if production is not None:
        _blocks(page, production)
        _rotations(page, production)
        _rings(page, production, {key["public_key"] for key in status["keys"] if key["state"] == "active"})
        for listener, at in production["certificates"].items():
            page.add("signer_certificate_expiry_timestamp_seconds", at, listener)
        # An older control process, in an upgrade, does not know of them.
        for person, at in production.get("access_tokens", {}).items():
            page.add("signer_access_token_expiry_timestamp_seconds", at, person)
        page.add("signer_journal_readable", not production["journal_error"])


def _blocks(page: _Page, production: Status) -> None:
    for chain, slots in production["slots"].items():
        for outcome, count in slots.items():
            page.add("signer_slots_total", count, chain, outcome)
    for chain, authors in production["foreign"].items():
        for author, count in authors.items():
            page.add("signer_foreign_blocks_total", count, chain, author)


def _rotations(page: _Page, production: Status) -> None:
    for name, key in (
        ("signer_rotation_state_timestamp_seconds", "rotations"),
        ("signer_rotation_ended_timestamp_seconds", "ended"),
    ):
        for each in production[key]:
            page.add(name, each["since"], each["chain"], each["node"], each["kind"], each["state"])
    for each in production["evidence"]:
        page.add("signer_evidence_timestamp_seconds", each["at"], each["node"], each["key"], each["kind"])


def _rings(page: _Page, production: Status, active: set[str]) -> None:
    for node, ring in production["rings"].items():
        unused = len(active & set(ring["fresh"]))
        page.add("signer_ring_keys", unused, node, "unused")
        page.add("signer_ring_keys", len(ring["fresh"]) - unused, node, "unfit")
        page.add("signer_ring_keys", ring["used"], node, "used")
        page.add("signer_ring_low_water_keys", ring["low_water"], node)


_PARTS: Final[tuple[Callable[[_Page, Status], None], ...]] = (
    _signer,
    _processes,
    _requests,
    _keys,
    _tokens,
    _guards,
    _audit,
    _chains,
    _production,
)
