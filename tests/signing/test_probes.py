"""A probe of a block key: what it says, and that it leaves no trace of a signature.

tests/supervisor/test_questions.py has the same on real tokens.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from rig.memory_token import MemoryRace, PrivateKey

from hsm.race import Ending, Result
from signer.antelope.keys import Curve
from signer.signing import keyring
from signer.signing.freeze import FreezeMarkers
from signer.signing.keyring import Keyring, TokenRing
from signer.signing.probes import Probes

if TYPE_CHECKING:
    from pathlib import Path

    from hsm.race import Race


class World:
    """A block token in memory with one K1 key, which is active."""

    def __init__(self, folder: Path) -> None:
        private = PrivateKey(Curve.K1)
        self.race = MemoryRace([private])
        self.entry = keyring.build(
            private.public, role="block", node="primary", token="box", label="x", index=0
        )
        self.entry.state, self.entry.reason = "active", ""
        ring = TokenRing("box", software=True, race=cast("Race", self.race), keys=[self.entry])
        self.markers = FreezeMarkers(folder)
        self.probes = Probes(Keyring([ring]), self.markers)

    def probe(self) -> str:
        """Let the key sign; return why it could not."""
        return asyncio.run(self.probes.sign(self.entry.name))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A new one."""
    return World(tmp_path / "frozen")


def test_a_probe_counts_as_a_probe_only(world: World) -> None:
    assert world.probe() == ""
    assert world.probe() == ""
    assert world.probes.by_outcome == {"signed": 2}
    assert (world.entry.signatures, world.entry.last_signature_at) == (0, None)
    assert {probe for *_, probe in world.race.asked} == {True}


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (Result(Ending.NO_LANE), "token box went away"),
        (Result(Ending.LATE, reason="silent"), "cannot sign a probe: silent"),
        (Result(Ending.SIGNED, bytes(64)), "does not verify"),
    ],
)
def test_a_key_that_cannot_sign_now_says_why_and_stays_as_it_is(
    world: World, result: Result, reason: str
) -> None:
    """Who may ask for probes must not be able to take a key out of service with them."""
    world.race.script = [result, Result(Ending.SIGNED, b"\1" + bytes(63)), result]
    assert reason in world.probe()
    assert world.probes.by_outcome == {"failed": 1}
    assert world.entry.state == "active"


def test_a_freeze_meanwhile_is_told(world: World) -> None:
    world.race.before_answer = lambda: world.markers.set("node", "primary", "alice", "drill")
    assert "is frozen: drill" in world.probe()
    assert world.probes.by_outcome == {"refused": 1}


def test_a_frozen_or_unavailable_key_is_not_asked(world: World) -> None:
    world.entry.state, world.entry.reason = "unavailable", "its token is away"
    assert "is unavailable: its token is away" in world.probe()
    world.markers.set("all", "", "alice", "drill")
    assert "is frozen: drill" in world.probe()
    assert world.race.asked == []


def test_what_is_no_software_token_with_a_probe_key_is_not_measured(world: World) -> None:
    """A block key signs no measurement, and a device has better things to do."""
    assert asyncio.run(world.probes.measure("box", "K1")) == (
        0,
        "token box is no software token with a K1 probe key",
    )
    assert asyncio.run(world.probes.measure("gone", "R1"))[0] == 0
    assert world.race.asked == []
