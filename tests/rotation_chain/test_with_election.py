"""Rotations of elected producers, as `election` plays them: what each shows, judged by the chain's own blocks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from rig.kill_points import points_of
from rig.slots import missed_slots
from rotation_chain.election import CYCLES, ON_THE_RETURN, ON_THE_WAY, PROMOTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rig.member import Member
    from rotation_chain.election import Cast

pytestmark = pytest.mark.chain

#: What nodeos says when it has no key of the schedule (producer_plugin.cpp, start_block).
_NO_KEY = "I don't have any private keys relevant to authority"


def _tell(cast: Cast, member: Member, rotations: Iterable[dict[str, Any]]) -> None:
    """Print how long each step took: the signer's own, and the chain's."""
    for rotation in rotations:
        number = rotation["id"]
        at = {entry["event"]: datetime.fromisoformat(entry["at"]) for entry in member.signer.history(number)}
        block = cast.stage.chain.boot.block(rotation["verified_block"]["num"]).timestamp.replace(tzinfo=UTC)
        steps = {
            "checked to accepted": at["accepted"] - at["checked"],
            "block to verified": at["verified"] - block,
        }
        chain = {
            "accepted to active": at["active"] - at["accepted"],
            "active to done": at["done"] - at["active"],
        }
        words = ", ".join(f"{name} {each.total_seconds():.2f} s" for name, each in (steps | chain).items())
        print(f"\n{member.place} rotation {number}: {words}, {rotation['missed_slots']} slots missed")  # noqa: T201


@pytest.fixture(scope="module")
def mover(cast: Cast) -> dict[str, Any]:
    """What the scene of mover showed."""
    shown: dict[str, Any] = cast.stage.scenes.result("mover")
    return shown


@pytest.fixture(scope="module")
def nightly(cast: Cast) -> dict[str, Any]:
    """What the scene of nightly showed."""
    shown: dict[str, Any] = cast.stage.scenes.result("nightly")
    return shown


@pytest.fixture(scope="module")
def twin(cast: Cast) -> dict[str, Any]:
    """What the scene of twin showed."""
    shown: dict[str, Any] = cast.stage.scenes.result("twin")
    return shown


class TestMover:
    """Production moved by hand."""

    def test_each_promotion(self, cast: Cast, mover: dict[str, Any]) -> None:
        """One JSON object, as promised; the block is on the chain with that signature, and no slot was missed."""
        chain, signer = cast.stage.chain, cast.mover.signer
        assert len(mover["promotions"]) == PROMOTIONS
        for number, promotion in enumerate(mover["promotions"]):
            assert promotion["state"] == "done"
            assert promotion["to_key"] in signer.keys(("standby", "primary")[number % 2])
            assert len(promotion["transaction_id"]) == 64
            assert promotion["pushed_at"] < promotion["active_at"]
            verified = promotion["verified_block"]
            block = chain.boot.block(verified["num"])
            assert block.producer == "mover"
            assert (block.id, block.signature) == (verified["id"], verified["producer_signature"])
            assert promotion["missed_slots"] == 0
        assert missed_slots(chain.boot, "mover", mover["first"], mover["between"]) == []
        _tell(cast, cast.mover, mover["promotions"])

    def test_from_two_keys_to_one(self, cast: Cast, mover: dict[str, Any]) -> None:
        """The row that the first promotion found was made by regproducer2 with both keys of the primary."""
        first = mover["promotions"][0]
        detail = cast.mover.signer.json("rotations", "show", str(first["id"]))
        assert first["from_key"] is None
        assert set(detail["from_keys"]) == set(cast.mover.signer.keys("primary"))
        assert detail["safe_to_stop"] == "primary"

    def test_the_row_keeps_what_is_not_the_key(self, mover: dict[str, Any]) -> None:
        """Regproducer overwrites url and location."""
        row = mover["row"]
        assert row["producer_key"] == mover["promotions"][0]["to_key"]
        assert (row["url"], row["location"]) == ("https://example.org/authority.json", 9)

    def test_the_primary_says_that_it_has_no_key_and_goes_on(self, cast: Cast, mover: dict[str, Any]) -> None:
        """It is a watcher until production comes back; no restart, no change of its configuration."""
        primary = cast.mover.nodes["primary"]
        assert _NO_KEY in primary.log()
        assert primary.exit_code is None
        assert primary.produced()[-1].number > mover["back"]["verified_block"]["num"] - 1

    def test_back_while_the_control_process_is_killed(self, cast: Cast, mover: dict[str, Any]) -> None:
        """At each write that is new here, before and after it."""
        back = mover["back"]
        assert back["state"] == "done"
        assert back["from_key"] == mover["promotions"][-1]["to_key"]
        assert cast.mover.kills.done() == {point for event in ON_THE_WAY for point in points_of(event)}
        chain = cast.stage.chain
        last = back["verified_block"]["num"]
        assert chain.boot.block(last).signature == back["verified_block"]["producer_signature"]
        assert missed_slots(chain.boot, "mover", mover["between"], last) == []


class TestNightly:
    """Fresh keys without anybody watching."""

    def test_each_cycle_takes_the_next_key_of_the_ring(self, cast: Cast, nightly: dict[str, Any]) -> None:
        """Of the node that produces."""
        ring = cast.nightly.signer.keys("primary")
        assert [(each["state"], each["from_key"], each["to_key"]) for each in nightly["cycles"]] == [
            ("done", ring[number], ring[number + 1]) for number in range(CYCLES)
        ]

    def test_no_slot_is_missed(self, cast: Cast, nightly: dict[str, Any]) -> None:
        """Although an API node died in the first cycle."""
        chain = cast.stage.chain
        last = nightly["cycles"][-1]["verified_block"]["num"]
        assert missed_slots(chain.boot, "nightly", nightly["first"], last) == []
        assert [each["missed_slots"] for each in nightly["cycles"]] == [0] * CYCLES
        _tell(cast, cast.nightly, nightly["cycles"])


class TestTwin:
    """Two complete signers with nothing shared but the chain."""

    def test_the_old_key_returns_when_the_new_node_dies(self, cast: Cast, twin: dict[str, Any]) -> None:
        """By itself, while the control process is killed at each of its writes."""
        returned, ring = twin["returned"], cast.twin_a.signer.keys("primary")
        assert returned["state"] == "returned", returned["reason"]
        assert returned["from_key"] == ring[0]
        assert returned["return_transaction_id"] != returned["transaction_id"]
        assert cast.twin_a.kills.done() == {point for event in ON_THE_RETURN for point in points_of(event)}

    def test_b_takes_over_when_everything_of_a_is_gone(self, cast: Cast, twin: dict[str, Any]) -> None:
        """The slots that were lost are printed."""
        emergency, chain, b = twin["emergency"], cast.stage.chain, cast.twin_b
        assert emergency["state"] == "done"
        assert emergency["to_key"] in b.signer.keys("standby")
        block = emergency["verified_block"]["num"]
        first = b.nodes["standby"].produced()[0]
        assert first.number == block
        assert chain.boot.block(block).signature == emergency["verified_block"]["producer_signature"]
        lost = missed_slots(chain.boot, "twin", twin["alive"], block)
        print(f"\n{len(lost)} slots lost from the kill to block {block}")  # noqa: T201 - what is reported
        _tell(cast, b, [emergency])
