"""Ways that a rotation goes: what the world is like, what people do, and where it ends, however often it is killed."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rig import two_nodes
from rotation.ledger import NO_CPU, Row
from rotation.signer_world import NEW, PATIENCE_S, Killed, World, build, cycle, promote

from signer.errors import JournalError
from signer.rotation.entry import Event
from signer.rotation.rotation import Request, Rotation, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import pytest

    from signer.rotation.rotations import Rotations

#: Who asks once and only once.
_ASKED: Final = "tonight"
#: How long it takes until a process that died runs again, s.
RESTART_S: Final = 1.5


async def _nobody(world: World, rotations: Rotations, rotation: Rotation) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Way:
    """One way.

    Attributes:
        ends: the state in the end.
        request: what is asked for.
        prepare: makes the world what it is.
        person: what people do when they see the rotation as it is. Doing it again does no harm.
        approval: as in the configuration.
        savanna: the consensus.
        apis: how many API nodes there are.
        elected: whether the producer has the votes.
    """

    ends: State
    request: Request = promote()  # noqa: RUF009 - frozen
    prepare: Callable[[World], None] = lambda _: None
    person: Callable[[World, Rotations, Rotation], Awaitable[None]] = _nobody
    approval: str = "never"
    savanna: bool = False
    apis: int = 2
    elected: bool = True

    def world(self, folder: Path, patch: pytest.MonkeyPatch) -> World:
        """Return a world for it."""
        return build(
            folder,
            patch,
            savanna=self.savanna,
            approval=self.approval,
            apis=self.apis,
            elected=self.elected,
        )

    async def go(self, world: World, restart_s: float = RESTART_S) -> Rotation:
        """Go it to the end, with another life wherever one ends: after `restart_s` s."""
        self.prepare(world)
        while True:
            # A journal that cannot be written to is told to whoever asked, and they ask again.
            with contextlib.suppress(Killed, JournalError):
                async with world.life() as rotations:
                    return await self._live(world, rotations)
            await asyncio.sleep(restart_s)

    async def _live(self, world: World, rotations: Rotations) -> Rotation:
        rotation = rotations.by_idempotency_key("alice", _ASKED)
        if rotation is None:
            rotation = await rotations.request(self.request, None, _ASKED)

        end = world.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(JournalError):
                await self.person(world, rotations, rotation)
            world.die_if_killed()
            if not rotation.live:
                return rotations.get(rotation.id)
            assert world.monotonic() < end, f"{rotation.state} without end: {rotation.reason}"
            await asyncio.sleep(0.5)
            rotation = rotations.get(rotation.id)


# -- what people do ------------------------------------------------------------------------------------------


async def _approve(world: World, rotations: Rotations, rotation: Rotation) -> None:
    if rotation.state is State.APPROVAL:
        await rotations.approve(rotation.id, "bob")


async def _approve_afterwards(world: World, rotations: Rotations, rotation: Rotation) -> None:
    if rotation.state is State.DONE and rotation.approved_by is None:
        await rotations.approve(rotation.id, "bob")


async def _abort(world: World, rotations: Rotations, rotation: Rotation) -> None:
    if rotation.state is State.SIGNED and rotation.abort_by is None:
        await rotations.abort(rotation.id, "carol")


async def _wait_for_cpu(world: World, rotations: Rotations, rotation: Rotation) -> None:
    """The account has its CPU back after some seconds."""
    if world.monotonic() > 5.0:
        world.ledger.refusal = None


async def _change_the_row(world: World, rotations: Rotations, rotation: Rotation) -> None:
    if rotation.state is State.REGISTERED and two_nodes.A[2] not in (world.ledger.head.row or Row(())).keys:
        world.ledger.act(Row((two_nodes.A[2],)))


# -- what the world is like ------------------------------------------------------------------------------------


def _busy(world: World) -> None:
    """Something else uses up the account's CPU when the transaction is signed."""

    def use_up(event: Event) -> None:
        if event is Event.SIGNED:
            world.ledger.refusal = NO_CPU

    world.written = use_up


def _b_is_deaf(world: World) -> None:
    """B runs, and does not list the key."""
    world.nodes["b"].keys.clear()


def _b_cannot_sign(world: World) -> None:
    world.desk.unable[NEW] = "its token is gone"


def _nothing_lands(world: World) -> None:
    world.ledger.lands = False


def _permission_removed(world: World) -> None:
    """The owner takes our key out when the transaction is signed."""

    def remove(event: Event) -> None:
        if event is Event.SIGNED:
            world.ledger.permission = {two_nodes.OTHER_ROTATION}

    world.written = remove


WAYS: Final = {
    "promoted": Way(State.DONE),
    "promoted on Savanna": Way(State.DONE, savanna=True),
    "cycled": Way(State.DONE, cycle()),
    "approved": Way(State.DONE, person=_approve, approval="always"),
    "emergency, approved afterwards": Way(
        State.DONE,
        promote(emergency=True, reason="a is dead"),
        person=_approve_afterwards,
        approval="always",
    ),
    "busy account": Way(State.DONE, prepare=_busy, person=_wait_for_cpu),
    "not elected": Way(State.UNSCHEDULED, elected=False),
    "refused": Way(State.REFUSED, prepare=_b_cannot_sign),
    "returned": Way(State.RETURNED, prepare=_b_is_deaf, apis=1),
    "aborted": Way(State.ABORTED, prepare=_nothing_lands, person=_abort, apis=1),
    "superseded": Way(State.SUPERSEDED, person=_change_the_row, apis=1),
    "permission removed": Way(State.FAILED, prepare=_permission_removed),
}
