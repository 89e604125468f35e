"""The one writer of an audit log. Synchronous; one caller at a time, from any thread; no clock of its own.

What can be lost:

* The process is killed: the entries not yet given to `append`, and those that wait in `queued`. That some waited
  is in the lock file by then, and an `entries-lost` act says so at the next start.
* The power fails: also everything since the last `sync` that returned.
* The file has reached its size and another begins (signer.signing.audit_files): nothing.
* The disk stays full: entries above QUEUE_LIMIT. A `gap` entry says how many, with the signatures per key.

Signing never waits for this file: trouble raises AuditError to the caller, who reports it and goes on.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections import deque
from typing import TYPE_CHECKING, BinaryIO, Final

from signer.errors import AuditError, FormatError
from signer.signing import audit_files
from signer.signing.audit import (
    COUNTERS,
    ENTRIES_LOST,
    KEY,
    KEY_COUNT,
    KIND,
    LOG_DAMAGED,
    LOG_MISSING,
    MAX_LINE,
    PART,
    PREV,
    SEQ,
    SYNC_FAILED,
    TORN_TAIL,
    Act,
    Chain,
    ChainError,
    Checkpoint,
    Entry,
    Fields,
    Gap,
    Kind,
    admit,
    nameless,
    parse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Entries that wait in memory while the disk takes none: about 8 MB, hours of one producer's slots.
QUEUE_LIMIT: Final = 4096
#: Entries after which the counters are repeated. A start reads back at most so many lines.
CHECKPOINT_EVERY: Final = 1000
#: Entries in one write(2): what a full disk takes back at once.
_BATCH: Final = 256
#: Bytes after which another file begins: about 100,000 decisions, ten days of one producer with its checkpoints.
DEFAULT_MAX_BYTES: Final = 64_000_000
_BLOCK: Final = 65536
_WRITER: Final = "signer"
_OPEN_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
#: What the lock file has: the writer's pid, and that entries wait in memory. Always so many bytes, in their place
#: since the disk had room.
_WAITING: Final = "waiting"
_LOCK_BYTES: Final = 32
_CHECKPOINT_START: Final = b'\n{"kind":"counters",'


class AuditWriter:
    """Appends to the log at `path`, alone.

    Attributes:
        path: the log.
        degraded: why entries wait or may not be on disk, or None when all is well.
        lost: entries lost since the start, in all.
    """

    def __init__(self, path: Path, at: str, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Take the log, and repair the end that a crash left.

        Args:
            path: the log.
            at: a `timestamp`.
            max_bytes: another file begins once this one has reached that size.

        A disk that fails is no reason to raise: `degraded` says so and each `append` tries again.

        Raises:
            AuditError: another process writes this log. The message names its pid.
        """
        self.path = path
        self.degraded: str | None = None
        self.lost = 0
        self._queue: deque[Entry | Gap] = deque()
        self._chain = Chain()
        self._since_checkpoint = 0
        self._size = 0
        self._first = 1
        self.max_bytes = max_bytes
        self._lock: int | None = None
        self._waits = False
        self._entries_lost = False
        self._file: int | None = None
        self._partial = False
        self._sync_failed = False
        try:
            self._open(at)
        except OSError as error:
            self._degrade("cannot be opened", error)

    @property
    def queued(self) -> int:
        """Entries that wait in memory."""
        return len(self._queue)

    @property
    def seq(self) -> int:
        """Number of the last line written."""
        return self._chain.seq

    @property
    def head(self) -> str:
        """SHA-256 of the last line written, hex."""
        return self._chain.head

    @property
    def counters(self) -> dict[str, int]:
        """Signatures per key (PUB_ form) in the lines written."""
        return dict(self._chain.counters)

    def append(self, entries: list[Entry]) -> None:
        """Write the entries, after those that wait. They are in the kernel's hands when this returns.

        With no entries, only those that wait are written.

        Raises:
            AuditError: they wait in memory; the next call tries again.
            FormatError: an entry has a field of the wrong form. The log counts it as lost; the others of
                `entries` are written.
        """
        refusal: FormatError | None = None
        for entry in entries:
            try:
                self._enqueue(self._possible(admit(entry)))
            except FormatError as error:
                refusal = error
                self._lose(nameless(entry))
        self._flush()
        if refusal is not None:
            raise refusal

    def sync(self) -> None:
        """Return when all lines written are on the disk.

        Raises:
            AuditError: the disk did not take them. Lines since the last success may be gone after a power
                loss; the log says so in its next line.
        """
        if self._file is None:
            raise AuditError(f"audit log {self.path}: not open: {self.degraded}")
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._sync_failed = True
            raise self._degrade("cannot be synced", error) from None

    def close(self, at: str) -> None:
        """Write what waits and the counters, sync, and let the log go. `at` is a `timestamp`.

        Raises:
            AuditError: some entries could not be written and are lost. The log is let go in any case.
        """
        try:
            self._flush()
            if self._since_checkpoint:
                self._write_batch([], at)
            self.sync()
        except OSError as error:
            raise self._degrade("cannot be written", error) from None
        finally:
            for descriptor in (self._file, self._lock):
                if descriptor is not None:
                    os.close(descriptor)
            self._file = self._lock = None

    # --- the queue

    def _possible(self, entry: Entry) -> Entry:
        """Return `entry`.

        Raises:
            FormatError: it is a checkpoint of a line that is not written: its line would be a fault.
        """
        if isinstance(entry, Checkpoint) and entry.upto > self._chain.seq:
            raise FormatError(f"a checkpoint of line {entry.upto}, and the log has {self._chain.seq}")
        return entry

    def _enqueue(self, entry: Entry) -> None:
        if len(self._queue) < QUEUE_LIMIT:
            self._queue.append(entry)
        else:
            self._lose(entry)

    def _lose(self, entry: Entry) -> None:
        self.lost += 1
        last = self._queue[-1] if self._queue else None
        if not (isinstance(last, Gap) and last.has_room_for(entry)):
            last = Gap(at=entry.at, until=entry.at)
            self._queue.append(last)
        last.count(entry)

    def _flush(self) -> None:
        if not self._queue:
            return
        at = self._queue[0].at
        try:
            if self._file is None:
                self._open(at)
            self._find_missing(at)
            if self._sync_failed:
                note = "lines before this one may be missing after a power loss"
                self._queue.appendleft(Act(at, SYNC_FAILED, _WRITER, note))
                self._sync_failed = False
            while self._queue:
                batch = [self._queue[index] for index in range(min(_BATCH, len(self._queue)))]
                due = self._since_checkpoint + len(batch) >= CHECKPOINT_EVERY
                self._write_batch(batch, batch[-1].at if due else None)
                for _ in batch:
                    self._queue.popleft()
                at = batch[-1].at
            if self._size >= self.max_bytes:
                self._begin_another(at)
        except OSError as error:
            raise self._degrade("cannot be written", error) from None
        self.degraded = None
        self._tell_waiting(waits=False)

    def _write_batch(self, batch: list[Entry | Gap], checkpoint_at: str | None) -> None:
        """Write all of `batch` or nothing."""
        chain = self._chain.copy()
        lines = [chain.seal(entry) for entry in batch]
        if checkpoint_at is not None:
            lines += chain.seal_counters(checkpoint_at)
        self._write(b"".join(lines))
        self._chain = chain
        self._since_checkpoint = 0 if checkpoint_at is not None else self._since_checkpoint + len(batch)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            raise OSError(errno.EBADF, "not open")
        if self._partial:
            os.ftruncate(self._file, self._size)
            self._partial = False
        try:
            _write_all(self._file, data)
        except OSError:
            # A part of the data may be in the file. If it cannot be taken back now, the next call does it,
            # and if this process is killed before, the next start moves it aside.
            self._partial = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
                self._partial = False
            raise
        self._size += len(data)

    def _begin_another(self, at: str) -> None:
        """Give the file an older one's name, and begin another with the counters: a start reads only that one.

        Killed between the two steps the file has both names, and goes on to be written.
        """
        if self._file is None:
            raise OSError(errno.EBADF, "not open")
        os.fdatasync(self._file)
        old = audit_files.older_name(self.path, self._first)
        try:
            old.hardlink_to(self.path)
        except FileExistsError:
            if not old.samefile(self.path):
                raise OSError(errno.EEXIST, f"{old.name} is there already; move it away") from None
        chain = self._chain.copy()
        first = chain.seq + 1
        data = b"".join(chain.seal_counters(at))
        self._file = self._replace(data)
        self._chain, self._since_checkpoint = chain, 0
        self._size, self._first, self._partial = len(data), first, False

    def _replace(self, data: bytes) -> int:
        """Put a file with `data` in the log's place, on the disk when this returns; return its descriptor."""
        fresh = self.path.with_name(self.path.name + ".new")
        file = os.open(fresh, _OPEN_FLAGS | os.O_TRUNC, 0o600)
        try:
            _write_all(file, data)
            os.fsync(file)
            fresh.replace(self.path)
            _sync_folder(self.path.parent)
        except BaseException:
            os.close(file)
            raise
        if self._file is not None:
            os.close(self._file)
        return file

    def _find_missing(self, at: str) -> None:
        """Begin the file anew if somebody removed or replaced it. The numbers go on, so that it shows."""
        if self._file is None:
            return
        ours = os.fstat(self._file)
        try:
            theirs = self.path.stat(follow_symlinks=False)
        except FileNotFoundError:
            theirs = None
        if theirs is not None and (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino):
            # Shorter than what was written: append where it ends, and let the verifier find the hole.
            self._size = min(self._size, ours.st_size) if not self._partial else self._size
            return
        os.close(self._file)
        self._file = None
        if theirs is not None:
            _link_aside(self.path, "foreign")
            self.path.unlink()
        self._file = os.open(self.path, _OPEN_FLAGS | os.O_EXCL, 0o600)
        _sync_folder(self.path.parent)
        self._size, self._partial = 0, False
        self._first = self._chain.seq + 1
        self._since_checkpoint = CHECKPOINT_EVERY  # as in _recover
        note = "the log was removed or replaced while the signer wrote it"
        self._queue.appendleft(Act(at, LOG_MISSING, _WRITER, note))

    def _degrade(self, what: str, error: OSError) -> AuditError:
        self.degraded = f"audit log {self.path} {what}: {error.strerror or type(error).__name__}"
        if self._queue:
            self._tell_waiting(waits=True)
        return AuditError(
            f"{self.degraded}. {self.queued} entries wait in memory and {self.lost} are lost; "
            "signing goes on. Make room on that disk or repair it; do not stop or restart the signer before.",
        )

    # --- opening

    def _open(self, at: str) -> None:
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_lock()
        file = os.open(self.path, _OPEN_FLAGS, 0o600)
        try:
            _sync_folder(folder)
            acts = self._recover(file, at)
        except BaseException:
            os.close(file)
            raise
        if acts is None:
            os.close(file)
            self._replace_damaged(at)
            acts = []
        else:
            self._file = file
        if self._entries_lost:
            acts.append(Act(at, ENTRIES_LOST, _WRITER, "the signer ended while entries waited for the disk"))
            self._entries_lost = False
        self._queue.extendleft(reversed(acts))

    def _take_lock(self) -> None:
        """Hold the lock file beside the log. Beside it, because a damaged log is moved aside."""
        if self._lock is not None:
            return
        lock_path = self.path.with_name(self.path.name + ".lock")
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            said = os.pread(lock, _LOCK_BYTES, 0).decode("ascii", "replace").split()
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise AuditError(
                f"audit log {self.path} is written by process {said[0] if said else 'unknown'}; "
                "stop that signer first",
            ) from None
        except OSError:
            os.close(lock)
            raise
        self._lock = lock
        self._entries_lost = self._waits = _WAITING in said[1:]
        self._write_lock()

    def _tell_waiting(self, *, waits: bool) -> None:
        if waits != self._waits:
            self._waits = waits
            self._write_lock()

    def _write_lock(self) -> None:
        if self._lock is None:
            return
        text = f"{os.getpid()} {_WAITING if self._waits else ''}"
        with contextlib.suppress(OSError):  # a disk that was full from the start: the lock holds without it
            os.pwrite(self._lock, f"{text:<{_LOCK_BYTES - 1}}\n".encode("ascii"), 0)
            os.fdatasync(self._lock)

    def _recover(self, file: int, at: str) -> list[Act] | None:
        """Set the state from the end of the file; return the acts to record, None if the log is damaged."""
        size = os.fstat(file).st_size
        end = _end_of_last_line(file, size)
        acts = []
        begun = audit_files.older(self.path) if not end else []
        state = _replay_file(begun[-1]) if begun else _replay(file, end)
        if state is None:
            return None
        if begun:
            acts.append(Act(at, LOG_MISSING, _WRITER, "the newest file of the log was not there at a start"))
            state = (state[0], CHECKPOINT_EVERY)  # a file must not be long without its counters
        self._first = _first_number(file, state[0]) if end else state[0].seq + 1
        if end < size:
            aside = self._move_torn_tail(file, end, size, state[0].seq + 1)
            acts.append(
                Act(at, TORN_TAIL, _WRITER, f"{size - end} bytes of an unfinished line are in {aside}")
            )
        self._chain, self._since_checkpoint = state
        self._size = end
        return acts

    def _move_torn_tail(self, file: int, end: int, size: int, seq: int) -> str:
        name, copy = _create_aside(self.path, f"torn-{seq}")
        try:
            offset = end
            while offset < size:
                block = os.pread(file, _BLOCK, offset)
                if not block:
                    break
                _write_all(copy, block)
                offset += len(block)
            os.fsync(copy)
        except OSError:
            self.path.with_name(name).unlink(missing_ok=True)
            raise
        finally:
            os.close(copy)
        _sync_folder(self.path.parent)
        os.ftruncate(file, end)
        os.fsync(file)
        return name

    def _replace_damaged(self, at: str) -> None:
        """Move a log aside whose end cannot be read, and begin another that names it and its hash.

        Not to start would cost blocks; to append would leave a log that never verifies again.
        """
        older = audit_files.older(self.path)
        before, _ = _salvage(older[-1]) if older else ({}, "")
        counters, digest = _salvage(self.path)
        counters = before | counters
        name = _link_aside(self.path, "damaged")
        for each in older:
            # They belong to the log that ended: the next one counts its lines from 1 again.
            _link_aside(each, "damaged")
            each.unlink()
        chain = Chain()
        note = f"the log before this one is in {name}, sha256 {digest}"
        first = chain.seal(Act(at, LOG_DAMAGED, _WRITER, note))
        chain.counters = counters
        data = b"".join([first, *chain.seal_counters(at)])
        self._file = self._replace(data)
        self._chain, self._since_checkpoint = chain, 0
        self._size, self._first = len(data), 1


def _end_of_last_line(file: int, size: int) -> int:
    """Return the offset after the last newline, 0 if there is none."""
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _first_number(file: int, chain: Chain) -> int:
    """Return the number of a file's first line; where it is damaged, one that sorts the file to its place."""
    line = os.pread(file, MAX_LINE, 0).partition(b"\n")[0] + b"\n"
    try:
        number = parse(line)[SEQ]
    except ChainError:
        return chain.seq
    return number if isinstance(number, int) else chain.seq


def _replay_file(path: Path) -> tuple[Chain, int] | None:
    """As `_replay`, of a whole file."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return _replay(file, _end_of_last_line(file, os.fstat(file).st_size))
    finally:
        os.close(file)


def _replay(file: int, end: int) -> tuple[Chain, int] | None:
    """Return the chain at offset `end` and the lines since its counters, None if the lines do not hold."""
    with os.fdopen(os.dup(file), "rb") as stream:
        try:
            chain = None
            start = end
            while chain is None and (start := _last_checkpoint(file, start)) > 0:
                stream.seek(start)
                chain = _resume(stream, end)
            if chain is None and os.pread(file, len(_CHECKPOINT_START) - 1, 0) == _CHECKPOINT_START[1:]:
                stream.seek(0)
                chain = _resume(stream, end)
            if chain is None:
                stream.seek(0)
                chain = Chain()
            lines = 0
            while stream.tell() < end:
                chain.accept(stream.readline(MAX_LINE + 1))
                lines += 1
        except ChainError:
            return None
    return chain, lines


def _last_checkpoint(file: int, before: int) -> int:
    """Return the offset of the last `counters` line that begins before `before`, 0 if there is none."""
    length = len(_CHECKPOINT_START)
    end = before
    while end > 0:
        start = max(0, end - _BLOCK)
        # Two blocks overlap, so that a beginning across their border is seen.
        block = os.pread(file, end - start + length, start)
        found = block.rfind(_CHECKPOINT_START, 0, before - 2 - start + length)
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _resume(stream: BinaryIO, end: int) -> Chain | None:
    """Return the chain after the counters that begin here, None if this is not all of their parts.

    Raises:
        ChainError: the lines do not hold.
    """
    line = stream.readline(MAX_LINE + 1)
    fields = parse(line)
    seq, prev = fields[SEQ], fields[PREV]
    if fields[PART] != 1 or not isinstance(seq, int) or not isinstance(prev, str):
        return None
    chain = Chain(seq - 1, prev, adopting=True)
    chain.accept(line)
    while chain.adopting:
        line = stream.readline(MAX_LINE + 1)
        if stream.tell() > end or not line or parse(line)[KIND] != Kind.COUNTERS:
            return None
        chain.accept(line)
    return chain


def _salvage(path: Path) -> tuple[dict[str, int], str]:
    """Return the highest count of each key that a damaged log names, and the SHA-256 of the file, hex."""
    counters: dict[str, int] = {}
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while line := stream.readline(MAX_LINE + 1):
            digest.update(line)
            try:
                fields = parse(line)
            except ChainError:
                continue
            for key, count in _counts_in(fields):
                counters[key] = max(count, counters.get(key, 0))
    return {key: count for key, count in counters.items() if count}, digest.hexdigest()


def _counts_in(fields: Fields) -> list[tuple[str, int]]:
    if fields[KIND] == Kind.COUNTERS and isinstance(counters := fields[COUNTERS], dict):
        return list(counters.items())
    if fields[KIND] == Kind.DECISION:
        key, count = fields[KEY], fields[KEY_COUNT]
        if isinstance(key, str) and isinstance(count, int):
            return [(key, count)]
    return []


def _create_aside(path: Path, suffix: str) -> tuple[str, int]:
    """Create a file beside `path` under a name not yet taken; return the name and a descriptor."""
    for name in _names_aside(path, suffix):
        with contextlib.suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            return name, os.open(path.with_name(name), flags, 0o600)
    raise OSError(errno.EEXIST, "no free name")


def _link_aside(path: Path, suffix: str) -> str:
    """Give the file at `path` a second name not yet taken, so that the first can be given away at once."""
    for name in _names_aside(path, suffix):
        with contextlib.suppress(FileExistsError):
            path.with_name(name).hardlink_to(path)
            return name
    raise OSError(errno.EEXIST, "no free name")


def _names_aside(path: Path, suffix: str) -> Iterator[str]:
    yield f"{path.name}.{suffix}"
    for number in range(2, 1000):
        yield f"{path.name}.{suffix}-{number}"


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
