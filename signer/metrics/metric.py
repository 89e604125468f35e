"""Every metric that the signer has: name, labels, what it says. README has the same table; a test compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: What a scrape is answered with (Prometheus text format 0.0.4).
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `kind` as Prometheus has it; a counter's name ends in `_total`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


_KEY: Final = ("key", "label", "role", "node")

#: In the order of the page. Label values are names of the configuration or of the code, so their number is bounded.
METRICS: Final = (
    Metric("signer_build_info", "gauge", "1; the version that runs.", ("version",)),
    Metric("signer_start_time_seconds", "gauge", "When the supervisor started, in s since 1970."),
    Metric("signer_ready", "gauge", "1 while every node has a key that can sign, 0 otherwise."),
    Metric("signer_problems", "gauge", "Sentences under `attention:` in signer status."),
    Metric("signer_alarm", "gauge", "1 for each alarm in force.", ("name", "subject")),
    Metric(
        "signer_frozen", "gauge", "1 for each freeze in force; scope is all, node or key.", ("scope", "name")
    ),
    Metric("signer_signing_process_up", "gauge", "1 while the signing process answers the supervisor."),
    Metric("signer_signing_process_restarts_total", "counter", "Signing processes that ended unasked."),
    Metric("signer_generation", "gauge", "Signing processes started, reloads among them."),
    Metric("signer_control_process_up", "gauge", "1 while the control process answers the supervisor."),
    Metric("signer_control_process_restarts_total", "counter", "Control processes that ended unasked."),
    Metric(
        "signer_requests_total",
        "counter",
        "Requests to sign, by what became of them: verdict signed, repeated, refused, failed or late, and the rule "
        "that said no. An empty key is one that is not configured.",
        (*_KEY, "verdict", "rule"),
    ),
    Metric(
        "signer_signature_duration_seconds",
        "histogram",
        "From a request's first byte to its answer. A signature that came too late, and was not sent, counts above "
        "the last bucket.",
        ("node", "curve"),
    ),
    Metric(
        "signer_signatures_above_timeout_total",
        "counter",
        "Signatures that were late or longer on their way than the node's timeout: blocks that nodeos dropped.",
        ("node", "curve"),
    ),
    Metric(
        "signer_node_timeout_seconds", "gauge", "The node's keosd-provider-timeout, as configured.", ("node",)
    ),
    Metric("signer_node_info", "gauge", "1; the chain of each node.", ("node", "chain")),
    Metric(
        "signer_signature_tries",
        "histogram",
        "Token operations of the lane that made a signature, and of lanes that failed before; those that raced it and "
        "lost are not counted.",
        ("curve",),
    ),
    Metric(
        "signer_late_replies_total",
        "counter",
        "Token operations that ended after their request, since the signing process started.",
    ),
    Metric(
        "signer_probes_total",
        "counter",
        "Proofs asked for by people and rotations that a block key can sign, since the signing process started.",
        ("outcome",),
    ),
    Metric("signer_key_state", "gauge", "1 for the state that each key is in.", (*_KEY, "token", "state")),
    Metric(
        "signer_key_last_signature_timestamp_seconds",
        "gauge",
        "When each key last signed for a caller.",
        _KEY,
    ),
    Metric(
        "signer_token_state", "gauge", "1 for the state that each token is in.", ("token", "purpose", "state")
    ),
    Metric(
        "signer_token_last_proof_timestamp_seconds",
        "gauge",
        "When a token last made a signature that verified: for a caller, a rehearsal or a probe.",
        ("token",),
    ),
    Metric("signer_lanes", "gauge", "Logged-in sessions of each token, by state.", ("token", "state")),
    Metric("signer_lanes_configured", "gauge", "Sessions that each token should have.", ("token",)),
    Metric(
        "signer_lanes_lost_total",
        "counter",
        "Sessions that ended, failed or hung, and were replaced.",
        ("token",),
    ),
    Metric(
        "signer_lease_holder",
        "gauge",
        "1 for the node that holds the lease of a producer.",
        ("chain", "node"),
    ),
    Metric(
        "signer_guard_mode",
        "gauge",
        "1 for the mode of each guard of a producer: off, observe or enforce.",
        ("chain", "rule", "mode"),
    ),
    Metric(
        "signer_guard_observed_total",
        "counter",
        "What a guard saw and did not refuse, since the signing process started.",
        ("chain", "rule"),
    ),
    Metric(
        "signer_repeated_requests_total",
        "counter",
        "Requests for a digest that the same key had signed minutes before, since the signing process started.",
    ),
    Metric("signer_audit_lines_total", "counter", "Lines of the audit log, from its first one on."),
    Metric("signer_audit_waiting_lines", "gauge", "Audit lines that are not on disk yet."),
    Metric("signer_audit_lost_lines_total", "counter", "Audit lines that could not be kept."),
    Metric("signer_audit_degraded", "gauge", "1 while the audit log cannot be written."),
    Metric("signer_state_free_bytes", "gauge", "Free space of the file system with the state folder."),
    Metric("signer_state_size_bytes", "gauge", "Size of the file system with the state folder."),
    Metric(
        "signer_slots_total",
        "counter",
        "Slots of our producer since the control process started, once they are irreversible: signed by this signer, "
        "other (a block with another signature) or missed.",
        ("chain", "outcome"),
    ),
    Metric(
        "signer_foreign_blocks_total",
        "counter",
        "Blocks with a key of this signer whose signature it did not remember, by who gave it as the audit log tells; "
        "since the control process started.",
        ("chain", "author"),
    ),
    Metric(
        "signer_slots_missed_in_row",
        "gauge",
        "Newest slots of our producer without a block, one after the other.",
        ("chain",),
    ),
    Metric(
        "signer_last_block_timestamp_seconds",
        "gauge",
        "Slot of our producer's newest block.",
        ("chain",),
    ),
    Metric(
        "signer_scheduled",
        "gauge",
        "1 while the active schedule has a key of this signer, 0 while it has none.",
        ("chain",),
    ),
    Metric(
        "signer_producer_scheduled",
        "gauge",
        "1 while our producer is in the active schedule, with whichever signer's key; 0 while it is not.",
        ("chain",),
    ),
    Metric("signer_round_seconds", "gauge", "A round of all producers in the active schedule.", ("chain",)),
    Metric("signer_chain_seen_timestamp_seconds", "gauge", "When the chain was last seen.", ("chain",)),
    Metric(
        "signer_chain_head_timestamp_seconds", "gauge", "Slot of the head block that was seen.", ("chain",)
    ),
    Metric(
        "signer_rotation_state_timestamp_seconds",
        "gauge",
        "Since when each live rotation is in its state.",
        ("chain", "node", "kind", "state"),
    ),
    Metric(
        "signer_rotation_ended_timestamp_seconds",
        "gauge",
        "When the last rotation of each chain ended, and how.",
        ("chain", "node", "kind", "state"),
    ),
    Metric(
        "signer_ring_keys",
        "gauge",
        "Keys of each node's ring: unused (one for each night), unfit (never used, does not sign now) or used.",
        ("node", "state"),
    ),
    Metric("signer_ring_low_water_keys", "gauge", "rotation.ring_low_water of the configuration.", ("node",)),
    Metric(
        "signer_evidence_timestamp_seconds",
        "gauge",
        "When it was last seen that a nodeos lists a key (signed, file) or does not (unlisted).",
        ("node", "key", "kind"),
    ),
    Metric(
        "signer_certificate_expiry_timestamp_seconds",
        "gauge",
        "End of the certificate that a control listener serves.",
        ("listener",),
    ),
    Metric(
        "signer_access_token_expiry_timestamp_seconds",
        "gauge",
        "End of each person's access token.",
        ("person",),
    ),
    Metric("signer_journal_readable", "gauge", "1 while the journal of rotations can be read."),
)
