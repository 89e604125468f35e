"""The audit log: is it written, does its end hold. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from signer.doctor.finding import Finding, failure, ok, unknown, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from signer.doctor.facts import AuditFact

#: Entries that wait for the disk: a queue that does not empty. One batch is at most a hundred.
_WAITING: Final = 1_000


def check(path: str, state: Mapping[str, Any] | None, tail: AuditFact) -> Iterator[Finding]:
    """Yield what is known of the audit log.

    Args:
        path: where it is.
        state: what the running signer says of it; None while it does not answer.
        tail: its end, read.
    """
    if state is not None:
        yield _writing(state)
    if tail.aside:
        yield warning(
            "audit-aside",
            "",
            f"{len(tail.aside)} files did not hold and were taken out of its way: {', '.join(tail.aside[:3])}",
            "signer audit verify FILE names the line: somebody changed or cut it, two signers wrote there "
            "(pgrep -af 'signer serve'), or the disk failed; runbook, Audit log",
        )
    if tail.problem:
        yield unknown("audit-log", "", tail.problem, "run this as root or as the signer's user")
    elif tail.fault:
        yield failure(
            "audit-log",
            "",
            f"its last lines do not hold: {tail.fault}",
            f"signer audit verify {path}; runbook, Audit log. Keep the file as it is",
        )
    else:
        yield ok("audit-log", "", f"its last {tail.lines} lines follow from each other")


def _writing(state: Mapping[str, Any]) -> Finding:
    if state.get("degraded"):
        return failure(
            "audit-writes",
            "",
            f"it is not written: {state['degraded']}; signatures go on without it",
            "make room, or give the folder back to the signer's user; do not stop it before; runbook, Disk and files",
        )
    if state.get("lost"):
        return failure(
            "audit-writes",
            "",
            f"{state['lost']} entries were lost since the signer started",
            "look at the disk and at the signer's log; the gap itself is in the audit log; runbook, Disk and files",
        )
    waiting = int(state.get("waiting") or 0)
    if waiting > _WAITING:
        return failure(
            "audit-writes",
            "",
            f"{waiting} entries wait for the disk",
            "look at the disk: iostat -x 1; runbook, Disk and files",
        )
    return ok("audit-writes", "", f"written, {waiting} entries wait, none lost")
