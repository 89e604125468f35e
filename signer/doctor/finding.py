"""One line of what the doctor says. A value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from signer.rotation.permission import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: its stable name.
        subject: what was looked at, such as a token or a node; empty where there is only one.
        verdict: `failure` makes a producer miss or leak, now or at the next restart; `warning` is unwise; `unknown`
            could not be looked at.
        text: what was seen, for a person.
        remedy: a command or a line of the configuration; empty where all is well.
    """

    check: str
    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""


def ok(check: str, subject: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, subject, Verdict.OK, text)


def failure(check: str, subject: str, text: str, remedy: str) -> Finding:
    """A producer misses or leaks."""
    return Finding(check, subject, Verdict.FAILURE, text, remedy)


def warning(check: str, subject: str, text: str, remedy: str) -> Finding:
    """It works and is unwise."""
    return Finding(check, subject, Verdict.WARNING, text, remedy)


def unknown(check: str, subject: str, text: str, remedy: str) -> Finding:
    """It could not be looked at; the remedy says how it can."""
    return Finding(check, subject, Verdict.UNKNOWN, text, remedy)


def unfit(check: str, subject: str, text: str, remedy: str, *, production: bool) -> Finding:
    """Good for a trial: a failure where blocks are produced."""
    return (failure if production else warning)(check, subject, text, remedy)


def unless(faults: Iterable[Finding], fine: Finding) -> Iterator[Finding]:
    """Yield `faults`, or `fine` where there are none."""
    found = list(faults)
    yield from found or [fine]
