"""The API nodes of one chain: which of them are worth asking, in which order, and what to say when none answers.

How they are is known from get_info, which goes to all of them at once, when what is known is too old. One that hangs
delays nobody for longer than _GRACE_S while another answers.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from signer.chain.api_node import not_served
from signer.chain.values import ApiState, ApiStatus
from signer.errors import ChainAnswerError, ChainError, ChainRefusedError, ChainUnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence

    from signer.chain.api_node import ApiNode

T = TypeVar("T")

log = logging.getLogger("signer.chain")

#: A node's word on how it is counts this long, s.
_FRESH_S: Final = 2.0
#: How long one that is slow is waited for when another has answered, s. A healthy one on another continent needs 0.3.
_GRACE_S: Final = 0.3
#: A node is asked last when its head is older than the best one by more than a round of one producer.
MAX_LAG_SLOTS: Final = 12
_SLOT: Final = timedelta(milliseconds=500)


class _Look(NamedTuple):
    """A question to a node how it is, under way.

    Attributes:
        task: it.
        grace_until: nobody who has another node waits for it longer (the event loop's time, s).
    """

    task: asyncio.Task[None]
    grace_until: float


class ApiNodes:
    """All API nodes of a chain.

    Args:
        chain: what the configuration calls it.
        nodes: at least one, in the order in which they are asked.

    Raises:
        ChainError: there is none, or one is there twice: it would agree with itself.
    """

    def __init__(self, chain: str, nodes: Iterable[ApiNode]) -> None:
        self._chain = chain
        self._nodes = tuple(nodes)
        if not self._nodes:
            raise ChainError(f"the chain {chain} has no API node")
        if len({node.url for node in self._nodes}) < len(self._nodes):
            raise ChainError(f"the chain {chain} has the same API node twice")
        self._looks: dict[ApiNode, _Look] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._reported = dict.fromkeys(self._nodes, ApiStatus.UNKNOWN)

    def __iter__(self) -> Iterator[ApiNode]:
        """In the order of the configuration."""
        return iter(self._nodes)

    async def aclose(self) -> None:
        """Cancel what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- health ----------------------------------------------------------------------------------------------

    def health(self) -> list[ApiState]:
        """How each API node was when it was last asked, in the order of the configuration. Asks nobody."""
        return [
            ApiState(
                api=node.url,
                status=self._status_of(node),
                reason=self._reason_of(node),
                head=node.info.head if node.info is not None else None,
                lag_slots=self._lag_slots(node),
                latency_s=node.info.latency_s if node.info is not None else None,
                failures=node.failures,
                last_error=node.last_error,
                retry_in_s=node.retry_in_s,
            )
            for node in self._nodes
        ]

    def _healthy(self) -> list[ApiNode]:
        return [node for node in self._nodes if node.status is ApiStatus.HEALTHY]

    def usable(self) -> list[ApiNode]:
        """The healthy nodes, in the order in which they are asked: those that lag or just now hesitate are last."""
        return sorted(
            self._healthy(),
            key=lambda node: (self._status_of(node) is ApiStatus.LAGGING, node in self._looks),
        )

    def _lag_slots(self, node: ApiNode) -> int | None:
        if node.info is None:
            return None
        heads = [each.info.head.time for each in self._healthy() if each.info is not None]
        return max(0, (max(heads, default=node.info.head.time) - node.info.head.time) // _SLOT)

    def _status_of(self, node: ApiNode) -> ApiStatus:
        lagging = node.status is ApiStatus.HEALTHY and (self._lag_slots(node) or 0) > MAX_LAG_SLOTS
        return ApiStatus.LAGGING if lagging else node.status

    def _reason_of(self, node: ApiNode) -> str:
        if self._status_of(node) is ApiStatus.LAGGING:
            return f"its head is {self._lag_slots(node)} slots behind the best one"
        return node.reason

    def report(self) -> None:
        """Log each API node whose status is another one than before."""
        for node in self._nodes:
            status = self._status_of(node)
            if status is not self._reported[node]:
                self._reported[node] = status
                level = logging.INFO if status is ApiStatus.HEALTHY else logging.WARNING
                fields = {
                    "chain": self._chain,
                    "api": node.url,
                    "status": status.value,
                    "reason": self._reason_of(node),
                }
                log.log(level, "api node state", extra=fields)

    async def look(self, max_age_s: float = _FRESH_S) -> None:
        """Have every API node's word on how it is, less than `max_age_s` old, of those that give one."""
        due = [node for node in self._nodes if node.is_due(max_age_s)]
        if not due and self._healthy():
            return
        await self._look_at(due)
        if not self._healthy():
            # Nobody is left: those that are left alone for now are asked too.
            await self._look_at([node for node in self._nodes if node not in due])

    async def _look_at(self, nodes: Sequence[ApiNode]) -> None:
        clock = asyncio.get_running_loop().time
        for node in nodes:
            if node not in self._looks:
                task = self.spawn(node.look())
                self._looks[node] = _Look(task, clock() + _GRACE_S)
                task.add_done_callback(partial(self._looked, node))
        while True:
            answered = any(node not in self._looks for node in self._healthy())
            # Those that take longer go on, and count when they are there.
            left = {
                look.task: look.grace_until - clock()
                for look in self._looks.values()
                if not answered or look.grace_until > clock()
            }
            if not left:
                return
            timeout = min(left.values()) if answered else None
            await asyncio.wait(left, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    def _looked(self, node: ApiNode, _: asyncio.Task[None]) -> None:
        del self._looks[node]
        self.report()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` by itself: it goes on when whoever waits for it no longer does."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- questions -------------------------------------------------------------------------------------------

    async def first(self, question: Callable[[ApiNode], Awaitable[T]]) -> T:
        """Ask one usable API node after the other, until one answers.

        Raises:
            ChainRefusedError: at least one node refused.
            ChainAnswerError: a node was not understood.
            ChainUnreachableError: no node answered.
        """
        await self.look()
        errors = {}
        for node in self.usable():
            try:
                return await question(node)
            except ChainError as error:
                self.report()
                errors[node] = error
        raise self.nobody(errors)

    def nobody(self, errors: Mapping[ApiNode, ChainError]) -> ChainError:
        """The exception for a question to which no API node gave an answer that can be used.

        Args:
            errors: of the nodes that were asked, in their order.
        """
        refusals = [error for error in errors.values() if isinstance(error, ChainRefusedError)]
        if refusals:
            silent = [node.url for node, error in errors.items() if not isinstance(error, ChainRefusedError)]
            # One that says something of the matter, and among those one that might change its mind.
            best = min(refusals, key=lambda error: (not_served(error), error.final))
            best.unanswered = tuple(silent)
            return best
        reasons = [
            str(errors[node]) if node in errors else f"{node.url}: {node.reason}" for node in self._nodes
        ]
        message = f"no API node of the chain {self._chain} gives an answer: {'; '.join(reasons)}"
        odd = any(isinstance(error, ChainAnswerError) for error in errors.values()) or any(
            node.status is ApiStatus.FAULTY for node in self._nodes
        )
        return ChainAnswerError(message) if odd else ChainUnreachableError(message)
