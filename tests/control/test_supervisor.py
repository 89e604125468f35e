"""A supervisor that does not answer, or says no: each question ends, and says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from signer.antelope.keys import PublicKey
from signer.control import supervisor
from signer.control.supervisor import Supervisor
from signer.errors import AdminError, AdminRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_KEY = PublicKey.parse("PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr")
_QUESTIONS: tuple[Callable[[Supervisor], Awaitable[object]], ...] = (
    lambda above: above.status(),
    lambda above: above.issued("SIG_R1_x"),
    lambda above: above.last_issued(_KEY),
    lambda above: above.act("rotation-approve", "alice", "rotation 17"),
    lambda above: above.freeze("all", "", "alice", "drill"),
    lambda above: above.unfreeze("all", "", "alice", "drill"),
)
_NAMES = ("status", "issued", "last-issued", "act", "freeze", "unfreeze")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long here."""
    for name in ("_STATUS_S", "_PROBE_S", "_ISSUED_S", "_ACT_S"):
        monkeypatch.setattr(supervisor, name, 0.01)


@pytest.mark.parametrize("ask", _QUESTIONS, ids=_NAMES)
def test_no_answer_ends_a_question(ask: Callable[[Supervisor], Awaitable[object]]) -> None:
    async def run() -> None:
        with pytest.raises(AdminError, match=r"did not answer within 0\.01 s"):
            await ask(Supervisor(lambda _: None))

    asyncio.run(run())


@pytest.mark.parametrize("ask", _QUESTIONS, ids=_NAMES)
def test_a_supervisor_that_is_gone_ends_a_question_at_once(
    ask: Callable[[Supervisor], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_STATUS_S", "_ISSUED_S", "_ACT_S"):
        monkeypatch.setattr(supervisor, name, 3600)

    async def run() -> None:
        above = Supervisor(lambda _: above.close())
        for _ in range(2):
            with pytest.raises(AdminError, match="did not answer"):
                await ask(above)

    asyncio.run(run())


@pytest.mark.parametrize("ask", _QUESTIONS, ids=_NAMES)
def test_a_refusal_is_passed_on(ask: Callable[[Supervisor], Awaitable[object]]) -> None:
    async def run() -> None:
        def answer(question: dict[str, Any]) -> None:
            above.answered(
                {"type": "answer", "id": question["id"], "error": "no such key", "code": "refused"}
            )

        above = Supervisor(answer)
        with pytest.raises(AdminRefusedError, match="no such key") as refused:
            await ask(above)
        assert refused.value.code == "refused"

    asyncio.run(run())


def test_a_probe_without_an_answer_is_a_probe_that_failed() -> None:
    async def run() -> str:
        return await Supervisor(lambda _: None).probe(_KEY, "alice")

    assert "did not answer" in asyncio.run(run())


def test_an_answer_that_comes_too_late_is_dropped() -> None:
    asked: list[dict[str, Any]] = []

    async def run() -> None:
        above = Supervisor(asked.append)
        with pytest.raises(AdminError, match="did not answer"):
            await above.status()
        above.answered({"type": "answer", "id": asked[0]["id"], "status": {}})

    asyncio.run(run())
