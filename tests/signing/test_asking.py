"""The laws of a question to another of our processes: one answer, or none in time; and who asks can be cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from signer.questions import Questions

if TYPE_CHECKING:
    from signer.channel import Message


def test_who_is_cancelled_as_the_answer_comes_is_cancelled() -> None:
    """An upgrade cancels who asks for signs of life all the time, and waits for its end."""

    async def scene() -> None:
        asked: list[Message] = []
        questions = Questions(asked.append)
        asking = asyncio.create_task(questions.ask({"type": "ping"}, 60.0))
        while not asked:  # noqa: ASYNC110 - the list tells nobody
            await asyncio.sleep(0)
        questions.answered({"type": "answer", "id": asked[0]["id"]})
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(scene())


def test_without_an_answer_in_time_there_is_none() -> None:
    """And one that comes later is dropped."""

    async def scene() -> None:
        asked: list[Message] = []
        questions = Questions(asked.append)
        assert await questions.ask({"type": "ping"}, 0.01) is None
        questions.answered({"type": "answer", "id": asked[0]["id"]})
        asking = asyncio.create_task(questions.ask({"type": "ping"}, 60.0))
        await asyncio.sleep(0)
        questions.close()
        assert await asking is None

    asyncio.run(scene())
