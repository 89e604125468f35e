"""`/dashboard`: everything at one look, and the stream that keeps it so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from signer.control.auth import Scope
from signer.control.events import HEARTBEAT_S, MAX_STREAM_S, RETRY_MS, EventStream, Streams
from signer.control.pages import page
from signer.control.pages.visit import Looking
from signer.errors import JournalError, RotationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from signer.control.gate import Gate
    from signer.control.pages.board import Board
    from signer.control.pages.fragments import Fragments
    from signer.control.pages.sessions import Sessions

router = APIRouter(route_class=page.PageRoute, include_in_schema=False)

#: How long after the end of its session a stream may still show something, in s.
_SESSION_S: Final = 5.0
#: As the API has it.
_MAX_ID: Final = 2**53


@router.get("/dashboard")
async def dashboard(request: Request, visit: Looking) -> Response:
    """Show it as it is now."""
    visit.must(Scope.VIEW)
    board: Board = request.app.state.board
    fragments: Fragments = request.app.state.fragments
    snapshot = await board.glance()
    parts = fragments.draw(snapshot, visit.person.scopes)
    return page.show(request, "dashboard", visit, parts=parts)


@router.get("/dashboard/events")
async def events(
    request: Request, visit: Looking, rotation: Annotated[int, Query(ge=0, le=_MAX_ID)] = 0
) -> Response:
    """Send each part of the dashboard, or of the page of one rotation, whenever it has changed."""
    visit.must(Scope.VIEW)
    board: Board = request.app.state.board
    fragments: Fragments = request.app.state.fragments
    sessions: Sessions = request.app.state.sessions
    gate: Gate = request.app.state.gate
    streams: Streams = request.app.state.streams
    fragments.draw(await board.glance(), visit.person.scopes, rotation)  # no stream for what is not there
    end = streams.take(visit.person.name)

    def alive() -> bool:
        person = gate.holder(visit.session.fingerprint)
        return person == visit.person and sessions.alive(visit.session)

    scopes = visit.person.scopes
    body = _follow(board, fragments, scopes=scopes, rotation=rotation, alive=alive, end=end)
    return EventStream(body, streams, end)


async def _follow(
    board: Board,
    fragments: Fragments,
    *,
    scopes: frozenset[Scope],
    rotation: int,
    alive: Callable[[], bool],
    end: asyncio.Event,
) -> AsyncGenerator[str]:
    """Yield the parts that differ from what the reader has, and `over` when the session has ended."""
    loop = asyncio.get_running_loop()
    began_s = said_s = checked_s = loop.time()
    sent: dict[str, str] = {}
    ending = loop.create_task(end.wait())
    news: asyncio.Task[None] | None = None
    board.come()
    try:
        yield f"retry: {RETRY_MS}\n\n"
        while not end.is_set() and loop.time() - began_s < MAX_STREAM_S:
            snapshot, now_s = board.snapshot, loop.time()
            if now_s - checked_s > _SESSION_S:
                checked_s = now_s
                if not alive():
                    yield "event: over\ndata:\n\n"
                    return
            try:
                parts = fragments.draw(snapshot, scopes, rotation)
            except (RotationError, JournalError):
                parts = {}  # the page says already since when it is not fresh
            changed = {name: text for name, text in parts.items() if sent.get(name) != text}
            if changed and snapshot.at is not None:
                sent |= changed
                said_s = now_s
                yield "".join(_event(name, text) for name, text in changed.items())
            elif now_s - said_s > HEARTBEAT_S:
                said_s = now_s
                yield ": here\n\n"
            news = loop.create_task(board.changed(snapshot.number))
            await asyncio.wait((ending, news), timeout=_SESSION_S, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
    finally:
        board.leave()
        ending.cancel()
        if news is not None:
            news.cancel()


def _event(name: str, text: str) -> str:
    lines = "\n".join(f"data: {line}" for line in text.splitlines())
    return f"event: {name}\n{lines}\n\n"
