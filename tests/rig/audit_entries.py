"""Entries for the tests of the audit log."""

from __future__ import annotations

from signer.signing.audit import Decision, Verdict

AT = "2026-01-02T03:04:05.000006Z"
KEYS = ("PUB_R1_one", "PUB_K1_two")


def signed(key: str, number: int = 0) -> Decision:
    """Return a decision that signed."""
    return Decision(
        at=AT,
        verdict=Verdict.SIGNED,
        caller="uid 1000 pid 22",
        node="primary",
        key=key,
        role="block",
        digest=f"{number:064x}",
        signature="SIG_R1_text",
        lane="primary/0",
        tries=1,
        micros=420,
    )


def refused(key: str | None) -> Decision:
    """Return a decision that refused."""
    return Decision(at=AT, verdict=Verdict.REFUSED, caller="127.0.0.1:40000", key=key, rule="unknown_key")
