"""Questions over a channel, and the answers to them: each has a number and a time after which nobody waits any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.channel import Message

#: The type of every answer. It carries the `id` of its question.
ANSWER = "answer"


class Questions:
    """The questions of one side.

    Args:
        send: sends a message to the other side; must not block.
        first: the number of the first one. Answers to those before it are dropped.
    """

    def __init__(self, send: Callable[[Message], None], first: int = 1) -> None:
        self._send = send
        self._next = first
        self._waiting: dict[int, asyncio.Future[Message | None]] = {}
        self._closed = False

    @property
    def next(self) -> int:
        """The number of the next one."""
        return self._next

    async def ask(self, question: Message, timeout_s: float) -> Message | None:
        """Return the answer, or None if none came in time or the other side is gone."""
        if self._closed:
            return None
        number, self._next = self._next, self._next + 1
        answer: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._send({**question, "id": number})
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._waiting[number]

    def answered(self, answer: Message) -> None:
        """Take an answer. One that nobody waits for any more is dropped."""
        waiting = self._waiting.get(answer["id"])
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def close(self) -> None:
        """The other side is gone: nobody waits any longer."""
        self._closed = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)
