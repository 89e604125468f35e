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
