"""Health and metrics: 200 or 503 for anybody, names for those who may view, and few questions however many ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rig.control_site import Clock, is_problem, status
from rig.fake_rotations import FakeSupervisor
from rig.scrape import Scrape

from signer.control.health import LastStatus
from signer.errors import AdminError
from signer.metrics.page import render

if TYPE_CHECKING:
    from typing import Any

    import pytest
    from rig.control_site import Site

READY = "/v1/health/ready"
_OBSTACLE = "node primary has no key that can sign"


def test_not_ready_is_503_and_says_where_to_look_but_no_names(site: Site) -> None:
    site.status.update(ready=False, obstacles=[_OBSTACLE])
    answer = site.ask(READY)
    is_problem(answer, 503, "not-ready")
    assert "signer status" in answer.json()["detail"]
    assert "1 obstacle)" in answer.json()["detail"]
    assert "primary" not in answer.text
    assert answer.headers["retry-after"] == "1"


def test_a_supervisor_that_is_silent_is_not_ready_and_alive(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent() -> dict[str, Any]:
        raise AdminError("no answer")

    monkeypatch.setattr(site.supervisor, "status", silent)
    is_problem(site.ask(READY), 503, "supervisor")
    assert site.ask("/v1/health/live").status_code == 200


def test_details_are_for_those_who_may_view(site: Site) -> None:
    """200 also when it is not ready: there is an answer."""
    site.status.update(ready=False, obstacles=[_OBSTACLE], problems=["look"])
    answer = site.ask("/v1/health", token=site.token("view"))
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": False,
        "obstacles": [_OBSTACLE],
        "problems": ["look"],
        "proved_at": {"primary": 2.0},
    }


def test_the_page_for_prometheus_is_that_of_the_status(site: Site) -> None:
    answer = site.ask("/metrics", token=site.token("view"))
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert Scrape(answer.text).value("signer_ready") == 1
    site.status["ready"] = False
    assert Scrape(site.ask("/metrics", token=site.token("view", name="b")).text).value("signer_ready") == 0


class Counting(FakeSupervisor):
    """Counts the questions, and answers each after the loop has turned."""

    asked = 0

    async def status(self) -> dict[str, Any]:
        """Answer with the number of the question."""
        self.asked += 1
        number = self.asked
        await asyncio.sleep(0)
        return {"number": number}


def test_however_many_ask_the_supervisor_is_asked_once_a_second() -> None:
    supervisor, clock = Counting({}), Clock()
    last = LastStatus(supervisor, lambda: clock.now)

    async def ask(count: int) -> list[dict[str, Any]]:
        return await asyncio.gather(*(last.get() for _ in range(count)))

    async def scene() -> None:
        assert await ask(100) == [{"number": 1}] * 100
        clock.pass_(0.9)
        assert await ask(1) == [{"number": 1}]
        clock.pass_(0.1)
        assert await ask(2) == [{"number": 2}] * 2
        clock.pass_(-3600)  # a clock that is set back must not keep an answer for an hour
        assert await ask(1) == [{"number": 3}]

    asyncio.run(scene())


def test_who_leaves_takes_the_answer_from_nobody() -> None:
    supervisor, clock = Counting({}), Clock()
    last = LastStatus(supervisor, lambda: clock.now)

    async def scene() -> None:
        first = asyncio.create_task(last.get())
        second = asyncio.create_task(last.get())
        await asyncio.sleep(0)
        first.cancel()
        assert await second == {"number": 1}

    asyncio.run(scene())


def test_a_half_that_runs_alone_is_not_half_down() -> None:
    """What the other half would have is on no page: no alert waits for it."""
    control = {"purpose": "control", "state": "closed", "lanes": [], "lanes_configured": 2, "proved_at": None}
    whole = status()
    whole["tokens"]["control"] = control
    alone = whole | {"only": "control", "ready": False}
    page = Scrape(render(alone).decode())
    assert page.values("signer_ready") == page.values("signer_token_state", purpose="block") == []
    assert page.value("signer_token_state", token="control", state="closed") == 1
    alone = whole | {"only": "signing", "control": {"state": "off", "pid": None, "restarts": 0}}
    page = Scrape(render(alone).decode())
    assert page.value("signer_ready") == 1
    assert page.values("signer_token_state", purpose="control") == []
