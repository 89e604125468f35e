"""The process dies before or after any write of the journal: the rotation ends as if it had not."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from rotation import signer_world, virtual_time
from rotation.signer_world import Point, When
from rotation.ways import RESTART_S, WAYS, Way

from signer.rotation.entry import Event
from signer.rotation.rotation import State

if TYPE_CHECKING:
    from rotation.ledger import Row
    from rotation.signer_world import World

    from signer.rotation.rotation import Purpose, Rotation
    from signer.rotation.rotations import Rotations

#: A way that comes to this write.
_WAY_TO: Final = {
    Event.PLANNED: "promoted",
    Event.APPROVAL_AWAITED: "approved",
    Event.APPROVED: "approved",
    Event.CHECKING: "promoted",
    Event.CHECKED: "promoted",
    Event.REFUSED: "refused",
    Event.SIGNED: "promoted",
    Event.ACCEPTED: "promoted",
    Event.REJECTED: "busy account",
    Event.REGISTERED: "promoted",
    Event.PROPOSED: "promoted",
    Event.PENDING: "promoted",
    Event.ACTIVE: "promoted",
    Event.VERIFIED: "promoted",
    Event.DONE: "promoted",
    Event.UNSCHEDULED: "not elected",
    Event.RETURNING: "returned",
    Event.RETURN_SIGNED: "returned",
    Event.RETURNED: "returned",
    Event.ABORT_ASKED: "aborted",
    Event.ABORTED: "aborted",
    Event.SUPERSEDED: "superseded",
    Event.FAILED: "permission removed",
    Event.CONFIRMED: "emergency, approved afterwards",
}


@dataclass(frozen=True)
class End:
    """What has to be the same, however often the process died."""

    state: State
    row: Row | None
    from_keys: tuple[object, ...]
    from_node: str | None
    approved_by: str | None
    abort_by: str | None
    safe_to_stop: str | None
    included: tuple[Purpose, ...]
    proven: bool


def go(
    name: str, folder: Path, kill: Point | None = None, restart_s: float = RESTART_S
) -> tuple[World, Rotation, End]:
    """Go a way in a world of its own."""
    way = WAYS[name]
    with pytest.MonkeyPatch.context() as patch:
        world = way.world(folder, patch)
        world.kill = kill
        rotation = virtual_time.run(way.go(world, restart_s))
    world.check()
    purposes = {each.id: each.purpose for each in rotation.transactions}
    included = world.included()
    assert len(included) == len(set(included)), "a transaction is in two blocks"
    return (
        world,
        rotation,
        End(
            rotation.state,
            world.ledger.head.row,
            rotation.from_keys,
            rotation.from_node,
            rotation.approved_by,
            rotation.abort_by,
            rotation.safe_to_stop,
            tuple(purposes[each] for each in included),
            rotation.verified is not None,
        ),
    )


@functools.cache
def unharmed(name: str) -> End:
    """Return how a way ends when nobody dies."""
    with tempfile.TemporaryDirectory() as folder:
        _, _, end = go(name, Path(folder))
    assert end.state is WAYS[name].ends
    # At most one transaction of each purpose has ever taken effect.
    assert len(end.included) == len(set(end.included))
    return end


def test_every_write_has_a_way_to_it() -> None:
    assert set(_WAY_TO) == set(Event)


@pytest.mark.parametrize("name", WAYS)
def test_each_way_ends_where_it_should(name: str) -> None:
    assert unharmed(name).state is WAYS[name].ends


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("event", Event)
def test_killed_at_a_write_it_ends_as_if_it_had_not_been(event: Event, when: When, tmp_path: Path) -> None:
    point = Point(event, when)
    world, rotation, end = go(_WAY_TO[event], tmp_path, point)
    assert point.reached, f"{event} is never written: the process did not die"
    assert end == unharmed(_WAY_TO[event])
    if rotation.missed_slots is not None and rotation.transactions:
        assert rotation.missed_slots == world.ledger.missed(rotation.transactions[0].head_number)


@pytest.mark.parametrize(
    ("event", "transactions"),
    [
        (Event.SIGNED, 2),  # never sent, and dead: another one is signed
        (Event.ACCEPTED, 1),
        (Event.PENDING, 1),
        (Event.VERIFIED, 1),
    ],
)
def test_however_long_it_was_dead_it_ends_the_same(event: Event, transactions: int, tmp_path: Path) -> None:
    world, rotation, end = go("promoted", tmp_path, Point(event, When.AFTER), restart_s=150.0)
    assert end == unharmed("promoted")
    assert len(rotation.transactions) == transactions
    assert rotation.missed_slots == 0 == world.ledger.missed(rotation.transactions[0].head_number)


def test_slots_of_a_schedule_that_the_next_life_cannot_know_make_the_count_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first life counted them. What it counted is not all, so it does not stay."""
    world = signer_world.build(tmp_path, monkeypatch, names=("alpha", "charlie"))
    world.kill = Point(Event.PROPOSED, When.AFTER)

    async def person(world: World, _: Rotations, rotation: Rotation) -> None:
        world.nodes["a"].up = world.slot not in range(14, 18)
        if rotation.state is State.REGISTERED:
            world.ledger.names = ("alpha", "delta")

    rotation = virtual_time.run(Way(State.DONE, person=person).go(world, restart_s=30.0))
    assert rotation.state is State.DONE
    assert world.ledger.missed(rotation.transactions[0].head_number) > 0
    assert rotation.missed_slots is None
