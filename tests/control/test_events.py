"""The laws of a rotation's events: each change once, from where the reader was, and no reader holds up another."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from rig.condition import HANG_S
from rig.control_site import is_problem

from signer.config import Config, Limits, Listener
from signer.control import server
from signer.control.events import MAX_STREAMS, MAX_STREAMS_OF_ONE, Streams, follow
from signer.control.problem import ProblemError
from signer.rotation.entry import Event
from signer.rotation.rotation import Kind, Request, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from rig.control_site import Site


def plan(site: Site) -> None:
    """Ask for a rotation."""
    asyncio.run(site.rotations.request(Request(Kind.PROMOTE, "eos", "b", "alice"), None, None))


def numbers(text: str) -> list[int]:
    """Return the ids of the events in a stream."""
    return [int(line.removeprefix("id: ")) for line in text.splitlines() if line.startswith("id: ")]


def test_an_ended_rotation_is_told_whole(site: Site) -> None:
    """Every entry is an event with its number; then the stream ends."""
    plan(site)
    site.rotations.move(1, State.PREFLIGHT, Event.CHECKING)
    site.rotations.move(1, State.REFUSED, Event.REFUSED)

    answer = site.ask("/v1/rotations/1/events", token=site.person("alice"))

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert numbers(answer.text) == [1, 2, 3]
    data = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert [each["state"] for each in data] == ["planned", "preflight", "refused"]
    assert answer.text.startswith("retry: 1000\n\n")


def test_a_reader_goes_on_where_it_was(site: Site) -> None:
    """Last-Event-ID; a number beyond the history has nothing to come."""
    plan(site)
    site.rotations.move(1, State.PREFLIGHT, Event.CHECKING)
    site.rotations.move(1, State.REFUSED, Event.REFUSED)
    token = site.person("alice")

    for given, expected in (("0", [1, 2, 3]), ("2", [3]), ("3", []), ("9", []), ("", [1, 2, 3])):
        answer = site.ask("/v1/rotations/1/events", token=token, headers=[("last-event-id", given)])
        assert numbers(answer.text) == expected
    for given in ("x", "-1", "1" * 10):
        answer = site.ask("/v1/rotations/1/events", token=token, headers=[("last-event-id", given)])
        is_problem(answer, 422, "invalid")


def test_changes_come_as_they_happen_and_comments_between(site: Site) -> None:
    """A change wakes the stream; silence is filled; the end of the rotation is its end."""
    plan(site)

    async def read() -> list[str]:
        pieces = []
        stream = follow(site.rotations, 1, 1, asyncio.Event(), heartbeat_s=0.01)
        async with aclosing(stream), asyncio.timeout(HANG_S):
            async for piece in stream:
                pieces.append(piece)
                if piece.startswith(": ") and pieces.count(piece) == 1:
                    site.rotations.move(1, State.PREFLIGHT, Event.CHECKING)
                elif "preflight" in piece:
                    site.rotations.move(1, State.SIGNED, Event.SIGNED)
                    site.rotations.move(1, State.REGISTERED, Event.REGISTERED)
                elif "registered" in piece:
                    site.rotations.move(1, State.DONE, Event.DONE)
        return pieces

    pieces = asyncio.run(read())

    assert ": here\n\n" in pieces
    assert numbers("".join(pieces)) == [2, 3, 4, 5]
    assert site.rotations.listeners == []


@pytest.mark.parametrize("way", ["told", "time"])
def test_a_stream_ends_without_the_rotation(way: str, site: Site) -> None:
    """When the process ends, and after the longest time: the reader comes back."""
    plan(site)

    async def read() -> list[str]:
        end = asyncio.Event()
        longest_s = 0.05 if way == "time" else 3600.0
        stream = follow(site.rotations, 1, 0, end, heartbeat_s=0.02, longest_s=longest_s)
        async with aclosing(stream), asyncio.timeout(HANG_S):
            pieces = []
            async for piece in stream:
                pieces.append(piece)
                if way == "told":
                    end.set()
        return pieces

    assert numbers("".join(asyncio.run(read()))) == [1]
    assert site.rotations.listeners == []


def test_places_are_limited_and_given_back() -> None:
    """So many for one person, so many for all."""
    streams = Streams()
    own = [streams.take("alice") for _ in range(MAX_STREAMS_OF_ONE)]
    with pytest.raises(ProblemError) as caught:
        streams.take("alice")
    assert (caught.value.status, caught.value.code) == (429, "streams")
    for number in range(MAX_STREAMS - MAX_STREAMS_OF_ONE):
        streams.take(f"person {number}")
    with pytest.raises(ProblemError):
        streams.take("bob")
    streams.give_back(own[0])
    assert not streams.take("bob").is_set()
    streams.end()
    assert all(each.is_set() for each in own[1:])
    streams.give_back(own[1])
    assert streams.take("carol").is_set()


# -- over a real socket -------------------------------------------------------------------------------------


@asynccontextmanager
async def served(site: Site, folder: Path) -> AsyncIterator[tuple[server.ControlServer, httpx.AsyncClient]]:
    """Serve the application on a unix socket, as the control process does."""
    path = folder / "control.sock"
    config = Config.model_construct(listeners=(Listener(kind="control", unix=path),), limits=Limits())
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    http = server.build(config, site.app)
    task = asyncio.create_task(http.serve(sockets=[sock]))
    try:
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        headers = {"authorization": f"Bearer {site.person('alice')}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers, timeout=HANG_S
        ) as client:
            yield http, client
    finally:
        http.end()
        await asyncio.wait_for(task, HANG_S)


def test_readers_come_go_and_hold_up_nobody(site: Site, tmp_path: Path) -> None:
    """One reads as it happens, one never reads, one leaves; all places come back; the end of the server ends them."""
    plan(site)
    path = "/v1/rotations/1/events"

    async def run() -> list[int]:
        async with (
            served(site, tmp_path) as (http, client),
            client.stream("GET", path) as reader,
            client.stream("GET", path) as sleeper,
        ):
            lines = reader.aiter_lines()
            async with client.stream("GET", path) as leaver:
                assert leaver.status_code == 200
            assert await until_event(lines) == "id: 1"
            site.rotations.move(1, State.PREFLIGHT, Event.CHECKING)
            assert await until_event(lines) == "id: 2"
            http.end()
            assert numbers("\n".join([line async for line in lines])) == []
            return numbers((await sleeper.aread()).decode())

    assert asyncio.run(asyncio.wait_for(run(), HANG_S)) == [1, 2]
    assert site.app.state.streams.open == 0
    assert site.rotations.listeners == []


def test_a_person_with_too_many_streams_is_told_to_wait(site: Site, tmp_path: Path) -> None:
    """429; a place that is given back can be taken."""
    plan(site)
    path = "/v1/rotations/1/events"

    async def run() -> None:
        async with served(site, tmp_path) as (_, client), AsyncExitStack() as stack:
            for _ in range(MAX_STREAMS_OF_ONE):
                stream = await stack.enter_async_context(client.stream("GET", path))
                assert stream.status_code == 200
            refused = await client.get(path)
            is_problem(refused, 429, "streams")
            assert refused.headers["retry-after"] == "5"
            site.rotations.move(1, State.ABORTED, Event.ABORTED)
            await stack.aclose()
            assert (await client.get(path)).status_code == 200

    asyncio.run(asyncio.wait_for(run(), HANG_S))


async def until_event(lines: AsyncIterator[str]) -> str:
    """Return the next id line of a stream."""
    async for line in lines:
        if line.startswith("id: "):
            return line
    raise AssertionError("the stream ended without an event")
