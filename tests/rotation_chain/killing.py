"""A control process that is killed before and after each write of the journal, where no election is needed.

Four scenes of the quiet chain, each with a signer of its own: a process that dies at once is started again after a
while that doubles, up to 10 s. What only an elected producer's rotation writes, `election` has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rig import keypair
from rig.api_proxy import ApiProxy, is_push
from rig.condition import until
from rig.kill_points import points_of

from signer.rotation.entry import Event

if TYPE_CHECKING:
    from collections.abc import Callable

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
_STEP_S = 120.0


def play(stage: Stage) -> None:
    """Let the scenes begin."""
    for name, scene in (
        ("approved", _approved),
        ("people", _people),
        ("rejected", _rejected),
        ("failed", _failed),
    ):
        stage.scenes.play(name, scene, stage)


def _member(stage: Stage, name: str, urls: list[str], *, approval: str = "never") -> Member:
    member = stage.member(name, urls, killed=True)
    member.producer.register(member.signer.keys("primary")[0])
    if approval != "never":
        member.signer.append(f'\n[rotation]\napproval = "{approval}"\n')
        member.signer.issue("second", "view", "approve")
    return member


def _until_done(kills: KillPoints, events: tuple[Event, ...], act: Callable[[], object], what: str) -> None:
    """Do something again and again until the process was killed at every write of `events`."""
    wanted = {point for event in events for point in points_of(event)}

    def done() -> bool:
        act()
        return wanted <= kills.done()

    until(done, what, timeout_s=_STEP_S, interval_s=0.5, explain=lambda: f"killed at {sorted(kills.done())}")


def _approved(stage: Stage) -> dict[str, Any]:
    """One rotation, killed at every write from its plan to its end."""
    member = _member(stage, "approved", [stage.chain.boot.url], approval="always")
    signer = member.signer
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
    return {"member": member, "ended": ended, "row": stage.chain.row("approved")}


def _people(stage: Stage) -> dict[str, Any]:
    """An end by a person, an emergency in the place of a rotation, an approval afterwards, a refusal."""
    member = _member(stage, "people", [stage.chain.boot.url], approval="always")
    signer, kills = member.signer, member.kills
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

    signer.run("freeze", "--node", "primary", "--reason", "a drill")
    signer.ask("--to-node", "primary", "--emergency", "--reason", "a drill")
    states.append(signer.wait_for_state("refused", _SUCCESS)["state"])
    return {"member": member, "states": states, "confirmed": emergency["id"]}


def _rejected(stage: Stage) -> dict[str, Any]:
    """No API node takes the transaction; a person ends it, and it ends when no block can take it any more."""
    with ApiProxy(stage.chain.boot.url) as proxy:
        member = _member(stage, "rejected", [proxy.url])
        before = stage.chain.row("rejected")["producer_key"]
        signer = member.signer
        proxy.passes = lambda path: not is_push(path)
        member.kills.arm(REJECTED)
        signer.ask("--to-node", "standby", "--i-know")
        found = signer.wait_for_state("signed")
        number = str(found["id"])
        _until_done(member.kills, (Event.REJECTED,), lambda: None, "rejected")
        _until_done(
            member.kills,
            (Event.ABORT_ASKED,),
            lambda: signer.run("rotations", "abort", number),
            "abort asked",
        )
        aborted = signer.wait_for_state("aborted", _SUCCESS)
        # Once more, and somebody registers another key with the cold one meanwhile.
        signer.ask("--to-node", "standby", "--i-know")
        signer.wait_for_state("signed")
        cold = signer.keys("primary")[1]
        member.producer.register(cold)
        superseded = signer.wait_for_state("superseded", "failed", _SUCCESS)
        return {
            "member": member,
            "before": before,
            "aborted": aborted,
            "superseded": superseded,
            "cold": cold,
            "row": stage.chain.row("rejected"),
        }


def _failed(stage: Stage) -> dict[str, Any]:
    """The permission is gone between preflight and push; the process dies before it has written that down."""
    stranger = keypair.generate(stage.tools, "k1").public
    with ApiProxy(stage.chain.boot.url) as proxy:
        member = _member(stage, "failing", [proxy.url])

        def take_away(path: str) -> bool:
            if is_push(path):
                stage.chain.cleos.run("set", "account", "permission", "failing", "rotate", stranger, "active")
            return True

        proxy.passes = take_away
        member.kills.arm(FAILED)
        member.signer.ask("--to-node", "standby", "--i-know")
        ended = member.signer.wait_for_state("failed", _SUCCESS)
        return {"member": member, "ended": ended, "row": stage.chain.row("failing")}
