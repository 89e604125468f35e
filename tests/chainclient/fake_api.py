"""An API node that says what a test wants: a small HTTP server in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

ANSWERS = Path(__file__).with_name("answers")

CHAIN_ID = "c0" * 32
OTHER_ID = "bad0" * 16
#: When the fakes' chain is.
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

#: Status and body, or something that writes to the connection itself.
Reply = tuple[int, bytes] | Callable[[asyncio.StreamWriter], Awaitable[None]]


def recorded(name: str) -> Any:  # noqa: ANN401 - JSON
    """The JSON of a recorded answer."""
    return json.loads((ANSWERS / f"{name}.json").read_text())["answer"]


def replay(name: str) -> tuple[int, bytes]:
    """A recorded answer, as a reply."""
    found = json.loads((ANSWERS / f"{name}.json").read_text())
    return found["status"], json.dumps(found["answer"]).encode()


def says(answer: object, status: int = 200) -> tuple[int, bytes]:
    """A reply with JSON."""
    return status, json.dumps(answer).encode()


async def send(writer: asyncio.StreamWriter, reply: tuple[int, bytes]) -> None:
    """Write a whole answer."""
    status, content = reply
    writer.write(f"HTTP/1.1 {status} Any\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
    await writer.drain()


async def hang(_writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def block_id(number: int) -> str:
    """An id for block `number`."""
    return f"{number:08x}" + "ab" * 28


class FakeApi:
    """One API node on 127.0.0.1.

    Attributes:
        url: its address.
        chain_id: what it says it serves.
        head: the number of its head block; block n is n slots after NOON.
        behind: how many blocks its last irreversible block is behind its head.
        replies: what it says to a call, before the built-in get_info and get_block_info.
        calls: what it was asked, in order.
        bodies: with what.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.chain_id = CHAIN_ID
        self.head = 1000
        self._tls = tls
        self.behind = 10
        self.schedule_version = 1
        self.replies: dict[str, Reply] = {}
        self.calls: list[str] = []
        self.bodies: list[Any] = []
        self.asked = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._port}"

    @property
    def head_time(self) -> datetime:
        """The slot of its head block."""
        return NOON + timedelta(seconds=self.head / 2)

    async def start(self) -> None:
        """Listen, on the port of the last time."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be dead: nobody listens, and every connection is closed."""
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def count(self, call: str) -> int:
        """How often it was asked `call`."""
        return self.calls.count(call)

    def _info(self) -> tuple[int, bytes]:
        head, last = self.head, self.head - self.behind
        time = self.head_time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        last_time = (NOON + timedelta(seconds=last / 2)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        return says(
            recorded("info")
            | {
                "chain_id": self.chain_id,
                "head_block_num": head,
                "head_block_id": block_id(head),
                "head_block_time": time,
                "last_irreversible_block_num": last,
                "last_irreversible_block_id": block_id(last),
                "last_irreversible_block_time": last_time,
            }
        )

    def _block(self, number: int) -> tuple[int, bytes]:
        numbered = {"id": block_id(number), "block_num": number, "schedule_version": self.schedule_version}
        return says(recorded("block-info") | numbered)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._answer(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()  # also when the other side does not read

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        sizes = [line.split(":")[1] for line in headers if line.lower().startswith("content-length:")]
        body = json.loads(await reader.readexactly(int(sizes[0])))
        call = request.split()[1].removeprefix("/v1/chain/")
        self.calls.append(call)
        self.bodies.append(body)
        self.asked.set()
        reply = self.replies.get(call)
        if reply is None and call == "get_info":
            reply = self._info()
        elif reply is None and call == "get_block_info":
            reply = self._block(body["block_num"])
        elif reply is None:
            reply = replay("endpoint-absent")
        if isinstance(reply, tuple):
            await send(writer, reply)
        else:
            await reply(writer)
