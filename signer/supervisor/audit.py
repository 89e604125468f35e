"""The audit log's place in the supervisor: entries come in order, a thread writes them, nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from signer.errors import AuditError, FormatError
from signer.signing.audit import Act, Decision, Transaction, timestamp
from signer.signing.audit_writer import AuditWriter
from signer.supervisor.repeats import MINUTE_S, Repeats
from signer.supervisor.thread import one

if TYPE_CHECKING:
    from pathlib import Path

    from signer.config import Audit
    from signer.signing.audit import Checkpoint, Entry

log = logging.getLogger("signer.supervisor")

#: Entries wait this long for company, in s. A power loss takes what came in so long, during the sync that was under way
#: then, and during their own.
_GATHER_S = 0.05
#: What the disk did not take is tried again so often, in s, also while nothing else comes.
_AGAIN_S = 5.0
_BYTES_PER_MB = 1_000_000
#: A checkpoint is of the newest line that was given, or of one just before: of a process that was asked and replaced.
_HEADS = 8


class Head(NamedTuple):
    """The last line that is on the disk: its number and its hash, hex."""

    seq: int
    hash: str


class AuditLog:
    """Takes entries in the event loop and writes them in a thread, a batch at a time, each batch synced.

    Args:
        path: the log file; its folder is made.
        settings: the table [audit].

    Attributes:
        head: the last line that is on the disk.
        closed: whether the log was let go.
    """

    def __init__(self, path: Path, settings: Audit) -> None:
        self._writer = AuditWriter(path, timestamp(datetime.now(UTC)), settings.max_file_mb * _BYTES_PER_MB)
        self.head = Head(self._writer.seq, self._writer.head)
        self._thread = one("audit")
        self.closed = False
        self._waiting: list[Entry] = []
        self._writing: asyncio.Task[None] | None = None
        self._repeats = Repeats(settings.refusals_per_minute)
        self._minute: asyncio.TimerHandle | None = None
        self._counted = 0
        self._given: deque[Head] = deque(maxlen=_HEADS)
        self._degraded = ""
        self._logged: str | None = None
        self._again: asyncio.TimerHandle | None = None

    def configure(self, settings: Audit) -> None:
        """Take other settings."""
        self._writer.max_bytes = settings.max_file_mb * _BYTES_PER_MB
        self._repeats.per_minute = settings.refusals_per_minute

    def decision(self, fields: dict[str, Any]) -> None:
        """Take a decision from the signing process, after the transaction that it is about, if that is known."""
        known = {
            name: fields[name] or None for name in ("node", "key", "role", "digest", "rule", "signature")
        }
        at = timestamp(datetime.fromtimestamp(fields["at"], UTC))
        decision = Decision(
            at=at,
            verdict=fields["verdict"],
            caller=fields["caller"],
            lane=str(fields["lane"]) if fields["lane"] else None,
            tries=fields["tries"],
            micros=fields["micros"],
            **known,
        )
        has_line = self._repeats.has_line(decision)
        if self._repeats.began and self._minute is None:
            self._minute = asyncio.get_running_loop().call_later(MINUTE_S, self._end_minute)
        if not has_line:
            self._counted += 1
            return
        if fields["transaction"]:
            self._take(Transaction(at, fields["digest"], fields["transaction"]))
        self._take(decision)

    def act(self, name: str, by: str, detail: str | None, moment: datetime) -> None:
        """Take an administrative act."""
        self._take(Act(timestamp(moment), name, by, detail))

    def give_head(self) -> Head:
        """Return the last line that is on the disk, to make a checkpoint of.

        Raises:
            AuditError: the log cannot be written now, and a checkpoint would only take room from what waits.
        """
        if self._degraded:
            raise AuditError(self._degraded)
        if self.head not in self._given:
            self._given.append(self.head)
        return self.head

    async def checkpoint(self, entry: Checkpoint) -> int:
        """Take a checkpoint; return the number of the last line once it is on the disk.

        Raises:
            FormatError: it is of no line that was given for one: from it on the log would contradict itself.
            AuditError: it is not, and waits with what else waits.
        """
        if Head(entry.upto, entry.hash) not in self._given:
            raise FormatError(f"line {entry.upto} with that hash was not given to make a checkpoint of")
        self._take(entry)
        while self._waiting or (self._writing is not None and not self._writing.done()):
            assert self._writing is not None  # noqa: S101 - _take began it
            await asyncio.shield(self._writing)
        if self._degraded:
            raise AuditError(self._degraded)
        return self.head.seq

    def state(self) -> dict[str, Any]:
        """Return what `signer status` shows of the log."""
        return {
            "seq": self._writer.seq,
            "waiting": len(self._waiting) + self._writer.queued,
            "lost": self._writer.lost,
            "counted": self._counted,
            "degraded": self._degraded or self._writer.degraded,
        }

    async def close(self) -> None:
        """Write what waits and let the log go."""
        self._end_minute()
        if self._writing is not None:
            await self._writing
        if self._again is not None:
            self._again.cancel()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._writer.close, timestamp(datetime.now(UTC)))
        except AuditError as error:
            log.error("audit log not closed", extra={"reason": str(error)})
        self._thread.shutdown()
        self.closed = True

    def _end_minute(self) -> None:
        if self._minute is not None:
            self._minute.cancel()
            self._minute = None
        for each in self._repeats.end():
            self._take(each)

    def _take(self, entry: Entry) -> None:
        self._waiting.append(entry)
        self._begin()

    def _begin(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Write what waits, here or in the writer, until nothing came meanwhile."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_GATHER_S)
            batch, self._waiting = self._waiting, []
            try:
                await loop.run_in_executor(self._thread, self._write_batch, batch)
                self._degraded, self._logged = "", None
            except (AuditError, FormatError) as error:
                self._degraded = str(error)
                fault = self._writer.degraded or self._degraded  # without the numbers, which change each time
                if fault != self._logged:  # the disk that this line goes to may be the full one
                    log.error("audit log degraded; signing goes on", extra={"reason": self._degraded})
                self._logged = fault
            if not self._waiting:
                break
        if self._degraded:
            self._again = loop.call_later(_AGAIN_S, self._begin)

    def _write_batch(self, batch: list[Entry]) -> None:
        try:
            self._writer.append(batch)
        finally:
            self._writer.sync()
            self.head = Head(self._writer.seq, self._writer.head)
