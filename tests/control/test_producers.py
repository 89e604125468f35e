"""The laws of /v1/producers: who signs, as far as anybody tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rig.control_site import is_problem
from rig.fake_rotations import KEY_A

from signer.rotation.entry import Event
from signer.rotation.rotation import State

if TYPE_CHECKING:
    from rig.control_site import Site

PROMOTE = {"kind": "promote", "node": "b"}


def test_the_producers_are_those_of_the_configuration(site: Site) -> None:
    """A chain without a producer has none."""
    shown = site.ask("/v1/producers", token=site.person("alice")).json()["producers"]

    assert [(each["chain"], each["producer"], each["permission"]) for each in shown] == [
        ("eos", "bp1", "rotate")
    ]
    assert shown[0]["missing"] == []


def test_who_signs_now(site: Site) -> None:
    """The node that holds the key of the active schedule, and the keys with their nodes."""
    shown = site.ask("/v1/producers/eos", token=site.person("alice")).json()

    assert shown["signs"] == "a"
    assert shown["on_chain"]["row"] == [{"key": str(KEY_A), "node": "a"}]
    assert (shown["on_chain"]["pending"], shown["on_chain"]["proposed"]) == (None, [])
    assert (shown["rotation"], shown["last"]) == (None, None)


def test_the_live_rotation_and_the_last_one(site: Site) -> None:
    """Both are part of the answer."""
    token = site.person("alice")
    for _ in range(2):
        site.ask("/v1/rotations", method="POST", token=token, json=PROMOTE)
        if len(site.rotations.rotations) == 1:
            site.rotations.move(1, State.ABORTED, Event.ABORTED)

    shown = site.ask("/v1/producers/eos", token=token).json()
    assert (shown["rotation"]["id"], shown["last"]["id"]) == (2, 1)


def test_a_dead_chain_is_told_and_not_an_error(site: Site) -> None:
    """Who asks in the night asks because something is dead."""
    site.rotations.chain_known = False

    shown = site.ask("/v1/producers/eos", token=site.person("alice")).json()

    assert (shown["on_chain"], shown["signs"], shown["permission_findings"]) == (None, None, None)
    assert shown["problem"] == "nobody answers"
    assert shown["apis"][0]["usable"] is False


def test_a_chain_without_a_producer(site: Site) -> None:
    """409 with what is missing; an unknown chain is 404."""
    is_problem(site.ask("/v1/producers/bare", token=site.person("alice")), 409, "not-configured")
    is_problem(site.ask("/v1/producers/nobody", token=site.person("alice")), 404, "unknown-chain")


def test_slots_newest_round_first(site: Site) -> None:
    """Rounds from the newest, slots in each from the oldest; who signed stands only where it was us."""
    token = site.person("alice")
    none = site.ask("/v1/producers/eos/slots", token=token).json()
    assert (none["head_number"], none["rounds"], none["missed_in_row"]) == (None, [], 0)

    site.watch.show()
    shown = site.ask("/v1/producers/eos/slots", token=token).json()
    assert [[slot["state"] for slot in each["slots"]] for each in shown["rounds"]] == [
        ["unknown"],
        ["signed", "other", "missed"],
    ]
    first, second, third = shown["rounds"][1]["slots"]
    assert (first["node"], first["key"], first["block_num"]) == ("a", str(KEY_A), 100)
    assert (second["node"], second["key"], second["block_num"]) == (None, None, 101)
    assert (third["node"], third["key"], third["block_num"]) == (None, None, None)
    assert (shown["producers"], shown["missed_in_row"], shown["totals"]["missed"]) == (21, 1, 3)
    assert len(site.ask("/v1/producers/eos/slots?rounds=1", token=token).json()["rounds"]) == 1
    is_problem(site.ask("/v1/producers/eos/slots?rounds=13", token=token), 422, "invalid")


def test_slots_of_a_chain_that_nobody_watches(site: Site) -> None:
    """As for the producer itself."""
    is_problem(site.ask("/v1/producers/bare/slots", token=site.person("alice")), 409, "not-configured")
    is_problem(site.ask("/v1/producers/nobody/slots", token=site.person("alice")), 404, "unknown-chain")
