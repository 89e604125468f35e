"""Proofs of life: from probe keys only, when nothing else proved the token lately, and never in nodeos' way."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

import pytest
from rig.memory_token import MemoryRace, PrivateKey

from hsm.race import Ending, Result
from signer.antelope.keys import Curve
from signer.signing import keyring
from signer.signing.freeze import FreezeMarkers
from signer.signing.guard import Guard
from signer.signing.keyring import Keyring, TokenRing
from signer.signing.proofs import EVERY_S, Proofs
from signer.signing.service import NodeTerms, Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hsm.race import Race


class World:
    """A hardware token in memory with a block key and a probe key, both active, that was proved long ago."""

    def __init__(self, folder: Path) -> None:
        private = [PrivateKey(Curve.R1), PrivateKey(Curve.R1)]
        self.race = MemoryRace(private)
        self.block, self.probe = (
            keyring.build(key.public, role=role, node=node, token="box", label=role, index=index)
            for index, (key, role, node) in enumerate(
                zip(private, ("block", "probe"), ("primary", ""), strict=True)
            )
        )
        for entry in (self.block, self.probe):
            entry.state, entry.reason = "active", ""
        race = cast("Race", self.race)
        keys, probes = [self.block, self.probe], [self.probe]
        self.ring = TokenRing("box", software=False, race=race, keys=keys, probes=probes)
        self.ring.probed_at = time.time() - EVERY_S - 1
        keys_ = Keyring([self.ring])
        self.service = Service(
            keys_, Guard(FreezeMarkers(folder)), {"": NodeTerms(1_000, 0)}, lambda _decision: None
        )
        self.proofs = Proofs(keys_, self.service)

    def look(self) -> int:
        """Take one look; return how often the token was asked for a signature."""

        async def look() -> None:
            self.proofs.look()
            await asyncio.sleep(0)  # what it began goes on
            await asyncio.sleep(0)

        asyncio.run(look())
        return len(self.race.asked)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A new one."""
    return World(tmp_path / "frozen")


def test_a_clock_that_was_stepped_back_leaves_no_token_proved(world: World) -> None:
    """Else a token that died at a standby would count as proved for as long as the step was."""
    world.ring.probed_at = world.block.last_signature_at = time.time() + 3_600
    assert world.ring.proved_at is None
    assert world.look() == 1


def test_a_token_that_nothing_proved_lately_signs_with_its_probe_key(world: World) -> None:
    before = time.time()
    assert world.look() == 1
    assert world.race.asked[0][0] == world.probe.index
    assert world.race.asked[0][-1] is True  # it makes room for a request
    assert world.ring.proved_at is not None
    assert world.ring.proved_at >= before
    assert world.look() == 1  # that will do for a while


def test_a_proof_that_fails_proves_nothing(world: World) -> None:
    world.race.script = [Result(Ending.LATE, reason="the lane hangs")]
    old = world.ring.proved_at
    assert world.look() == 1
    assert world.ring.proved_at == old


def test_a_signature_of_any_key_is_a_proof(world: World) -> None:
    world.block.last_signature_at = time.time()
    assert world.ring.proved_at == world.block.last_signature_at
    assert world.look() == 0


def _fly(world: World) -> None:
    world.service.in_flight = 1


def _be_busy(world: World) -> None:
    world.race.busy = True


def _expect_a_request(world: World) -> None:
    """In 0.1 s, by a beat of half a second."""
    now = time.monotonic()
    for ago in (1.4, 0.9, 0.4):
        world.ring.pace.observe(now - ago)


def _quarantine(world: World) -> None:
    world.probe.state = "quarantined"


def _have_no_probe_key(world: World) -> None:
    world.ring.probes.clear()


@pytest.mark.parametrize("obstacle", [_fly, _be_busy, _expect_a_request, _quarantine, _have_no_probe_key])
def test_no_proof_is_begun(world: World, obstacle: Callable[[World], None]) -> None:
    obstacle(world)
    assert world.look() == 0


def test_a_token_that_hangs_holds_up_no_proof_of_another(tmp_path: Path) -> None:
    """Its own proof is not begun twice."""
    world = World(tmp_path / "frozen")
    asked: list[str] = []

    class Hanging:
        busy = False

        async def sign(self, *_args: object, **_options: object) -> Result:
            asked.append("box")
            await asyncio.Event().wait()
            raise AssertionError

    world.ring.race = cast("Race", Hanging())

    async def look_twice() -> None:
        for _ in range(2):
            world.proofs.look()
            await asyncio.sleep(0)

    asyncio.run(look_twice())
    assert asked == ["box"]
