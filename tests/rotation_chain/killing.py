"""A control process that is killed before and after each write of the journal, where no election is needed.

Four scenes of the quiet chain, each with a signer of its own: a process that dies at once is started again after a
while that doubles, up to 10 s. What only an elected producer's rotation writes, `election` has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rig import keypair
from rig.api_proxy import is_push
from rig.condition import until
from rig.kill_points import points_of
from rig.rotating_signer import ROTATION_S

from signer.rotation.entry import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from rig.api_proxy import ApiProxy
    from rig.chain import Chain
    from rig.kill_points import KillPoints
    from rig.member import Member
    from rig.stage import Stage

#: Of the whole way of an approved rotation.
APPROVED = (
    *(Event.PLANNED, Event.APPROVAL_AWAITED, Event.APPROVED, Event.CHECKED, Event.SIGNED, Event.ACCEPTED),
    *(Event.REGISTERED, Event.UNSCHEDULED),
)
#: Of people.
PEOPLE = (Event.ABORTED, Event.SUPERSEDED, Event.CHECKING, Event.CONFIRMED, Event.REFUSED)
#: Of a transaction that no node takes.
REJECTED = (Event.REJECTED, Event.ABORT_ASKED)
#: Of one that the chain refuses.
FAILED = (Event.FAILED,)

_SUCCESS = "registered-unscheduled"


@dataclass
class Part:
    """A scene's own producer and signer, behind a proxy."""

    chain: Chain
    member: Member
    proxy: ApiProxy
    stranger: str


def play(stage: Stage) -> None:
    """Let the scenes begin. Their signers start one after the other: each takes a second of both processors."""
    stranger = keypair.generate(stage.tools, "k1").public
    for name, scene, approval in (
        ("rejected", _rejected, False),
        ("failed", _failed, False),
        ("approved", _approved, True),
        ("people", _people, True),
    ):
        proxy = stage.proxy()
        member = stage.member(name, [proxy.url], killed=True)
        member.producer.register(member.signer.keys("primary")[0])
        if approval:
            member.signer.append('\n[rotation]\napproval = "always"\n')
            member.signer.issue("second", "view", "approve")
        stage.scenes.play(name, scene, Part(stage.chain, member, proxy, stranger))


def _until_done(kills: KillPoints, events: tuple[Event, ...], act: Callable[[], object], what: str) -> None:
    """Do something again and again until the process was killed at every write of `events`."""
    wanted = {point for event in events for point in points_of(event)}

    def done() -> bool:
        act()
        return wanted <= kills.done()

    until(
        done, what, timeout_s=ROTATION_S, interval_s=2.0, explain=lambda: f"killed at {sorted(kills.done())}"
    )


def _approved(part: Part) -> dict[str, Any]:
    """One rotation, killed at every write from its plan to its end."""
    member, signer = part.member, part.member.signer
    member.kills.arm(APPROVED)
    signer.ask("--to-node", "standby", "--i-know")
    found = signer.wait_for_state("approval")
    number = str(found["id"])
    _until_done(
        member.kills,
        (Event.APPROVED,),
        lambda: signer.run("rotations", "approve", number, person="second"),
        "approved",
    )
    ended = signer.wait_for_state(_SUCCESS, "failed")
    return {"member": member, "ended": ended, "row": part.chain.row("approved")}


def _people(part: Part) -> dict[str, Any]:
    """An end by a person, an emergency in the place of a rotation, an approval afterwards, a refusal."""
    member, signer, kills = part.member, part.member.signer, part.member.kills
    kills.arm(PEOPLE)
    states = []

    signer.ask("--to-node", "standby", "--i-know")
    first = signer.wait_for_state("approval")
    _until_done(
        kills, (Event.ABORTED,), lambda: signer.run("rotations", "abort", str(first["id"])), "aborted"
    )
    states.append(signer.wait_for_state("aborted")["state"])

    signer.ask("--to-node", "standby", "--i-know")
    replaced = signer.wait_for_state("approval")
    signer.ask("--to-node", "standby", "--emergency", "--reason", "a drill")
    emergency = signer.wait_for_state(_SUCCESS)
    states.append(signer.json("rotations", "show", str(replaced["id"]))["state"])
    _until_done(
        kills,
        (Event.CONFIRMED,),
        lambda: signer.run("rotations", "approve", str(emergency["id"]), person="second"),
        "confirmed",
    )

    frozen = signer.run("freeze", "--key", signer.rotation_key, "--reason", "a drill")
    assert frozen.returncode == 0, frozen.stderr
    signer.ask("--to-node", "primary", "--emergency", "--reason", "a drill")
    states.append(signer.wait_for_state("refused", _SUCCESS)["state"])
    return {"member": member, "states": states, "confirmed": emergency["id"]}


def _rejected(part: Part) -> dict[str, Any]:
    """No API node takes the transaction; a person ends it, and it ends when no block can take it any more."""
    member, signer = part.member, part.member.signer
    before = part.chain.row("rejected")["producer_key"]
    part.proxy.passes = lambda path: not is_push(path)
    member.kills.arm(REJECTED)
    signer.ask("--to-node", "standby", "--i-know")
    number = str(signer.wait_for_state("signed")["id"])
    _until_done(member.kills, (Event.REJECTED,), lambda: None, "rejected")
    _until_done(
        member.kills, (Event.ABORT_ASKED,), lambda: signer.run("rotations", "abort", number), "abort asked"
    )
    aborted = signer.wait_for_state("aborted", _SUCCESS)
    kept = part.chain.row("rejected")["producer_key"] == before
    # Once more, and somebody registers another key with the cold one meanwhile.
    signer.ask("--to-node", "standby", "--i-know")
    signer.wait_for_state("signed")
    cold = signer.keys("primary")[1]
    member.producer.register(cold)
    superseded = signer.wait_for_state("superseded", "failed", _SUCCESS)
    return {
        "member": member,
        "kept": kept,
        "aborted": aborted,
        "superseded": superseded,
        "cold": cold,
        "row": part.chain.row("rejected"),
    }


def _failed(part: Part) -> dict[str, Any]:
    """The permission is gone between preflight and push; the process dies before it has written that down."""

    def take_away(path: str) -> bool:
        if is_push(path):
            part.chain.cleos.run("set", "account", "permission", "failed", "rotate", part.stranger, "active")
        return True

    part.proxy.passes = take_away
    part.member.kills.arm(FAILED)
    part.member.signer.ask("--to-node", "standby", "--i-know")
    ended = part.member.signer.wait_for_state("failed", _SUCCESS)
    return {"member": part.member, "ended": ended, "row": part.chain.row("failed")}
