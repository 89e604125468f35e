"""Follows a chain for its watcher: asks the API nodes twice a second, and the supervisor whose signatures they show.

Nothing waits for it: a chain that does not answer, or a supervisor that does not, is asked again at the next turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from signer.chain.client import UNKNOWN_BLOCK
from signer.chain.watcher import Origin, Watcher
from signer.control.reconciler import Reconciler
from signer.errors import AdminError, ChainError, ChainRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from signer.antelope.name import Name
    from signer.chain.client import ChainClient
    from signer.chain.sighting import Sighting
    from signer.chain.values import Info, ProducerRow
    from signer.chain.watcher import Slot, Totals
    from signer.config import Config
    from signer.control.supervisor import Supervisor

log = logging.getLogger("signer.control")

#: One slot.
_EVERY_S: Final = 0.5
#: A schedule is in force for minutes, and a row changes when somebody pushes an action.
_SCHEDULES_EVERY_S: Final = 1.0
_ROW_EVERY_S: Final = 5.0
#: A chain that nobody tells of for so long is an alarm, in s. An API node that is restarted is back before.
_SILENT_S: Final = 60.0
#: Batches of blocks in one turn, so that a turn ends also where there is much to catch up with.
_BATCHES: Final = 16
#: A signature is in the supervisor's memory this long after its block is on chain, in s. Later it is not ours.
_ISSUED_S: Final = 3.0
#: What is seen is told to the supervisor when it changes, and this often in any case, in s.
_TELL_EVERY_S: Final = 1.0


class Follower:
    """One chain.

    Args:
        chain: its name in the configuration.
        producer: our account.
        client: its API nodes.
        supervisor: knows what was signed, and is told what is seen.
        reconciler: looks at blocks with other signatures.
        targets: says which keys (PUB_ form) live rotations are registering.
        clock: the time of day, in s since 1970.
        monotonic: seconds that only grow.
    """

    def __init__(
        self,
        chain: str,
        producer: Name,
        client: ChainClient,
        supervisor: Supervisor,
        reconciler: Reconciler,
        *,
        targets: Callable[[], tuple[str, ...]] = tuple,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watcher = Watcher(chain, producer)
        self._chain = chain
        self._client = client
        self._supervisor = supervisor
        self._reconciler = reconciler
        self._targets = targets
        self._clock = clock
        self._monotonic = monotonic
        self._asked: dict[str, float] = {}
        self._schedules_at = self._row_at = self._told_at = -_ROW_EVERY_S
        self._seen_at = 0.0
        self._signs = False
        self._told: tuple[object, ...] = ()
        self._trouble = ""
        self._well_at = monotonic()
        self._silent = False

    # -- what was seen (signer.control.services.ChainWatch) ------------------------------------------------

    def sighting(self) -> Sighting | None:
        """Return what was seen last; None before anything was."""
        return self._watcher.sighting(self._seen_at, self._targets())

    def slots(self, rounds: int) -> Sequence[Slot]:
        """Return the slots of the last rounds of ours, the newest first."""
        return self._watcher.slots(rounds)

    def totals(self) -> Totals:
        """Return our slots since this process started."""
        return self._watcher.totals

    def foreign(self) -> Mapping[str, int]:
        """Return how many blocks with other signatures were looked at since this process started, by their author."""
        return self._reconciler.found

    @property
    def trouble(self) -> str:
        """Why nothing new is seen; empty if all is well."""
        return self._trouble

    # -- following -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            began = self._monotonic()
            unheard = False
            try:
                await self.turn()
                trouble = ""
            except ChainError as error:
                unheard, trouble = True, str(error)
            except AdminError as error:
                trouble = str(error)
            except Exception:
                # One answer that nobody thought of must not end the watch for good.
                log.exception("the watch of a chain failed", extra={"chain": self._chain})
                trouble = "a fault of the signer; its log has the place"
            if trouble != self._trouble:
                self._trouble = trouble
                fields = {"chain": self._chain, "reason": trouble}
                log.log(logging.WARNING if trouble else logging.INFO, "chain watch", extra=fields)
            await self._mind(trouble, unheard=unheard)
            await asyncio.sleep(max(0.0, began + _EVERY_S - self._monotonic()))

    async def _mind(self, trouble: str, *, unheard: bool) -> None:
        """Raise the alarm when no API node has told anything for long, and end it."""
        now = self._monotonic()
        if not unheard:
            self._well_at = now
        silent = now - self._well_at >= _SILENT_S
        if silent != self._silent:
            text = f"nothing is seen of chain {self._chain}: {trouble}"
            with contextlib.suppress(AdminError):  # the next turn tells it
                await self._supervisor.alarm("chain-silent", self._chain, text, on=silent)
                self._silent = silent

    async def turn(self) -> None:
        """Take one look.

        Raises:
            ChainError: no API node tells.
            AdminError: the supervisor does not.
        """
        info = await self._client.info()
        now = self._monotonic()
        self._watcher.learn_info(info, now)
        self._seen_at = self._clock()
        if now - self._schedules_at >= _SCHEDULES_EVERY_S:
            self._watcher.learn_schedules(await self._client.schedules())
            self._schedules_at = now
        if now - self._row_at >= _ROW_EVERY_S:
            self._watcher.learn_row(await self._row())
            self._row_at = now
        try:
            await self._catch_up(info)
        except Exception:  # not a cancellation: a supervisor that is gone would make an AdminError of it
            await self._count_and_tell()
            raise
        await self._count_and_tell()
        await self._judge()

    async def _row(self) -> ProducerRow | None:
        try:
            return await self._client.producer(self._watcher.producer)
        except ChainRefusedError:
            return None  # a chain without the system contract has blocks all the same

    async def _catch_up(self, info: Info) -> None:
        for _ in range(_BATCHES):
            numbers = self._watcher.wanted(info.head)
            if not numbers:
                return
            try:
                blocks = await asyncio.gather(*(self._client.block(number) for number in numbers))
            except ChainRefusedError as error:
                if error.code != UNKNOWN_BLOCK or numbers[-1] >= info.irreversible.number:
                    raise
                self._watcher.skip(info.head)
            else:
                self._watcher.take(blocks)

    async def _judge(self) -> None:
        """Ask the supervisor who gave the signatures of our blocks.

        A control unit has nobody to ask (`signer serve --only control`): there each block stays unknown.
        """
        if not self._signs:
            return
        # All are asked for before any is judged: one that was judged and not looked at would be seen no more.
        told = [
            (block, await self._supervisor.issued(block.producer_signature))
            for block in self._watcher.unjudged()
        ]
        now = self._monotonic()
        asked: dict[str, float] = {}
        suspects = []
        for block, issued in told:
            signature = block.producer_signature
            first = self._asked.get(signature, now)
            if issued is not None:
                self._watcher.judge(signature, Origin(issued.key, issued.node))
            elif now - first > _ISSUED_S:
                self._watcher.judge(signature, None)
                suspects.append((block, self._watcher.authority(block)))
            else:
                asked[signature] = first
        self._asked = asked
        await self._reconciler.look(suspects)

    async def _count_and_tell(self) -> None:
        self._watcher.count()
        seen = self.sighting()
        if seen is None:
            return
        now = self._monotonic()
        keys = (seen.active, seen.pending, seen.proposed, seen.row, seen.targets)
        telling = (*keys, seen.producers, seen.missed_in_row)
        if telling != self._told or now - self._told_at >= _TELL_EVERY_S:
            self._signs = await self._supervisor.sighted(seen)
            self._told, self._told_at = telling, now


def build(
    config: Config,
    chains: Mapping[str, tuple[Name, ChainClient]],
    supervisor: Supervisor,
    targets: Callable[[str], tuple[str, ...]],
) -> dict[str, Follower]:
    """Return a follower of each chain, by its name; `targets` takes it."""
    found = {}
    for name, (producer, client) in chains.items():
        own = [
            str(key.public_key) for key in config.keys if key.role == "block" and config.chain_of(key) == name
        ]
        reconciler = Reconciler(name, own, config.audit_log, supervisor, monotonic=time.monotonic)
        found[name] = Follower(name, producer, client, supervisor, reconciler, targets=partial(targets, name))
    return found
