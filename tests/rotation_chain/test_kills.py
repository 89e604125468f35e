"""Killed before and after every write of the journal, and started again: the rotation ends as it would have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rig.kill_points import points_of
from rotation_chain import election, killing

from signer.rotation.entry import Event

if TYPE_CHECKING:
    from rig.member import Member
    from rig.stage import Stage

pytestmark = pytest.mark.chain


def _points(events: tuple[Event, ...]) -> set[str]:
    return {point for event in events for point in points_of(event)}


def _events(member: Member, rotation: int) -> list[str]:
    return [str(entry["event"]) for entry in member.signer.history(rotation)]


def test_every_write_has_a_scene() -> None:
    """A new kind of write without a kill fails here."""
    scenes = (
        *(killing.APPROVED, killing.PEOPLE, killing.REJECTED, killing.FAILED),
        *(election.ON_THE_WAY, election.ON_THE_RETURN),
    )
    assert {event for scene in scenes for event in scene} == set(Event)


def test_one_rotation_killed_at_each_of_its_writes(killed: Stage) -> None:
    """One transaction, one row, one history: nothing is done twice."""
    shown: dict[str, Any] = killed.scenes.result("approved")
    member, ended = shown["member"], shown["ended"]
    assert member.kills.done() == _points(killing.APPROVED)
    assert ended["state"] == "registered-unscheduled"
    assert shown["row"]["producer_key"] == ended["to_key"]
    events = _events(member, ended["id"])
    for event in ("planned", "approval-awaited", "approved", "signed", "registered", "unscheduled"):
        assert events.count(event) == 1, events


def test_what_people_did_is_done_once(killed: Stage) -> None:
    """An end, an emergency in the place of a rotation, an approval afterwards, a refusal."""
    shown: dict[str, Any] = killed.scenes.result("people")
    assert shown["states"] == ["aborted", "superseded", "refused"]
    assert shown["member"].kills.done() == _points(killing.PEOPLE)
    assert _events(shown["member"], shown["confirmed"]).count("confirmed") == 1


def test_a_transaction_that_nobody_takes(killed: Stage) -> None:
    """It ends as the person asked, once no block can hold it; and nobody fights the owner's cold key."""
    shown: dict[str, Any] = killed.scenes.result("rejected")
    assert shown["member"].kills.done() == _points(killing.REJECTED)
    assert shown["aborted"]["state"] == "aborted"
    assert shown["kept"]
    assert shown["superseded"]["state"] == "superseded"
    assert shown["cold"] in shown["superseded"]["reason"]
    assert shown["row"]["producer_key"] == shown["cold"]


def test_a_transaction_that_the_chain_refuses(killed: Stage) -> None:
    """The reason names the permission, and the row is as it was."""
    shown: dict[str, Any] = killed.scenes.result("failed")
    assert shown["member"].kills.done() == _points(killing.FAILED)
    assert shown["ended"]["state"] == "failed"
    assert "permission" in shown["ended"]["reason"]
    assert shown["row"]["producer_key"] == shown["member"].signer.keys("primary")[0]
