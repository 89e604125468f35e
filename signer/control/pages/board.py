"""What the dashboards show: looked at once for all of them, and only while somebody looks.

One task asks the supervisor, the journal and each chain every TICK_S, and puts what it saw into one snapshot. Ten open
dashboards ask no more than one does. What does not answer is left as it was last seen, with the moment of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from signer.antelope.keys import PublicKey
from signer.errors import AdminError, FormatError, JournalError, RotationError
from signer.rotation import ring

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import datetime

    from signer.chain.watcher import Slot
    from signer.control.services import Services
    from signer.rotation.producer_view import ApiNode, ChainView
    from signer.rotation.ring import RingLevel
    from signer.rotation.rotation import Rotation

log = logging.getLogger("signer.control")

#: A slot has 500 ms (config.hpp, block_interval_ms): what changed is seen and drawn within one.
TICK_S: Final = 0.4
#: After the last reader is gone; a page that is loaded again has its values at once.
LINGER_S: Final = 5.0
#: What a first look may take before a page is drawn without it: half of the time that a page may take.
PATIENCE_S: Final = 0.1
#: One tick waits this long for what is slow, and goes on without it.
_SLOW_S: Final = 0.15
#: Rings change once a night.
_RINGS_S: Final = 5.0
#: The newest rotations that are shown.
_ROTATIONS: Final = 8
#: Rounds of our producer that are shown: a quarter of an hour with 21 producers.
_ROUNDS: Final = 7
#: After a fault of our own.
_FAULT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class ChainSeen:
    """A chain at one look.

    Attributes:
        view: what it says of the producer; None if nobody tells.
        problem: why not; empty if somebody does.
        apis: its API nodes.
        at: when it was looked at.
    """

    view: ChainView | None
    problem: str
    apis: tuple[ApiNode, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one look.

    Attributes:
        number: grows with each snapshot that differs from the one before.
        at: when (UTC); None before the first look.
        status: the signer's status as the admin socket gives it; None before the first look.
        status_problem: why the status is not of this moment; empty if it is.
        chains: by name, those that have a producer and were looked at.
        rotations: the newest ones, newest first.
        journal_problem: why they are not of this moment.
        rings: by node.
        slots: of the last rounds of our producer on each chain, the newest first.
    """

    number: int = 0
    at: datetime | None = None
    status: dict[str, Any] | None = None
    status_problem: str = ""
    chains: dict[str, ChainSeen] = field(default_factory=dict)
    rotations: tuple[Rotation, ...] = ()
    journal_problem: str = ""
    rings: dict[str, RingLevel] = field(default_factory=dict)
    slots: dict[str, tuple[Slot, ...]] = field(default_factory=dict)


class Board:
    """Looks while somebody looks.

    Args:
        services: whom it asks.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._task: asyncio.Task[None] | None = None
        self._until_s = 0.0
        self._readers = 0
        self._slow: dict[str, asyncio.Task[None]] = {}
        self._rings_at_s = 0.0
        self._news = asyncio.Event()
        self._wake = asyncio.Event()
        self._next = self.snapshot = Snapshot()

    # -- readers -------------------------------------------------------------------------------------------

    async def glance(self) -> Snapshot:
        """Return what is known now. After a pause nobody knows, and it waits for one look, but not for long."""
        self._look_for(LINGER_S)
        if self.snapshot.at is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._news.wait()
        return self.snapshot

    def come(self) -> None:
        """Look until `leave`."""
        self._readers += 1
        self._look_for(LINGER_S)

    def leave(self) -> None:
        """Look no longer for this reader."""
        self._readers -= 1
        self._look_for(LINGER_S)

    async def changed(self, number: int) -> None:
        """Wait until there is a snapshot after this number."""
        while self.snapshot.number <= number:
            await self._news.wait()

    def hurry(self) -> None:
        """Look now: somebody did something."""
        self._wake.set()

    def stop(self) -> None:
        """Look no more."""
        for task in (self._task, *self._slow.values()):
            if task is not None:
                task.cancel()

    # -- looking -------------------------------------------------------------------------------------------

    def _look_for(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._until_s = max(self._until_s, loop.time() + seconds)
        if self._task is None:
            # What was seen before the pause is no longer so.
            self.snapshot = self._next = Snapshot(self.snapshot.number + 1)
            self._rings_at_s = 0.0
            self._task = loop.create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._readers or loop.time() < self._until_s:
                began_s = loop.time()
                self._wake.clear()
                try:
                    await self._look()
                except Exception:
                    log.exception("the dashboard could not look")
                    await asyncio.sleep(_FAULT_S)
                self._publish()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, TICK_S - (loop.time() - began_s))):
                        await self._wake.wait()
        finally:
            self._task = None

    async def _look(self) -> None:
        """Ask everybody; who is slow is asked again when the last answer has come."""
        loop = asyncio.get_running_loop()
        # No chain has the empty name.
        questions: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {"": self._look_at_status}
        if self._services.rotations is not None:
            questions |= {name: partial(self._look_at_chain, name) for name in self._services.chains}
        for name, question in questions.items():
            if name not in self._slow:
                self._slow[name] = loop.create_task(question())
        self._look_at_journal()
        slots = {name: tuple(watch.slots(_ROUNDS)) for name, watch in self._services.watches.items()}
        self._next = replace(self._next, slots=slots)
        done, _ = await asyncio.wait(self._slow.values(), timeout=_SLOW_S)
        for name in [name for name, task in self._slow.items() if task in done]:
            self._slow.pop(name).result()
        if loop.time() - self._rings_at_s > _RINGS_S and self._next.status is not None:
            self._rings_at_s = loop.time()
            self._look_at_rings()

    async def _look_at_status(self) -> None:
        try:
            status = await self._services.supervisor.status()
        except AdminError as error:
            self._next = replace(self._next, status_problem=str(error))
        else:
            self._next = replace(self._next, status=status, status_problem="")

    async def _look_at_chain(self, name: str) -> None:
        try:
            view, problem, apis = await self._services.rotating().seen(name)
        except RotationError as error:
            view, problem, apis = None, str(error), ()
        seen = ChainSeen(view, problem, apis, self._services.clock())
        self._next = replace(self._next, chains=self._next.chains | {name: seen})

    def _look_at_journal(self) -> None:
        if self._services.rotations is None:
            return
        try:
            rotations, problem = tuple(self._services.rotations.list(_ROTATIONS, None)), ""
        except JournalError as error:
            rotations, problem = self._next.rotations, str(error)
        self._next = replace(self._next, rotations=rotations, journal_problem=problem)

    def _look_at_rings(self) -> None:
        config, status = self._services.config, self._next.status or {}
        states = _key_states(status.get("keys") or ())
        try:
            uses = {name: self._services.journal.uses(name) for name in config.chains}
        except JournalError as error:
            self._next = replace(self._next, journal_problem=str(error))
            return
        rings = {}
        for name, node in config.nodes.items():
            seen = self._next.chains.get(node.chain)
            row = seen.view.row_keys if seen is not None and seen.view is not None else ()
            current = row[0] if len(row) == 1 else None
            rings[name] = ring.level(config, name, uses[node.chain], states, current=current)
        self._next = replace(self._next, rings=rings)

    def _publish(self) -> None:
        now = self._next = replace(self._next, number=self.snapshot.number, at=self.snapshot.at)
        if now == self.snapshot and now.at is not None:
            return
        self.snapshot = replace(now, number=now.number + 1, at=self._services.clock())
        news, self._news = self._news, asyncio.Event()
        news.set()


def _key_states(keys: Sequence[Any]) -> dict[PublicKey, str]:
    states = {}
    for each in keys:
        try:
            states[PublicKey.parse(each["public_key"])] = str(each["state"])
        except (FormatError, KeyError, TypeError):
            continue  # a key of a form that this process does not know has no ring
    return states
