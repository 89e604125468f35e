"""The audit log's place in the supervisor: entries come in order, a thread writes them, nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from signer.errors import AuditError, FormatError
from signer.signing.audit import Act, Decision, Transaction, timestamp
from signer.signing.audit_writer import AuditWriter

if TYPE_CHECKING:
    from pathlib import Path

    from signer.signing.audit import Entry

log = logging.getLogger("signer.supervisor")

#: Entries wait this long for company, in s; a power loss takes at most this and one disk sync.
_GATHER_S = 0.05


class AuditLog:
    """Takes entries in the event loop and writes them in a thread, a batch at a time, each batch synced.

    Args:
        path: the log file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self._writer = AuditWriter(path, timestamp(datetime.now(UTC)))
        self._thread = ThreadPoolExecutor(1, "audit")
        self._waiting: list[Entry] = []
        self._writing: asyncio.Task[None] | None = None
        self._degraded = ""

    def decision(self, fields: dict[str, Any]) -> None:
        """Take a decision from the signing process, after the transaction that it is about, if that is known."""
        known = {
            name: fields[name] or None for name in ("node", "key", "role", "digest", "rule", "signature")
        }
        at = timestamp(datetime.fromtimestamp(fields["at"], UTC))
        if fields["transaction"]:
            self._take(Transaction(at, fields["digest"], fields["transaction"]))
        lane = str(fields["lane"]) if fields["lane"] else None
        self._take(
            Decision(
                at=at,
                verdict=fields["verdict"],
                caller=fields["caller"],
                lane=lane,
                tries=fields["tries"],
                micros=fields["micros"],
                **known,
            )
        )

    def act(self, name: str, by: str, detail: str | None, moment: datetime) -> None:
        """Take an administrative act."""
        self._take(Act(timestamp(moment), name, by, detail))

    def state(self) -> dict[str, Any]:
        """Return what `signer status` shows of the log."""
        return {
            "seq": self._writer.seq,
            "waiting": len(self._waiting) + self._writer.queued,
            "lost": self._writer.lost,
            "degraded": self._degraded or self._writer.degraded,
        }

    async def close(self) -> None:
        """Write what waits and let the log go."""
        if self._writing is not None:
            await self._writing
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._writer.close, timestamp(datetime.now(UTC)))
        except AuditError as error:
            log.error("audit log not closed", extra={"reason": str(error)})
        self._thread.shutdown()

    def _take(self, entry: Entry) -> None:
        self._waiting.append(entry)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(_GATHER_S)
            batch, self._waiting = self._waiting, []
            try:
                await loop.run_in_executor(self._thread, self._write_batch, batch)
                self._degraded = ""
            except (AuditError, FormatError) as error:
                if str(error) != self._degraded:
                    log.error("audit log degraded; signing goes on", extra={"reason": str(error)})
                self._degraded = str(error)

    def _write_batch(self, batch: list[Entry]) -> None:
        try:
            self._writer.append(batch)
        finally:
            self._writer.sync()
