"""`/v1/rotations/{id}/events`: a rotation's history as it is written, as server-sent events.

The history in the journal is the only queue: a change wakes a stream, which then reads what it has not sent. A reader
that is slow or gone holds up nobody, and one that comes back goes on where it was (Last-Event-ID).
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from signer.control import problem
from signer.control.access import Viewer
from signer.control.problem import ProblemError
from signer.control.rotation_view import EntryView
from signer.control.rotations import RotationId
from signer.control.services import Given

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from starlette.types import Receive, Scope, Send

    from signer.control.services import RotationService
    from signer.rotation.rotation import Rotation

router = APIRouter(prefix="/v1/rotations", tags=["rotations"], responses=problem.RESPONSES)

#: A silent connection is closed by no usual proxy within this time.
HEARTBEAT_S: Final = 15.0
#: A reader that is gone without a word costs its place no longer than this. One that is there comes back.
MAX_STREAM_S: Final = 3600.0
#: Below the connections of a listener (limits.max_connections), so that streams leave room for questions.
MAX_STREAMS: Final = 32
#: One forgotten program cannot take all places.
MAX_STREAMS_OF_ONE: Final = 8
#: What an EventSource waits before it comes back, in ms.
RETRY_MS: Final = 1000
MEDIA_TYPE: Final = "text/event-stream"

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


class Streams:
    """The streams that are open."""

    def __init__(self) -> None:
        self._open: list[tuple[str, asyncio.Event]] = []
        self._ending = False
        self._at_end: list[Callable[[], None]] = []

    def at_end(self, call: Callable[[], None]) -> None:
        """Have something called when all streams are ended."""
        self._at_end.append(call)

    @property
    def open(self) -> int:
        """How many are open."""
        return len(self._open)

    def take(self, person: str) -> asyncio.Event:
        """Take a place for this person; the event tells the stream to end.

        Raises:
            ProblemError: 429 `streams`: none is left.
        """
        own = sum(name == person for name, _ in self._open)
        if own >= MAX_STREAMS_OF_ONE or len(self._open) >= MAX_STREAMS:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "streams",
                f"{MAX_STREAMS_OF_ONE} streams of one person and {MAX_STREAMS} of all are the most; end one first.",
                {"retry-after": "5"},
            )
        end = asyncio.Event()
        if self._ending:
            end.set()
        self._open.append((person, end))
        return end

    def give_back(self, end: asyncio.Event) -> None:
        """Give a place back."""
        self._open = [each for each in self._open if each[1] is not end]

    def end(self) -> None:
        """End all of them, because the process ends. Their readers come back to the next one."""
        self._ending = True
        for _, end in self._open:
            end.set()
        for call in self._at_end:
            call()


class EventStream(StreamingResponse):
    """A stream that holds a place while it is sent."""

    media_type = MEDIA_TYPE

    def __init__(self, body: AsyncGenerator[str], streams: Streams, end: asyncio.Event) -> None:
        super().__init__(body)
        self._body = body
        self._streams = streams
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it to its end."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.give_back(self._end)
            await self._body.aclose()


@router.get(
    "/{rotation_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One event for each change: the entry's number as its id, an EntryView in JSON as its "
            "data. The stream ends when the rotation has ended, and after an hour.",
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
        }
    },
)
async def events(
    rotation_id: RotationId,
    person: Viewer,
    services: Given,
    request: Request,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="The number of the last entry that you have.")
    ] = None,
) -> Response:
    """Follow one rotation. A comment every 15 s shows that somebody is there."""
    if last_event_id and _NUMBER.fullmatch(last_event_id) is None:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid",
            "A Last-Event-ID is the number of an entry.",
            errors=[{"at": ["header", "Last-Event-ID"], "kind": "form"}],
        )
    rotations = services.rotating()
    rotations.get(rotation_id)
    streams: Streams = request.app.state.streams
    end = streams.take(person.name)
    return EventStream(follow(rotations, rotation_id, int(last_event_id or 0), end), streams, end)


async def follow(
    rotations: RotationService,
    rotation_id: int,
    sent: int,
    end: asyncio.Event,
    *,
    heartbeat_s: float = HEARTBEAT_S,
    longest_s: float = MAX_STREAM_S,
) -> AsyncGenerator[str]:
    """Yield what a stream sends: the events after entry number `sent`, and comments.

    Args:
        rotations: the service.
        rotation_id: which one.
        sent: the number of the last entry that the reader has; 0 for none.
        end: ends the stream early.
        heartbeat_s: the pause between two comments, in s.
        longest_s: the stream ends after this time, in s.
    """
    yield f"retry: {RETRY_MS}\n\n"
    loop = asyncio.get_running_loop()
    until = loop.time() + longest_s
    changes = rotations.changes(rotation_id)
    ending = loop.create_task(end.wait())
    waiting = [ending, loop.create_task(_next(changes))]
    try:
        while True:
            await asyncio.sleep(0)  # the task above listens before the history is read: nothing falls between
            live = rotations.get(rotation_id).live
            for number, entry in enumerate(rotations.entries(rotation_id)[sent:], sent + 1):
                data = EntryView.of(number, entry).model_dump_json()
                yield f"id: {number}\nevent: change\ndata: {data}\n\n"
                sent = number
            if not live:
                return
            done, _ = await asyncio.wait(waiting, timeout=heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
            if ending in done or loop.time() >= until:
                return
            if not done:
                yield ": here\n\n"
            elif waiting.pop().result():
                waiting.append(loop.create_task(_next(changes)))
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _next(changes: AsyncIterator[Rotation]) -> bool:
    """Wait for a change; False: there will be none."""
    return await anext(changes, None) is not None
