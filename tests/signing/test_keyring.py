"""The health of keys: what quarantines one, what only makes it wait, and how it is found."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from rig.memory_token import MemoryRace, PrivateKey

from hsm.race import Ending, Result
from signer.antelope.keys import Curve
from signer.signing import keyring
from signer.signing.keyring import Keyring, TokenRing

if TYPE_CHECKING:
    from hsm.race import Race
    from signer.signing.keyring import KeyEntry

_BAD_LUCK = Result(Ending.FAILED, reason="the module answered CKR_DEVICE_ERROR")


class World:
    """A keyring over one token with a K1 and an R1 key."""

    def __init__(self) -> None:
        self.private = [PrivateKey(Curve.K1), PrivateKey(Curve.R1)]
        self.race = MemoryRace(self.private)
        self.entries = [
            keyring.build(key.public, role="block", node="primary", token="box", label="x", index=index)
            for index, key in enumerate(self.private)
        ]
        ring = TokenRing("box", software=True, race=cast("Race", self.race), keys=self.entries)
        self.keys = Keyring([ring])

    @property
    def k1(self) -> KeyEntry:
        """The K1 key."""
        return self.entries[0]

    @property
    def r1(self) -> KeyEntry:
        """The R1 key."""
        return self.entries[1]

    def back(self, findings: dict[int, list[str]] | None = None) -> None:
        """Let the token be back."""
        asyncio.run(self.keys.token_back("box", findings or {}))


@pytest.fixture
def world() -> World:
    """A new one."""
    return World()


def test_a_key_is_unavailable_until_it_has_signed_a_verified_probe(world: World) -> None:
    assert {entry.state for entry in world.entries} == {"unavailable"}
    world.back()
    assert {entry.state for entry in world.entries} == {"active"}
    assert {probe for *_, probe in world.race.asked} == {True}


def test_what_the_lane_found_quarantines_the_key_and_no_other(world: World) -> None:
    world.back({0: ["it is extractable", "it may derive keys"]})
    assert (world.k1.state, world.k1.reason) == ("quarantined", "it is extractable; it may derive keys")
    assert world.r1.state == "active"
    assert {index for index, *_ in world.race.asked} == {1}


def test_a_k1_key_of_a_deterministic_token_is_quarantined(world: World) -> None:
    repeated: list[bytes] = []

    def repeat(digest: bytes) -> Result:
        repeated.append(world.private[0].sign(digest))
        return Result(Ending.SIGNED, repeated[0])

    world.race.script = [repeat, repeat]
    world.back()
    assert world.k1.state == "quarantined"
    assert "deterministic" in world.k1.reason
    assert "R1" in world.k1.reason
    assert world.r1.state == "active"


def test_a_key_whose_probe_does_not_verify_is_quarantined(world: World) -> None:
    stranger = PrivateKey(Curve.R1)
    world.race.script = [lambda digest: Result(Ending.SIGNED, stranger.sign(digest))]
    world.back({0: ["not asked here"]})
    assert world.r1.state == "quarantined"
    assert "does not verify" in world.r1.reason


def test_one_failed_probe_is_no_fault_of_the_key(world: World) -> None:
    world.race.script = [_BAD_LUCK, _BAD_LUCK]
    world.back()
    assert world.k1.state == "active"


def test_probes_that_fail_again_and_again_are(world: World) -> None:
    world.race.script = [_BAD_LUCK] * 3
    world.back()
    assert world.k1.state == "quarantined"
    assert "CKR_DEVICE_ERROR" in world.k1.reason
    assert world.r1.state == "active"


@pytest.mark.parametrize("ending", [Ending.KEY_FAILED, Ending.LATE])
def test_a_probe_without_a_signature_quarantines(world: World, ending: Ending) -> None:
    world.race.script = [Result(ending, reason="gone", tries=1)]
    world.back()
    assert (world.k1.state, world.k1.reason) == ("quarantined", "cannot sign a probe: gone")


def test_a_token_that_has_no_time_for_the_check_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever floods it must not have its keys quarantined."""
    monkeypatch.setattr(keyring, "_AGAIN_S", 0.0)
    world.race.script = [Result(Ending.CROWDED), Result(Ending.LATE), Result(Ending.CROWDED)] * 2
    world.back()
    assert {entry.state for entry in world.entries} == {"active"}


def test_a_token_that_leaves_during_the_check_is_no_fault_of_its_keys(world: World) -> None:
    world.race.script = [Result(Ending.NO_LANE)] * 2
    world.back()
    assert {entry.state for entry in world.entries} == {"unavailable"}
    world.back()
    assert {entry.state for entry in world.entries} == {"active"}


def test_a_lost_token_makes_its_active_keys_wait_and_leaves_the_others_quarantined(world: World) -> None:
    world.back({0: ["it is missing"]})
    world.keys.token_lost("box", "its last lane ended")
    assert (world.r1.state, world.r1.reason) == ("unavailable", "its last lane ended")
    assert world.k1.state == "quarantined"
    world.back()
    assert {entry.state for entry in world.entries} == {"active"}


def test_a_key_is_found_by_every_spelling_and_no_other_text(world: World) -> None:
    k1, r1 = (key.public for key in world.private)
    assert world.keys.find(str(k1)) is world.k1
    assert world.keys.find(k1.fc) is world.k1
    assert world.keys.find(str(r1)) is world.r1
    assert world.keys.find(str(k1).lower()) is None
    assert world.keys.find(str(PrivateKey(Curve.K1).public)) is None


def test_a_node_has_its_block_keys_in_keosds_order(world: World) -> None:
    assert world.keys.of_node("primary") == [world.k1, world.r1]
    assert world.keys.of_node("standby") == []
    world.k1.role = "probe"
    assert world.keys.of_node("primary") == [world.r1]
