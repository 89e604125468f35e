"""However many ask the wallet for something, few are in work, and one process looks for a token."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from signer.config import Config, Token
from signer.errors import SigningError
from signer.supervisor import keymaker, wallet
from signer.supervisor.expected import Expected
from signer.supervisor.wallet import Wallet

if TYPE_CHECKING:
    from pathlib import Path

    from signer.supervisor.run import Supervisor

_TOKENS = {
    name: Token.model_validate(
        {"uri": "pkcs11:token=primary?module-path=/usr/lib/softhsm/libsofthsm2.so", "pin_prompt": True}
    )
    for name in ("default", "other")
}


class _Looks:
    """In the place of the processes that look for a token: each takes a moment, and fails if it is told to."""

    def __init__(self) -> None:
        self.begun: list[Token] = []
        self.error: SigningError | None = None

    async def __call__(self, token: Token, _: Expected) -> None:
        self.begun.append(token)
        await asyncio.sleep(0.01)
        if self.error is not None:
            raise self.error


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> _Looks:
    """No process is started."""
    made = _Looks()
    monkeypatch.setattr(keymaker, "look", made)
    monkeypatch.setattr(wallet, "_SEEN_S", 0.05)
    return made


@pytest.fixture
def asked(tmp_path: Path) -> Wallet:
    """The wallet of a signer with two locked tokens."""
    config = Config.model_construct(state_dir=tmp_path, tokens=_TOKENS)
    locked = SimpleNamespace(state=SimpleNamespace(state="pin-awaited"))
    supervisor = SimpleNamespace(config=config, keeper=lambda _: locked)
    return Wallet(cast("Supervisor", supervisor), config, Expected())


async def _open(asked: Wallet, count: int, name: str = "default") -> list[Any]:
    question = {"type": "wallet", "act": "open", "by": "uid 0", "wallet": name}
    return await asyncio.gather(*(asked.answer(question) for _ in range(count)))


def test_many_opens_at_once_start_one_process(asked: Wallet, looks: _Looks) -> None:
    """And those that come just after it; then it is looked again. Another token has its own."""

    async def run() -> None:
        assert await _open(asked, 10) == [{}] * 10
        assert await _open(asked, 10) == [{}] * 10
        assert len(looks.begun) == 1
        assert await _open(asked, 2, "other") == [{}] * 2
        assert len(looks.begun) == 2
        await asyncio.sleep(0.1)
        assert await _open(asked, 1) == [{}]
        assert len(looks.begun) == 3

    asyncio.run(run())


def test_what_one_process_does_not_find_nobody_finds(asked: Wallet, looks: _Looks) -> None:
    looks.error = SigningError("no token matches")

    assert asyncio.run(_open(asked, 10)) == [{"error": "no token matches", "code": "failed"}] * 10
    assert len(looks.begun) == 1


def test_who_no_longer_waits_takes_nothing_from_the_others(asked: Wallet, looks: _Looks) -> None:
    async def run() -> None:
        leaver = asyncio.create_task(_open(asked, 1))
        others = asyncio.create_task(_open(asked, 3))
        await asyncio.sleep(0)
        leaver.cancel()
        assert await others == [{}] * 3

    asyncio.run(run())
    assert len(looks.begun) == 1


def test_few_are_in_work(asked: Wallet, looks: _Looks) -> None:
    """The others are told so, and served when the first have their answers."""

    async def run() -> None:
        answers = await _open(asked, 20)
        assert answers[:16] == [{}] * 16
        assert {answer["code"] for answer in answers[16:]} == {"crowded"}
        assert await _open(asked, 16) == [{}] * 16

    asyncio.run(run())
    assert looks.begun
