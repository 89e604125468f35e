"""What the audit log says was signed in a while, and of which signatures it cannot say. Pure but for `read`.

It verifies nothing: that is `signer audit verify`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from signer.signing.audit import (
    ACT,
    AT,
    ENTRIES_LOST,
    KEY,
    KIND,
    NODE,
    OF_THE_WRITER,
    ROLE,
    SEQ,
    SIGNATURE,
    SIGNED,
    SIGNING_ENDED,
    START,
    STOP,
    UNTIL,
    VERDICT,
    ChainError,
    Kind,
    Verdict,
    parse,
    timestamp,
)
from signer.signing.audit_reader import lines_since

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: The clock of the log and the slots of the chain may differ by this: a block is signed up to 0.5 s before its slot.
LEEWAY: Final = timedelta(seconds=5)
#: What a line of interest has, as the log's one way to write it puts it (audit.serialise).
_MARKS: Final = (b'"verdict":"signed"', b'{"kind":"act"', b'{"kind":"gap"')


#: Acts that are written before a start, about what was there: they say nothing of how long the signer ran.
_OF_NO_SIGNER: Final = OF_THE_WRITER | {"token-create", "token-revoke"}
#: Signatures on their way to the log when a process is killed or the power fails: 0.06 s and two syncs of the disk
#: (signer.supervisor.audit), in which a producer has one slot, or two where the disk is slow.
LOST_AT_A_KILL: Final = 2


class Issuance(NamedTuple):
    """A signature that was given."""

    key: str
    node: str
    role: str
    at: datetime


class Hole(NamedTuple):
    """A while of which signatures may be missing in the log: `at_most` of them, None: nobody knows how many."""

    since: datetime
    until: datetime
    at_most: int | None
    reason: str


@dataclass(slots=True)
class Ledger:
    """Signatures in a part of the log.

    Attributes:
        begins: when the log, or the part that was read, begins. None: it is empty.
        issued: each signature (SIG_ text).
        holes: where some may be missing.
    """

    begins: datetime | None = None
    issued: dict[str, Issuance] = field(default_factory=dict)
    holes: list[Hole] = field(default_factory=list)

    @classmethod
    def of(cls, lines: Iterable[bytes]) -> Ledger:
        """Return the ledger of the lines of a log."""
        ledger = cls()
        stopped = True
        last: datetime | None = None
        for line in lines:
            if ledger.begins is not None and not any(mark in line for mark in _MARKS):
                continue
            try:
                fields = parse(line)
            except ChainError:
                continue  # `signer audit verify` says what is wrong with it
            at = _moment(fields[AT])
            if ledger.begins is None:
                ledger.begins = at
                # What begins later than the log may begin in the middle of a signer's life.
                stopped, last = fields[SEQ] == 1, at
            if fields[KIND] == Kind.DECISION and fields[VERDICT] == Verdict.SIGNED:
                ledger.issued[str(fields[SIGNATURE])] = Issuance(
                    str(fields[KEY]), str(fields[NODE] or ""), str(fields[ROLE] or ""), at
                )
            elif fields[KIND] == Kind.GAP and fields[SIGNED]:
                ledger.holes.append(Hole(at, _moment(fields[UNTIL]), None, "the log lost lines then"))
            elif fields[KIND] == Kind.ACT:
                if fields[ACT] == ENTRIES_LOST:
                    reason = "the signer ended while the disk took nothing"
                    ledger.holes.append(Hole(last if last is not None else at, at, None, reason))
                if fields[ACT] in _OF_NO_SIGNER:
                    continue
                hole, stopped = _after(str(fields[ACT]), at, None if stopped else last, stopped=stopped)
                ledger.holes += [hole] if hole is not None else []
            last = at
        return ledger

    def holes_at(self, moment: datetime) -> list[Hole]:
        """Return the holes that a block of that time may have its signature in."""
        return [each for each in self.holes if each.since - LEEWAY <= moment <= each.until + LEEWAY]


def read(path: Path, since: datetime) -> Ledger:
    """Return what the log at `path` has from `since` on; with a start before that where one file holds both.

    Raises:
        AuditError: the log cannot be read.
    """
    return Ledger.of(lines_since(path, timestamp(since)))


def _after(act: str, at: datetime, ran_until: datetime | None, *, stopped: bool) -> tuple[Hole | None, bool]:
    """Return the hole that an act tells of, and whether no signer runs after it.

    Args:
        act: its name.
        at: when.
        ran_until: the last sign of life of a signer that did not stop in order; None: there was none.
        stopped: whether no signer ran before it.
    """
    if act == SIGNING_ENDED:
        return Hole(at, at, LOST_AT_A_KILL, "the signing process ended then"), stopped
    if act == START and ran_until is not None:
        return Hole(ran_until, at, LOST_AT_A_KILL, "the signer was killed then"), False
    return None, act == STOP or (stopped and act != START)


def _moment(value: object) -> datetime:
    return datetime.fromisoformat(str(value))
