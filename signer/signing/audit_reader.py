"""Reads an audit log and says what holds: streaming, in bounded memory, whatever is in the file."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final

from signer.errors import AuditError
from signer.signing.audit import (
    ACT,
    AT,
    DETAIL,
    KIND,
    LOG_DAMAGED,
    LOG_MISSING,
    LOST,
    MAX_KEYS,
    MAX_LINE,
    SEQ,
    SYNC_FAILED,
    TORN_TAIL,
    UNTIL,
    Anchor,
    Chain,
    ChainError,
    FaultKind,
    Fields,
    Kind,
    line_hash,
    parse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Notes kept in a report; a log with more has its first ones.
MAX_NOTES: Final = 100
#: A running signer's write(2) may be half visible for microseconds: how often to look again, 5 ms apart.
_LOOKS: Final = 20
_LOOK_SECONDS: Final = 0.005
_NOTED_ACTS: Final = frozenset({TORN_TAIL, LOG_DAMAGED, LOG_MISSING, SYNC_FAILED})


@dataclass(frozen=True, slots=True)
class Fault:
    """The first line that is not as it must be: its number in the file, counted from 1, and what is wrong."""

    line: int
    kind: FaultKind
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found.

    Attributes:
        path: the log.
        entries: lines that hold, from the first on.
        head: SHA-256 of the last of them, hex.
        first_at: time of the first, None for an empty log.
        last_at: time of the last that holds.
        counters: signatures per key in the lines that hold.
        anchored: line that an anchor proves, with all before it.
        fault: what is wrong first, or None.
        notes: what the signer itself wrote about losses and repairs.
    """

    path: str
    entries: int
    head: str
    first_at: str | None
    last_at: str | None
    counters: dict[str, int]
    anchored: int | None
    fault: Fault | None
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no line is at fault."""
        return self.fault is None

    @property
    def verdict(self) -> str:
        """One sentence: what is known, and what cannot be."""
        if self.fault is not None:
            return f"fault at line {self.fault.line}: {self.fault.kind}: {self.fault.message}"
        if self.anchored is None:
            return f"consistent up to {self.entries}, tail not provable"
        if self.anchored == self.entries:
            return f"consistent up to {self.entries}, proved by the anchor"
        return f"consistent up to {self.entries}, proved up to {self.anchored}, tail after it not provable"

    def to_json(self) -> dict[str, object]:
        """Return the report as a JSON object."""
        return {"ok": self.ok, "verdict": self.verdict, **asdict(self)}

    def lines(self) -> list[str]:
        """Return the report as lines for a person."""
        text = [f"{self.path}: {self.verdict}"]
        if self.first_at is not None:
            text.append(f"from {self.first_at} to {self.last_at}")
        text += [f"signatures {count}  {key}" for key, count in sorted(self.counters.items())]
        return text + [f"note: {note}" for note in self.notes]


def verify(path: Path, anchor: Anchor | None = None) -> Report:
    """Check every line of the log at `path`, and that the anchored line is in it.

    A running signer may write the log meanwhile.

    Raises:
        AuditError: the file cannot be read at all. What is wrong inside it is in the report.
    """
    chain = Chain()
    progress = _Progress(path, anchor)
    with _open(path) as stream:
        try:
            for number, line in enumerate(_lines(stream), 1):
                progress.number = number
                whole = _whole(stream, line)
                progress.compare(whole)
                progress.take(chain.accept(whole))
                if len(chain.counters) > MAX_KEYS:
                    raise ChainError(FaultKind.COUNTER, f"more than {MAX_KEYS} keys")
            progress.end(chain)
        except ChainError as error:
            kind = error.kind
            if kind is FaultKind.LOSS and _comes_later(stream, chain.seq + 1):
                kind = FaultKind.REORDER
            progress.fault = Fault(progress.number, kind, str(error))
        except OSError as error:
            raise AuditError(f"audit log {path} cannot be read: {error.strerror}") from None
    return progress.report(chain)


def anchor(path: Path) -> Anchor:
    """Return an anchor for the last line of the log at `path`, after verifying all of it.

    Raises:
        AuditError: the file cannot be read, or does not verify; an anchor would vouch for it.
    """
    report = verify(path)
    if not report.ok:
        raise AuditError(f"audit log {path} does not verify: {report.verdict}")
    return Anchor(report.entries, report.head)


def tail(path: Path, size: int) -> Iterator[bytes]:
    """Yield the lines in the last `size` bytes of the log at `path` as it is now, in order. Nothing is verified.

    The first may be the end of a line only, the last the beginning of one that is being written.

    Raises:
        AuditError: the file cannot be read.
    """
    with _open(path) as stream:
        try:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, end - size))
            for line in _lines(stream):
                yield line
                if stream.tell() >= end:
                    return  # what is written meanwhile is not waited for
        except OSError as error:
            raise AuditError(f"audit log {path} cannot be read: {error.strerror}") from None


class _Progress:
    def __init__(self, path: Path, anchored: Anchor | None) -> None:
        self.number = 0
        self.fault: Fault | None = None
        self._path = path
        self._anchor = anchored
        self._proved = anchored is not None and anchored.seq == 0
        self._first_at: str | None = None
        self._last_at: str | None = None
        self._notes: list[str] = []

    def take(self, fields: Fields) -> None:
        """Count a line that holds."""
        at = str(fields[AT])
        self._first_at = self._first_at or at
        self._last_at = at
        if (note := _note(fields)) is not None and len(self._notes) < MAX_NOTES:
            self._notes.append(note)

    def compare(self, line: bytes) -> None:
        """Compare the line with the anchor, if it is the anchored one."""
        if self._anchor is None or self._anchor.seq != self.number:
            return
        if line_hash(line) != self._anchor.hash:
            raise ChainError(FaultKind.EDIT, "not the anchored line: it or one before it was changed")
        self._proved = True

    def end(self, chain: Chain) -> None:
        """Find an anchored line that the log no longer has."""
        if self._anchor is not None and not self._proved:
            self.number += 1
            raise ChainError(
                FaultKind.LOSS,
                f"the log ends after {chain.seq} lines, the anchor proves {self._anchor.seq}",
            )

    def report(self, chain: Chain) -> Report:
        return Report(
            path=str(self._path),
            entries=chain.seq,
            head=chain.head,
            first_at=self._first_at,
            last_at=self._last_at,
            counters=dict(chain.counters),
            anchored=self._anchor.seq if self._anchor is not None and self._proved else None,
            fault=self.fault,
            notes=self._notes,
        )


def _note(fields: Fields) -> str | None:
    if fields[KIND] == Kind.GAP:
        return f"line {fields[SEQ]}: {fields[LOST]} entries lost from {fields[AT]} to {fields[UNTIL]}"
    if fields[KIND] == Kind.ACT and fields[ACT] in _NOTED_ACTS:
        # A terminal obeys what is not printable, and the log may be hostile.
        detail = "".join(char if char.isprintable() else "?" for char in str(fields[DETAIL]))
        return f"line {fields[SEQ]}: {fields[ACT]}: {detail}"
    return None


def _open(path: Path) -> BinaryIO:
    try:
        # Not to wait for a writer if somebody put a FIFO there.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise AuditError(f"audit log {path} is not a regular file")
        return os.fdopen(descriptor, "rb")
    except OSError as error:
        raise AuditError(f"audit log {path} cannot be read: {error.strerror}") from None


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    while line := stream.readline(MAX_LINE + 1):
        yield line


def _whole(stream: BinaryIO, line: bytes) -> bytes:
    """Return `line` with its newline, read again if a writer is at it.

    Raises:
        ChainError: the file ends within the line, or the line is too long.
    """
    for _ in range(_LOOKS):
        if line.endswith(b"\n") or len(line) > MAX_LINE:
            return line
        time.sleep(_LOOK_SECONDS)
        line += stream.readline(MAX_LINE + 1 - len(line))
    raise ChainError(FaultKind.TORN, "the file ends within this line")


def _comes_later(stream: BinaryIO, seq: int) -> bool:
    for line in _lines(stream):
        try:
            if parse(line)[SEQ] == seq:
                return True
        except ChainError:
            continue
    return False
