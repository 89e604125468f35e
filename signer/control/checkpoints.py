"""Signs checkpoints of the audit log, has them written into it, and sends them off the host.

The audit key signs what is built here and nothing else. A place that does not take a checkpoint raises an alarm; the
newest is tried again until it is there, and stands for all before it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from signer.errors import AdminError, FormatError, RefusedError, SigningError
from signer.signing import checkpoint as checkpoints
from signer.signing.audit import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from signer.antelope.keys import PublicKey
    from signer.config import Audit
    from signer.control.checkpoint_sink import Sink
    from signer.control.keys import ControlKeys
    from signer.control.supervisor import Supervisor
    from signer.signing.audit import Checkpoint

log = logging.getLogger("signer.control")

#: How often the log's end is looked at, in s.
_LOOK_S: Final = 1.0
#: Between two tries of a place, in s: at first, and at most.
_RETRY_S: Final = 1.0
_RETRY_MAX_S: Final = 30.0
#: A place that takes longer hangs, in s. Its thread cannot be stopped; it is left alone until it ends.
_HANGS_S: Final = 20.0
#: A lane that is replaced takes a second or two: trouble that lasts longer is told, in s.
_PATIENCE_S: Final = 10.0
#: Lines that a checkpoint itself makes: the signature's, and its own.
_OWN_LINES: Final = 2
_PURPOSE: Final = "audit checkpoint"


class Checkpoints:
    """Makes checkpoints.

    Args:
        settings: the table [audit].
        key: the audit key.
        keys: signs with it.
        supervisor: writes the log.
        sinks: places off the host.
        clock: the time of day (UTC).
        monotonic: seconds that only grow.
    """

    def __init__(
        self,
        settings: Audit,
        key: PublicKey,
        keys: ControlKeys,
        supervisor: Supervisor,
        sinks: Sequence[Sink],
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._signer = settings.signer or socket.gethostname()[:63]
        self._key = key
        self._keys = keys
        self._supervisor = supervisor
        self._places = [_Place(sink, supervisor) for sink in sinks]
        self._clock = clock
        self._monotonic = monotonic
        self._upto = 0
        self._written = 0
        self._made_at = monotonic()
        self._failing_since: float | None = None
        self._trouble = ""

    async def run(self) -> None:
        """Go on until cancelled."""
        await self._keys.looked_at()  # a key that nobody has looked at yet is no reason for an alarm
        sending = [asyncio.create_task(place.run()) for place in self._places]
        try:
            while True:
                await self._turn()
                await asyncio.sleep(_LOOK_S)
        finally:
            for task in sending:
                task.cancel()

    async def _turn(self) -> None:
        now = self._monotonic()
        try:
            made = await self.look()
        except (AdminError, RefusedError, SigningError, FormatError) as error:
            self._failing_since = now if self._failing_since is None else self._failing_since
            trouble = str(error) if now - self._failing_since >= _PATIENCE_S else ""
        else:
            if made is None and self._failing_since is not None:
                return  # nobody knows yet whether it works again
            self._failing_since = None
            trouble = ""
        if trouble != self._trouble:
            self._trouble = trouble
            await _tell(self._supervisor, "checkpoint", str(self._key), trouble)

    async def look(self) -> Checkpoint | None:
        """Make a checkpoint if one is due.

        Raises:
            AdminError: the supervisor does not answer, or the log cannot be written.
            RefusedError: the audit key may not sign.
            SigningError: it cannot.
        """
        seq, line_hash = await self._supervisor.audit_head()
        if not self._due(seq):
            return None
        at = timestamp(self._clock())
        made = checkpoints.unsigned(at, seq, line_hash, self._signer, self._key)
        signature = await self._keys.sign(self._key, checkpoints.digest(made), _PURPOSE, role="audit")
        made = replace(made, signature=str(signature))
        self._written = await self._supervisor.checkpoint(made)
        self._upto, self._made_at = seq, self._monotonic()
        for place in self._places:
            place.give(made)
        return made

    def _due(self, seq: int) -> bool:
        """Tell whether lines were written that are not a checkpoint's own, and enough of them or long ago."""
        own = _OWN_LINES if self._upto else 0
        news = seq - self._upto - own
        if news >= self._settings.checkpoint_every_lines:
            return True
        return news > 0 and self._monotonic() - self._made_at >= self._settings.checkpoint_every_s


class _Place:
    """Sends the newest checkpoint to one sink until it is there."""

    def __init__(self, sink: Sink, supervisor: Supervisor) -> None:
        self._sink = sink
        self._supervisor = supervisor
        self._newest: Checkpoint | None = None
        self._news = asyncio.Event()
        self._trouble = ""

    def give(self, checkpoint: Checkpoint) -> None:
        """Have a newer one."""
        self._newest = checkpoint
        self._news.set()

    async def run(self) -> None:
        """Go on until cancelled."""
        retry_s = _RETRY_S
        while True:
            await self._news.wait()
            self._news.clear()
            assert self._newest is not None  # noqa: S101 - give sets it before it tells
            trouble = await self._put(self._newest)
            await self._report(trouble)
            if not trouble:
                retry_s = _RETRY_S
                continue
            self._news.set()
            await asyncio.sleep(retry_s)
            retry_s = min(_RETRY_MAX_S, 2 * retry_s)

    async def _put(self, checkpoint: Checkpoint) -> str:
        """Return why the sink does not have it, empty if it has."""
        putting = asyncio.create_task(asyncio.to_thread(self._sink.put, checkpoint))
        while True:
            done, _ = await asyncio.wait({putting}, timeout=_HANGS_S)
            if done:
                break
            await self._report(f"it has taken nothing for {_HANGS_S:g} s")
        try:
            putting.result()
        except OSError as error:
            return error.strerror or str(error)
        return ""

    async def _report(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            await _tell(self._supervisor, "checkpoint-sink", self._sink.name, trouble)


async def _tell(supervisor: Supervisor, name: str, subject: str, trouble: str) -> None:
    """Raise an alarm, or clear it where there is no trouble."""
    fields = {"key": subject, "reason": trouble}
    if trouble:
        log.error("checkpoint trouble", extra=fields)
    else:
        log.info("checkpoints are well", extra=fields)
    try:
        await supervisor.alarm(name, subject, trouble, on=bool(trouble))
    except AdminError as error:
        log.error("alarm not raised", extra={"rule": name, "reason": str(error)})
