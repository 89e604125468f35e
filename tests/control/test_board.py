"""The shared look of the dashboards: how often it asks, when it stops, and what it keeps where nobody answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from rig.condition import until_here
from rig.fake_rotations import FakeSupervisor

from signer.control.auth import Scope
from signer.control.pages import board as boards
from signer.control.pages.board import Board
from signer.control.pages.dashboard import _follow
from signer.control.pages.fragments import PARTS, Fragments
from signer.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from rig.control_site import Site

    from signer.control.services import Services

_ALL = frozenset(Scope)


@dataclass
class CountingSupervisor(FakeSupervisor):
    """Counts who asks it, and may be silent."""

    asked: int = 0
    silent: bool = False

    async def status(self) -> dict[str, Any]:
        """Return the status, or raise."""
        self.asked += 1
        if self.silent:
            raise AdminError("the signer's supervisor did not answer within 2 s")
        return dict(self.answer)


@pytest.fixture
def supervisor(site: Site, monkeypatch: pytest.MonkeyPatch) -> CountingSupervisor:
    """A supervisor with a whole status, in the place of the site's."""
    whole = {
        "problems": [],
        "alarms": [],
        "frozen": [],
        "restarts": 0,
        "latency": {},
        "tokens": {},
        "keys": [],
    }
    made = CountingSupervisor(site.status | whole)
    object.__setattr__(site.app.state.services, "supervisor", made)
    monkeypatch.setattr(boards, "LINGER_S", 0.0)
    return made


def _run(what: Coroutine[Any, Any, None]) -> None:
    asyncio.run(what)


def _services(site: Site) -> Services:
    services: Services = site.app.state.services
    return services


def test_ten_readers_ask_no_more_than_one(site: Site, supervisor: CountingSupervisor) -> None:
    """One look for all; and every part is drawn once for those who may see the same."""

    async def look() -> None:
        board, fragments = Board(_services(site)), Fragments(_services(site))
        for _ in range(10):
            board.come()
        number = board.snapshot.number
        for _ in range(3):
            await board.changed(number)
            number = board.snapshot.number
            drawn = [fragments.draw(board.snapshot, _ALL) for _ in range(10)]
            assert all(each is drawn[0] for each in drawn)
            site.clock.pass_(1)
        assert supervisor.asked <= 5
        board.stop()

    _run(look())


def test_nobody_looks_while_nobody_reads(site: Site, supervisor: CountingSupervisor) -> None:
    async def look() -> None:
        board = Board(_services(site))
        board.come()
        await board.changed(board.snapshot.number)
        board.leave()

        async def over() -> bool:
            return board._task is None  # noqa: SLF001 - whether it looks is what this is about

        await until_here(over, "the board looks no more")
        asked = supervisor.asked
        board.come()
        assert board.snapshot.status is None  # what was seen before the pause is not shown as if it were now
        await board.changed(board.snapshot.number)
        assert supervisor.asked > asked
        board.stop()

    _run(look())


def test_what_does_not_answer_stays_and_is_said_not_to_be_fresh(
    site: Site, supervisor: CountingSupervisor
) -> None:
    async def look() -> None:
        board, fragments = Board(_services(site)), Fragments(_services(site))
        board.come()
        await board.changed(board.snapshot.number)
        assert board.snapshot.status is not None
        supervisor.silent = True

        async def said() -> bool:
            return bool(board.snapshot.status_problem)

        await until_here(said, "the silence is seen")
        assert board.snapshot.status is not None
        assert "did not answer within 2 s" in fragments.draw(board.snapshot, _ALL)["alarms"]
        board.stop()

    _run(look())


def test_a_chain_that_does_not_answer_is_said_first(site: Site, supervisor: CountingSupervisor) -> None:
    async def look() -> None:
        site.rotations.chain_known = False
        board, fragments = Board(_services(site)), Fragments(_services(site))
        board.come()
        await board.changed(board.snapshot.number)
        parts = fragments.draw(board.snapshot, _ALL)
        assert "No API node tells who produces" in parts["now"]
        assert "nobody answers" in parts["alarms"]
        board.stop()

    _run(look())


def test_a_stream_sends_what_changed_and_ends_with_its_session(
    site: Site, supervisor: CountingSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every part at first, then the changed ones; `over` when the token is revoked."""
    monkeypatch.setattr("signer.control.pages.dashboard._SESSION_S", 0.1)
    alive = True

    async def read() -> None:
        nonlocal alive
        board, fragments = Board(_services(site)), Fragments(_services(site))
        stream = _follow(board, fragments, scopes=_ALL, rotation=0, alive=lambda: alive, end=asyncio.Event())
        assert (await anext(stream)).startswith("retry: ")
        first = await anext(stream)
        assert [line for line in first.splitlines() if line.startswith("event: ")] == [
            f"event: {name}" for name in PARTS
        ]
        supervisor.answer["frozen"] = [
            {"scope": "node", "name": "a", "at": "", "by": "bob", "reason": "<b>two</b>"}
        ]
        second = await anext(stream)
        assert "&lt;b&gt;two&lt;/b&gt;" in second
        assert "event: rings" not in second
        alive = False
        assert "event: over\ndata:\n\n" in [each async for each in stream]
        board.stop()

    _run(read())
