"""Signatures with rotation and audit keys: what refuses one, what fails one, and that each has its decision.

tests/supervisor/test_questions.py has the same on real tokens.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, cast

import pytest
from rig.memory_token import MemoryRace, PrivateKey

from hsm.race import Ending, Result
from signer.antelope.keys import Curve, Digest
from signer.antelope.recovery import recover
from signer.control import keys
from signer.control.keys import ControlKeys, Role
from signer.errors import RefusedError, SigningError
from signer.signing import keyring
from signer.signing.freeze import FreezeMarkers
from signer.signing.keyring import Keyring, TokenRing

if TYPE_CHECKING:
    from pathlib import Path

    from hsm.race import Race
    from signer.antelope.signature import Signature
    from signer.signing.service import Decision

_PLAN = ((Curve.R1, "rotation"), (Curve.K1, "rotation"), (Curve.R1, "audit"), (Curve.R1, "probe"))


class World:
    """A control token in memory."""

    def __init__(self, folder: Path) -> None:
        self.private = [PrivateKey(curve) for curve, _ in _PLAN]
        self.race = MemoryRace(self.private)
        self.entries = [
            keyring.build(key.public, role=role, node="", token="control", label="x", index=index)
            for index, (key, (_, role)) in enumerate(zip(self.private, _PLAN, strict=True))
        ]
        for entry in self.entries:
            entry.state, entry.reason = "active", ""
        ring = TokenRing("control", software=True, race=cast("Race", self.race), keys=self.entries)
        self.markers = FreezeMarkers(folder)
        self.decisions: list[Decision] = []
        self.keys = ControlKeys(Keyring([ring]), self.markers, self.decisions.append)
        self.digest = Digest(os.urandom(32))

    def sign(self, index: int = 0) -> Signature:
        """Sign with a key, for what it is for."""
        role: Role = "audit" if _PLAN[index][1] == "audit" else "rotation"
        return asyncio.run(self.keys.sign(self.private[index].public, self.digest, "rotation 17", role=role))

    def is_refused(self, rule: str, index: int = 0) -> str:
        """Sign, assert that a rule refuses it, and return the message."""
        with pytest.raises(RefusedError) as refused:
            self.sign(index)
        assert refused.value.rule == rule
        assert self.outcome == ("refused", rule, "")
        return str(refused.value)

    def fails(self, reason: str) -> None:
        """Sign, and assert that it fails for a reason."""
        with pytest.raises(SigningError, match=reason):
            self.sign()
        assert self.outcome == ("failed", "failed", "")

    @property
    def outcome(self) -> tuple[str, str, str]:
        """Verdict, rule and signature of the last decision."""
        last = self.decisions[-1]
        assert last.digest == self.digest.hex()
        return last.verdict, last.rule, last.signature


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A new one."""
    return World(tmp_path / "frozen")


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_signature_verifies_and_has_its_decision_before_it_is_given(world: World, index: int) -> None:
    signature = world.sign(index)
    assert recover(world.digest, signature) == world.private[index].public
    (asked,) = world.race.asked
    assert (asked[0], asked[1], asked[4]) == (index, index == 1, False)  # K1 until it is canonical; no probe
    (decision,) = world.decisions
    assert (decision.verdict, decision.rule, decision.signature) == ("signed", "", str(signature))
    assert (decision.key, decision.role) == (str(world.private[index].public), _PLAN[index][1])
    assert (decision.node, decision.caller, decision.lane) == ("", "rotation 17", 3)


def test_a_probe_key_and_a_stranger_sign_nothing(world: World) -> None:
    assert "is a probe key" in world.is_refused("wrong-role", 3)
    world.private[0] = PrivateKey(Curve.R1)
    assert "in no token of the control process" in world.is_refused("unknown-key")
    assert world.race.asked == []


@pytest.mark.parametrize("scope", ["all", "key"])
def test_a_frozen_key_signs_nothing(world: World, scope: str) -> None:
    name = str(world.private[0].public) if scope == "key" else ""
    world.markers.set(scope, name, "alice", "drill")
    assert "is frozen: drill" in world.is_refused("frozen")
    assert world.race.asked == []
    assert world.keys.states()[world.private[0].public] == ("rotation", "frozen", "drill")


def test_a_freeze_while_the_token_signs_keeps_the_signature_back(world: World) -> None:
    world.race.before_answer = lambda: world.markers.set("all", "", "alice", "drill")
    world.is_refused("frozen")


def test_a_key_that_is_not_active_says_why(world: World) -> None:
    world.entries[0].state, world.entries[0].reason = "quarantined", "it is extractable"
    assert "is quarantined: it is extractable" in world.is_refused("quarantined")
    world.entries[0].state, world.entries[0].reason = "unavailable", "token control is away"
    world.fails("is unavailable: token control is away")
    assert world.race.asked == []
    states = world.keys.states()
    assert states[world.private[0].public] == ("rotation", "unavailable", "token control is away")
    assert [state.role for state in states.values()] == ["rotation", "rotation", "audit"]


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (Result(Ending.LATE, tries=9), "no signature within 5 s: 9 tries"),
        (Result(Ending.FAILED, reason="CKR_DEVICE_ERROR"), "could not sign with PUB_R1_.*CKR_DEVICE_ERROR"),
        (Result(Ending.NO_LANE), "no-lane"),
        (Result(Ending.SIGNED, bytes(64)), "malformed"),
    ],
)
def test_what_is_no_signature_fails(world: World, result: Result, reason: str) -> None:
    world.race.script = [result]
    world.fails(reason)
    assert world.sign()


def test_a_signature_of_another_key_fails(world: World) -> None:
    other = PrivateKey(Curve.R1)
    world.race.script = [lambda digest: Result(Ending.SIGNED, other.sign(digest))]
    world.fails("does not verify")


def test_a_key_that_is_gone_is_quarantined(world: World) -> None:
    world.race.script = [Result(Ending.KEY_FAILED, reason="key 'x' is not on token control")]
    world.fails("is not on token control")
    assert "put the key back" in world.is_refused("quarantined")


def test_nothing_is_concluded_from_keys_that_were_not_looked_at_yet(world: World) -> None:
    """A process that was started a moment ago has tokens that are still being opened."""
    for entry in world.entries:
        entry.state = "unavailable"

    async def open_later() -> None:
        waiting = asyncio.create_task(world.keys.looked_at())
        await asyncio.sleep(0)
        for entry in world.entries[:-1]:
            assert not waiting.done()
            entry.state = "active"
        await waiting

    asyncio.run(open_later())
    assert {state.state for state in world.keys.states().values()} == {"active"}


def test_a_token_that_stays_away_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.entries[0].state = "unavailable"
    monkeypatch.setattr(keys, "_START_S", 0.0)
    asyncio.run(world.keys.looked_at())
    assert world.keys.states()[world.private[0].public].state == "unavailable"
