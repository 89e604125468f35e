"""A hostile client, as a process of its own: `python -m hostile.attack`, the plan as JSON on standard input.

It attacks until its input ends, then prints what it did as JSON: connections, requests, answers by status.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvloop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: The attacks by name. Each but the last two is on the very listener that nodeos uses.
NAMES: Final = (
    "idle",
    "slow",
    "large",
    "pipelined",
    "chunks",
    "garbage",
    "storm",
    "json",
    "valid",
    "refused",
)
_IDLE: Final = 500
_SLOW: Final = 100
_LARGE_BYTES: Final = 10 * 1024 * 1024
_VALID_PER_S: Final = 500
#: Connections that are made at once, by attacks that go round.
_ABREAST: Final = 8
_PATIENCE_S: Final = 2.0
_TARGET: Final = "/v1/wallet/sign_digest"
_CHUNKS: Final = (
    b"zz\r\nx\r\n0\r\n\r\n",
    b"-1\r\nx\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\nx",
    b"7fffffff\r\nx",
    b"2\r\nabc\r\n0\r\n\r\n",
    b"1;" + b"x" * 20_000 + b"\r\nx\r\n0\r\n\r\n",
    b"1\r\nx\r\n0\r\nTrailer: " + b"x" * 20_000 + b"\r\n\r\n",
    b"1\r\nx\r\n" * 3_000 + b"0\r\n\r\n",
    b"0\r\n\r\nPOST / HTTP/1.1\r\n\r\n",
)
_HEADERS: Final = (
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Content-Length: 5\r\nContent-Length: 6",
)


@dataclass(frozen=True)
class Plan:
    """Whom to attack and how.

    Attributes:
        name: one of NAMES.
        port: of 127.0.0.1, the listener that nodeos uses.
        other_port: another node's listener.
        other_key: a key of that node.
        strange_key: a key that nobody has.
    """

    name: str
    port: int
    other_port: int
    other_key: str
    strange_key: str


class Attack:
    """One plan, carried out."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Attack until cancelled."""
        plan = self._plan
        if plan.name == "idle":
            await self._together([self._hold] * _IDLE)
        elif plan.name == "slow":
            await self._together([self._drip] * _SLOW)
        elif plan.name == "valid":
            await self._paced(lambda: self._ask(plan.other_port, self._request(plan.other_key)))
        else:
            contents = {
                "large": self._large(),
                "pipelined": [self._request(plan.strange_key) * 50],
                "chunks": self._chunks(),
                "garbage": [os.urandom(size) for size in (1, 20, 300, 5_000, 100_000)],
                "storm": [b""],
                "json": self._json(),
                "refused": [self._request(plan.strange_key)],
            }[plan.name]
            port = plan.other_port if plan.name == "refused" else plan.port
            rounds = itertools.cycle(contents)

            async def go_round() -> None:
                while True:
                    await self._ask(port, next(rounds))

            await self._together([go_round] * _ABREAST)

    # -- contents --------------------------------------------------------------------------------------------

    def _request(self, key: str) -> bytes:
        body = json.dumps([os.urandom(32).hex(), key])
        return f"{self._head()}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def _head(self) -> str:
        port = self._plan.port
        return f"POST {_TARGET} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"

    def _large(self) -> list[bytes]:
        head = self._head().encode()
        whole = head + b"Content-Length: %d\r\n\r\n" % _LARGE_BYTES + b"x" * _LARGE_BYTES
        chunked = (
            head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % _LARGE_BYTES + b"x" * _LARGE_BYTES + b"\r\n"
        )
        return [whole, chunked]

    def _json(self) -> list[bytes]:
        """Return bodies of the size that is read, and of as many values as that can have."""
        bodies = [b"[" + value * (65_000 // len(value)) + b"1]" for value in (b"{},", b"[],", b"1,")]
        head = self._head().encode()
        return [head + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies]

    def _chunks(self) -> list[bytes]:
        head = self._head()
        return [f"{head}{header}\r\n\r\n".encode() + body for header in _HEADERS for body in _CHUNKS]

    # -- ways ------------------------------------------------------------------------------------------------

    async def _together(self, clients: list[Callable[[], Awaitable[None]]]) -> None:
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(self._stubborn(client))

    async def _stubborn(self, client: Callable[[], Awaitable[None]]) -> None:
        """Begin again after each failure."""
        while True:
            try:
                await client()
            except OSError as error:
                self.counts[type(error).__name__] += 1
                await asyncio.sleep(0.05)

    async def _paced(self, ask: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._once(ask))
                due = max(
                    due + 1 / _VALID_PER_S, loop.time() - 0.1
                )  # what was not sent in time is not sent later
                await asyncio.sleep(due - loop.time())

    async def _once(self, ask: Callable[[], Awaitable[None]]) -> None:
        try:
            await ask()
        except OSError as error:
            self.counts[type(error).__name__] += 1

    async def _hold(self) -> None:
        """Connect, say nothing, and come back when the door is shut."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._plan.port)
        self.counts["connections"] += 1
        try:
            await reader.read(1)
        finally:
            writer.close()
        await asyncio.sleep(0.05)

    async def _drip(self) -> None:
        """Send a request byte by byte: the header with pauses, or the header at once and then the body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._plan.port)
        self.counts["connections"] += 1
        content = self._request(self._plan.strange_key)
        if self.counts["connections"] % 2:
            head, end, content = content.partition(b"\r\n\r\n")
            writer.write(head + end)
        try:
            for byte in content:
                if writer.is_closing():
                    return  # uvloop's write raises no OSError then
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
            await reader.read()
        finally:
            writer.close()

    async def _ask(self, port: int, content: bytes) -> None:
        """Send `content` on a connection of its own and read the answer, if one comes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.counts["connections"] += 1
        try:
            if not content:
                return  # a storm of connections that come and go
            writer.write(content)
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(_PATIENCE_S):
                    await writer.drain()
                    line = await reader.readline()
                    self.counts[f"answers {line[9:12].decode('ascii', 'replace') or 'none'}"] += 1
                    await reader.read()
        finally:
            writer.transport.abort()


async def _main() -> None:
    plan = Plan(**json.loads(await asyncio.to_thread(sys.stdin.readline)))
    attack = Attack(plan)
    running = asyncio.create_task(attack.run())
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    print(json.dumps(attack.counts), flush=True)
    os._exit(0)


if __name__ == "__main__":
    uvloop.run(_main())
