"""The laws of a channel: what was sent arrives, whole and in order, whatever becomes of the sender."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from rig.condition import HANG_S

from signer import channel
from signer.channel import Channel, pair

if TYPE_CHECKING:
    from collections.abc import Callable


class _End:
    """One end of a channel, and what came there."""

    def __init__(self, sock: Any) -> None:  # noqa: ANN401 - a socket
        self.messages: list[dict[str, Any]] = []
        self.fds: list[int] = []
        self.closed = asyncio.Event()
        self.channel = Channel(sock, self._take, self.closed.set)

    def _take(self, message: dict[str, Any], fds: list[int]) -> None:
        self.messages.append(message)
        self.fds += fds


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_nothing_is_lost_of_a_process_that_ends_with_a_message_unread(run: Callable[..., None]) -> None:
    """As a signing process that was replaced: its last decisions, while the supervisor asks it something."""

    async def scene() -> None:
        theirs, ours = pair()
        end, other = _End(ours), _End(theirs)
        for number in range(20):
            other.channel.send({"number": number, "text": "x" * 100_000 * (number == 7)})
        other.channel.send({"number": 20}, [0])
        end.channel.send({"unread": True})
        await other.channel.flush()
        other.channel.close()
        async with asyncio.timeout(HANG_S):
            await end.closed.wait()
        assert [message["number"] for message in end.messages] == list(range(21))
        assert len(end.fds) == 1
        assert not os.get_inheritable(end.fds[0])  # an upgrade begins programs that know nothing of it
        os.close(end.fds[0])
        assert other.messages == []

    run(scene())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_without_memory_it_waits_and_loses_nothing(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read again at once, it would keep the processor and fill the log until there is some."""

    async def scene() -> None:
        theirs, ours = pair()
        end, other = _End(ours), _End(theirs)
        looks = 0

        def fail(_sock: Any) -> Any:  # noqa: ANN401 - as _packet
            nonlocal looks
            looks += 1
            raise MemoryError

        with monkeypatch.context() as patch:
            patch.setattr(channel, "_packet", fail)
            other.channel.send({"number": 1})
            other.channel.close()
            while looks < 3:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
            assert end.messages == []
        async with asyncio.timeout(HANG_S):
            await end.closed.wait()
        assert [message["number"] for message in end.messages] == [1]

    began = time.monotonic()
    run(scene())
    assert time.monotonic() - began > 2 * channel._NO_MEMORY_S  # noqa: SLF001 - three looks have two pauses


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_nothing_is_lost_because_something_is_sent_to_who_has_ended(run: Callable[..., None]) -> None:
    async def scene() -> None:
        theirs, ours = pair()
        end, other = _End(ours), _End(theirs)
        for number in range(20):
            other.channel.send({"number": number})
        await other.channel.flush()
        other.channel.close()
        end.channel.send({"too late": True}, [0])
        async with asyncio.timeout(HANG_S):
            await end.closed.wait()
        assert [message["number"] for message in end.messages] == list(range(20))
        assert end.channel.unsent == 0

    run(scene())
