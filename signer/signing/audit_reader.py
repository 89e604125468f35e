"""Reads an audit log, all of its files, and says what holds: streaming, in bounded memory, whatever is in them."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final

from signer.errors import AuditError
from signer.signing.audit import (
    ACT,
    AT,
    DETAIL,
    HASH,
    KIND,
    LOST,
    MAX_KEYS,
    MAX_LINE,
    OF_THE_WRITER,
    PREV,
    SEQ,
    UNTIL,
    UPTO,
    Anchor,
    Chain,
    ChainError,
    FaultKind,
    Fields,
    Kind,
    line_hash,
    parse,
)
from signer.signing.audit_files import older_than, open_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: Notes kept in a report; a log with more has its first ones.
MAX_NOTES: Final = 100
#: Lines that a checkpoint may lie behind the line it names, to be compared with it by the log alone.
_HASHES: Final = 10_000
#: A running signer's write(2) may be half visible for microseconds: how often to look again, 5 ms apart.
_LOOKS: Final = 20
_LOOK_SECONDS: Final = 0.005


@dataclass(frozen=True, slots=True)
class Fault:
    """The first line that is not as it must be: its number in the log, counted from 1, its file, and what is wrong."""

    line: int
    kind: FaultKind
    message: str
    file: str


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found.

    Attributes:
        path: the log.
        files: how many files it has.
        begins: number of the first line that was asked for.
        entries: number of the last line that holds, with all from the first on.
        head: SHA-256 of that line, hex.
        first_at: time of the first, None for an empty log.
        last_at: time of the last that holds.
        counters: signatures per key in the lines that hold.
        anchored: line that an anchor proves, with all before it.
        anchors: how many anchored lines were compared.
        fault: what is wrong first, or None.
        notes: what the signer itself wrote about losses and repairs.
    """

    path: str
    files: int
    begins: int
    entries: int
    head: str
    first_at: str | None
    last_at: str | None
    counters: dict[str, int]
    anchored: int | None
    anchors: int
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
            where = f" of {self.fault.file}" if self.files > 1 else ""
            return f"fault at line {self.fault.line}{where}: {self.fault.kind}: {self.fault.message}"
        since = f"from {self.begins} " if self.begins > 1 else ""
        if self.anchored is None:
            return f"consistent {since}up to {self.entries}, tail not provable without an anchor"
        if self.anchored == self.entries:
            return f"consistent {since}up to {self.entries}, proved by the anchor"
        return f"consistent {since}up to {self.entries}, proved up to {self.anchored}, tail after it not provable"

    def to_json(self) -> dict[str, object]:
        """Return the report as a JSON object."""
        return {"ok": self.ok, "verdict": self.verdict, **asdict(self)}

    def lines(self) -> list[str]:
        """Return the report as lines for a person."""
        text = [f"{self.path}: {self.verdict}"]
        if self.first_at is not None:
            text.append(f"from {self.first_at} to {self.last_at}")
        if self.files > 1 or self.anchors > 1:
            text.append(f"files {self.files}, anchored lines compared {self.anchors}")
        text += [f"signatures {count}  {key}" for key, count in sorted(self.counters.items())]
        return text + [f"note: {note}" for note in self.notes]


def verify(path: Path, anchors: Sequence[Anchor] = (), *, begins: int = 1) -> Report:
    """Check every line of the log at `path`, of its older files too, and that each anchored line is in it.

    A running signer may write the log meanwhile.

    Args:
        path: the newest file.
        anchors: lines that are known to have been in the log.
        begins: number of the first line that is still here, where older files were moved away. It has to be the
            first line of a file. Anchors of lines before it are left out.

    Raises:
        AuditError: a file cannot be read at all. What is wrong inside them is in the report.
    """
    reading = Reading(path, anchors, begins)
    for _ in reading.lines():
        pass
    return reading.report()


def read(path: Path, *, begins: int = 1) -> Reading:
    """Return a reading of the log at `path`: its lines one by one, each checked, and in the end the report."""
    return Reading(path, (), begins)


def anchor(path: Path, *, begins: int = 1) -> Anchor:
    """Return an anchor for the last line of the log at `path`, after verifying all of it.

    Raises:
        AuditError: the file cannot be read, or does not verify; an anchor would vouch for it.
    """
    report = verify(path, begins=begins)
    if not report.ok:
        raise AuditError(f"audit log {path} does not verify: {report.verdict}")
    return Anchor(report.entries, report.head)


def tail(path: Path, size: int) -> Iterator[bytes]:
    """Yield the lines in the last `size` bytes of the log at `path` as it is now, in order. Nothing is verified.

    The first may be the end of a line only, the last the beginning of one that is being written.

    Raises:
        AuditError: a file cannot be read.
    """
    with open_file(path) as newest:
        left = size - os.fstat(newest.fileno()).st_size
        parts: list[tuple[Path, int]] = []
        for each in reversed(older_than(newest, path)):
            if left <= 0:
                break
            parts.append((each, left))
            left -= each.stat().st_size
        for each, wanted in reversed(parts):
            with open_file(each) as stream:
                yield from _last(stream, each, wanted)
        yield from _last(newest, path, size)


def lines_since(path: Path, at: str) -> Iterator[bytes]:
    """Yield the lines of the log at `path` from the file on that holds the first one of `at` (a `timestamp`).

    Nothing is verified. A line that is being written is not waited for.

    Raises:
        AuditError: a file cannot be read.
    """
    with open_file(path) as newest:
        files = older_than(newest, path)
        begun = [_first_at_of(each) for each in files]
        # A file is left out when the next one begins before `at` too.
        first = max((place for place, moment in enumerate(begun) if moment <= at), default=0)
        if _at_of(newest.readline(MAX_LINE + 1)) > at or not files:
            newest.seek(0)
            for each in files[first:]:
                with open_file(each) as stream:
                    yield from _last(stream, each, each.stat().st_size)
        newest.seek(0)
        yield from _last(newest, path, os.fstat(newest.fileno()).st_size)


def _first_at_of(path: Path) -> str:
    with open_file(path) as stream:
        return _at_of(stream.readline(MAX_LINE + 1))


def _at_of(line: bytes) -> str:
    """Return the time of a line; a time before all others if it has none."""
    try:
        return str(parse(line)[AT])
    except ChainError:
        return ""


def _last(stream: BinaryIO, path: Path, size: int) -> Iterator[bytes]:
    """Yield the lines in the last `size` bytes of a file."""
    try:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, end - size))
        for line in _lines(stream):
            yield line
            if stream.tell() >= end:
                return  # what is written meanwhile is not waited for
    except OSError as error:
        raise AuditError(f"audit log {path} cannot be read: {error.strerror}") from None


class Reading:
    """One pass over the lines of a log, each held against those before it.

    Attributes:
        number: of the line that is looked at.
        fault: what is wrong first, or None.
    """

    def __init__(self, path: Path, anchors: Sequence[Anchor], begins: int) -> None:
        self.number = begins - 1
        self.fault: Fault | None = None
        self._path = path
        self._begins = begins
        self._chain = Chain()
        self._anchors: dict[int, set[str]] = {}
        for each in anchors:
            if each.seq >= begins - 1:
                self._anchors.setdefault(each.seq, set()).add(each.hash)
        self._compared = 0
        self._proved: int | None = None
        self._files = 0
        self._hashes: deque[tuple[int, str]] = deque(maxlen=_HASHES)
        self._first_at: str | None = None
        self._last_at: str | None = None
        self._notes: list[str] = []

    def lines(self) -> Iterator[tuple[bytes, Fields]]:
        """Yield each line that holds, newline included, and its fields. It ends at the first fault.

        Raises:
            AuditError: a file cannot be read.
        """
        with open_file(self._path) as newest:
            files = older_than(newest, self._path)
            self._files = len(files) + 1
            for each in files:
                with open_file(each) as stream:
                    yield from self._file(stream, each)
                if self.fault is not None:
                    return
            yield from self._file(newest, self._path)
            if self.fault is None:
                self._end()

    def report(self) -> Report:
        """Return what was found."""
        return Report(
            path=str(self._path),
            files=self._files,
            begins=self._begins,
            entries=self._chain.seq,
            head=self._chain.head,
            first_at=self._first_at,
            last_at=self._last_at,
            counters=dict(self._chain.counters),
            anchored=self._proved,
            anchors=self._compared,
            fault=self.fault,
            notes=self._notes,
        )

    def _file(self, stream: BinaryIO, path: Path) -> Iterator[tuple[bytes, Fields]]:
        try:
            for line in _lines(stream):
                if self.number == self._begins - 1 > 0 and not self._is_first(line):
                    return  # a file that lies before what was asked for
                self.number += 1
                whole = _whole(stream, line)
                self._compare(whole)
                fields = self._chain.accept(whole)
                self._take(fields)
                if len(self._chain.counters) > MAX_KEYS:
                    raise ChainError(FaultKind.COUNTER, f"more than {MAX_KEYS} keys")
                yield whole, fields
        except ChainError as error:
            kind = error.kind
            if kind is FaultKind.LOSS and _comes_later(stream, self._chain.seq + 1):
                kind = FaultKind.REORDER
            self.fault = Fault(self.number, kind, str(error), path.name)
        except OSError as error:
            raise AuditError(f"audit log {path} cannot be read: {error.strerror}") from None

    def _is_first(self, line: bytes) -> bool:
        """Tell whether the line is the one that the log begins with here; if it is, the chain begins before it."""
        try:
            fields = parse(line)
        except ChainError:
            return False
        prev = fields[PREV]
        if fields[SEQ] != self._begins or not isinstance(prev, str):
            return False
        self._chain = Chain(self._begins - 1, prev, adopting=True)
        self._prove(self._begins - 1, prev)
        return True

    def _take(self, fields: Fields) -> None:
        """Count a line that holds."""
        at = str(fields[AT])
        self._first_at = self._first_at or at
        self._last_at = at
        self._hashes.append((self._chain.seq, self._chain.head))
        if fields[KIND] == Kind.CHECKPOINT:
            self._check_checkpoint(fields)
        if (note := _note(fields)) is not None and len(self._notes) < MAX_NOTES:
            self._notes.append(note)

    def _check_checkpoint(self, fields: Fields) -> None:
        """Compare a checkpoint with the line that it names, if that is not long ago."""
        known = next((head for number, head in self._hashes if number == fields[UPTO]), fields[HASH])
        if known != fields[HASH]:
            raise ChainError(FaultKind.EDIT, "a checkpoint of another line: one before it was changed")

    def _compare(self, line: bytes) -> None:
        """Compare the line with the anchored one, if there is an anchor for it."""
        if self.number in self._anchors:
            self._prove(self.number, line_hash(line))

    def _prove(self, number: int, digest: str) -> None:
        wanted = self._anchors.get(number)
        if wanted is None:
            return
        if wanted != {digest}:
            raise ChainError(FaultKind.EDIT, "not the anchored line: it or one before it was changed")
        self._proved = number
        self._compared += 1

    def _end(self) -> None:
        """Find lines that the log no longer has."""
        if 0 in self._anchors:
            self._proved = self._proved or 0
        last = max(self._anchors, default=0)
        message = ""
        if self._chain.seq < last:
            message = f"the log ends after {self._chain.seq} lines, the anchor proves {last}"
        if self.number < self._begins and self._begins > 1:
            message = f"no file begins with line {self._begins}"
        if message:
            self.fault = Fault(self.number + 1, FaultKind.LOSS, message, self._path.name)


def _note(fields: Fields) -> str | None:
    if fields[KIND] == Kind.GAP:
        return f"line {fields[SEQ]}: {fields[LOST]} entries lost from {fields[AT]} to {fields[UNTIL]}"
    if fields[KIND] == Kind.ACT and fields[ACT] in OF_THE_WRITER:
        # A terminal obeys what is not printable, and the log may be hostile.
        detail = "".join(char if char.isprintable() else "?" for char in str(fields[DETAIL]))
        return f"line {fields[SEQ]}: {fields[ACT]}: {detail}"
    return None


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
