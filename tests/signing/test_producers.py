"""What the guards refuse or see becomes an alarm of the chain, which ends by itself after five quiet minutes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING

from rig.two_nodes import config

from signer.signing import producers
from signer.signing.producer_guard import News
from signer.signing.producers import Producers
from signer.signing.service import Decision

if TYPE_CHECKING:
    import pytest

    from signer.channel import Message


def _decision(rule: str) -> Decision:
    verdict = "refused" if rule else "signed"
    return Decision(0.0, "a", "uid 0", "", "block", "", verdict, rule, "", 0, 0, 0, "why")


def test_an_alarm_ends_when_its_rule_was_quiet_for_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(producers, "_SWEEP_S", 0.0)
    monkeypatch.setattr(producers, "time", SimpleNamespace(monotonic=lambda: now))
    sent: list[Message] = []
    every = Producers(config(), sent.append)

    def said() -> list[tuple[str, bool]]:
        found = [(each["name"], each["on"]) for each in sent if each["type"] == "alarm"]
        sent.clear()
        return found

    async def swept() -> None:
        sweeping = asyncio.create_task(every.sweep())
        for _ in range(10):
            await asyncio.sleep(0)
        sweeping.cancel()

    every.note(_decision("lease"))  # refused
    guard = every.by_node["a"]
    guard.news.append(News(guard.chain, "rate", "seen and not refused"))
    every.note(_decision(""))
    assert said() == [("lease", True), ("rate", True)]
    now += 200
    every.note(_decision("lease"))
    now += 299
    asyncio.run(swept())
    assert ("lease", False) not in (ended := said())
    assert ("rate", False) in ended
    now += 1
    asyncio.run(swept())
    assert said() == [("lease", False)]
