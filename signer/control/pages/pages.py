"""All pages, added to the control application."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from signer.control.pages import auditing, dashboard, door, freezing, keeping, moving
from signer.control.pages.board import Board
from signer.control.pages.fragments import Fragments
from signer.control.pages.sessions import Sessions

if TYPE_CHECKING:
    from fastapi import FastAPI

ROUTED: Final = (door, dashboard, moving, freezing, keeping, auditing)


def add_to(app: FastAPI) -> None:
    """Add the pages to an application that has its services, its gate and its streams."""
    state = app.state
    state.sessions = Sessions(time.monotonic)
    state.board = Board(state.services)
    state.fragments = Fragments(state.services)
    state.searching = asyncio.Lock()
    state.streams.at_end(state.board.stop)
    for module in ROUTED:
        app.include_router(module.router)
