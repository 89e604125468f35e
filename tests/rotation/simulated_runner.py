"""A runner without time and network: carries a rotation out on a simulated chain, and may die at any write.

It does what the real one does, in the same order, and looks with the eyes of API nodes that may be behind, on a fork,
or gone. What it holds besides the journal is lost when it dies.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rotation.simulated_chain import Block, Chain, Transaction, moment

from signer.rotation import machine
from signer.rotation.entry import Entry, Event
from signer.rotation.machine import Effect, Facts
from signer.rotation.rotation import Purpose, Rotation, SignedTransaction, State, VerifiedBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.antelope.keys import PublicKey
    from signer.rotation.machine import Change

#: More changes from one look than there are states: the machine goes in a circle.
MAX_CHANGES: Final = 12


class Push(enum.Enum):
    """What becomes of a transaction that is sent."""

    #: It reaches the producers, and the API node says so.
    TAKEN = enum.auto()
    #: It reaches them, and the answer is lost.
    TAKEN_LOST = enum.auto()
    #: It reaches nobody, and nobody says so.
    LOST = enum.auto()
    #: Refused for now (CPU).
    REFUSED = enum.auto()
    #: Refused for good (the permission is gone).
    REFUSED_FINAL = enum.auto()


class Crash(enum.Enum):
    """Where the runner dies: before or after what it writes is on disk."""

    BEFORE = enum.auto()
    AFTER = enum.auto()


class Killed(Exception):  # noqa: N818 - not an error
    """The runner died."""


@dataclass
class Api:
    """An API node: what it knows of the chain."""

    head: Block
    follows: bool = True
    up: bool = True


@dataclass
class Node:
    """A node of ours: its keys, and whether its API answers."""

    name: str
    keys: frozenset[PublicKey]
    up: bool = True


@dataclass
class World:
    """Everything outside of the runner, with what is on its disk."""

    chain: Chain
    apis: list[Api]
    nodes: dict[str, Node]
    journal: Rotation
    lifetime: int
    elsewhere: frozenset[PublicKey]
    push: Push = Push.TAKEN
    #: Slots that pass between the first and the second half of a look, and whether there is a fork in them.
    between: int = 0
    fork_between: bool = False
    history: list[tuple[Rotation, Entry]] = field(default_factory=list)
    signed: dict[str, Transaction] = field(default_factory=dict)
    crash: Crash | None = None
    crash_after: int = 0
    saved: Callable[[Rotation, Entry, Block], None] = lambda *_: None

    def advance(self, slots: int) -> None:
        """Let time pass. The API nodes that follow see it."""
        self.chain.advance(slots)
        self.sync()

    def sync(self) -> None:
        """Let the API nodes that follow the chain see it."""
        for api in self.apis:
            if api.follows:
                api.head = self.chain.head

    def produce(self) -> None:
        """Let the nodes that are up produce, and those of somebody else."""
        ours = {key for node in self.nodes.values() for key in node.keys if node.up}
        self.chain.working = ours | self.elsewhere

    @property
    def seconds(self) -> float:
        """The time, in s."""
        return self.chain.slot / 2


class Runner:
    """One life of a runner."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rotation = world.journal
        self._certain = False
        self._answered: dict[str, float] = {}
        self._active_since: int | None = None

    def step(self) -> None:
        """Do what is next. May raise Killed."""
        now = moment(self.world.chain.slot)
        match machine.effect(self.rotation):
            case Effect.WAIT | Effect.NONE:
                return
            case Effect.BEGIN:
                self.save(machine.begin(self.rotation, now))
                return
            case Effect.CHECK:
                self._check()
                return
            case Effect.PUSH:
                self._push()
        if self.rotation.live:
            self._observe()

    def save(self, change: Change) -> None:
        """Write a change down. May raise Killed."""
        world = self.world
        dies = world.crash if world.crash is not None and world.crash_after == 0 else None
        world.crash_after -= world.crash_after > 0
        if dies is not None:
            world.crash = None
        if dies is Crash.BEFORE:
            raise Killed
        assert world.journal.live or change.entry.event is Event.CONFIRMED, (
            "a rotation that ended has changed"
        )
        world.journal = self.rotation = change.rotation
        world.history.append((change.rotation, change.entry))
        world.saved(change.rotation, change.entry, self._view or world.chain.head)
        if dies is Crash.AFTER:
            raise Killed

    _view: Block | None = None

    # -- effects -------------------------------------------------------------------------------------------

    def _believed(self) -> Block | None:
        heads = [api.head for api in self.world.apis if api.up]
        return max(heads, key=lambda head: head.number) if heads else None

    def _check(self) -> None:
        self._view = head = self._believed()
        if head is None:
            return
        node = next(
            (name for name, node in self.world.nodes.items() if head.row and head.row <= node.keys), None
        )
        now = moment(self.world.chain.slot)
        self.save(machine.checked(self.rotation, [], tuple(sorted(head.row)), node, now))
        self._sign(Purpose.REGISTER)
        self._push()

    def _sign(self, purpose: Purpose) -> None:
        world = self.world
        head = self._believed()
        key = self.rotation.to_key if purpose is Purpose.REGISTER else self.rotation.from_key
        if head is None or key is None:
            return
        name = f"{len(world.signed):064x}"
        transaction = Transaction(name, key, head.slot + world.lifetime)
        world.signed[name] = transaction
        now = moment(world.chain.slot)
        self.save(
            machine.signed(
                self.rotation,
                SignedTransaction(purpose, b"", "", key, name, moment(transaction.expires), head.number, now),
                now,
            )
        )
        self._certain = True

    def _push(self) -> None:
        last, world = self.rotation.transaction, self.world
        if last is None or self.rotation.state not in (State.SIGNED, State.RETURNING):
            return
        now = moment(world.chain.slot)
        certain, self._certain = self._certain, False
        if world.push in (Push.TAKEN, Push.TAKEN_LOST):
            world.chain.taken.setdefault(last.id, world.signed[last.id])
        if world.push in (Push.REFUSED, Push.REFUSED_FINAL):
            self._certain = certain
        if world.push is Push.REFUSED_FINAL and certain:
            self.save(machine.hopeless(self.rotation, "the permission is gone", now))
            return
        accepted = world.push is Push.TAKEN
        change = machine.answered(self.rotation, accepted=accepted, text=world.push.name, now=now)
        if change is not None:
            self.save(change)

    def _observe(self) -> None:
        facts = self.look()
        if facts is None:
            return
        for _ in range(MAX_CHANGES):
            change = machine.observe(self.rotation, facts)
            if change is None:
                break
            self.save(change)
        else:
            raise AssertionError(f"changes without end in {self.rotation.state}: {self.rotation.reason}")
        if machine.resign(self.rotation, facts):
            returning = self.rotation.state is State.RETURNING
            self._sign(Purpose.RETURN if returning else Purpose.REGISTER)
            self._push()

    # -- the look ------------------------------------------------------------------------------------------

    def look(self) -> Facts | None:
        """Take a look: first the head and the irreversible block, then everything else, from what has that block."""
        world = self.world
        believed = max((api for api in world.apis if api.up), key=lambda api: api.head.number, default=None)
        if believed is None:
            return None
        head, final = believed.head, believed.head.irreversible
        if world.fork_between:
            world.chain.fork(3)
        world.advance(world.between)
        view = self._view = believed.head
        rows = [api.head.row for api in world.apis if api.up and api.head.holds(final)]
        rotation = self.rotation
        return Facts(
            now=moment(world.chain.slot),
            head_number=head.number,
            irreversible_number=final.number,
            irreversible_time=moment(final.slot),
            row_keys=rows[0] if rows else None,
            row_agreed=bool(rows) and all(row == rows[0] for row in rows),
            active=_keys(view.active),
            pending=_keys(view.pending.key if view.pending else None),
            proposed=_keys(view.proposed.key if view.proposed and not world.chain.savanna else None),
            hidden=world.chain.savanna,
            proof=self._proof(view),
            silent_slots=self._silent(view),
            target_silent_s=self._silent_s(rotation.request.node),
            unfit=self._unfit(),
            verified_dropped=None
            if rotation.verified is None or rotation.verified.number > view.number
            else f"{view.ancestor(rotation.verified.number).id}" != rotation.verified.id,
        )

    def _proof(self, view: Block) -> VerifiedBlock | None:
        rotation = self.rotation
        if not rotation.registered_head:
            return None
        key = rotation.from_key if rotation.state is State.RETURNING else rotation.to_key
        first = None
        for block in view.back_to(rotation.registered_head + 1):
            if block.signed_with == key:
                first = block
        if first is None:
            return None
        return VerifiedBlock(first.number, f"{first.id}", moment(first.slot), first.signature)

    def _silent(self, view: Block) -> int:
        if self.rotation.state is not State.ACTIVE:
            self._active_since = None
            return 0
        if self._active_since is None:
            self._active_since = view.slot
        since = self._active_since
        for block in view.back_to(0):
            if block.slot <= since:
                break
            if block.signed_with is not None:
                since = block.slot
                break
        chain = self.world.chain
        return sum(map(chain.our_slot, range(since + 1, chain.slot))) if view.active is not None else 0

    def _silent_s(self, node: str) -> float:
        now = self.world.seconds
        since = self._answered.setdefault(node, now)
        if self.world.nodes[node].up:
            self._answered[node] = now
            return 0.0
        return now - since

    def _unfit(self) -> str:
        node = self.rotation.from_node
        if node is None:
            return "no node holds the old key"
        return "" if self.world.nodes[node].up else f"the API of {node} does not answer"


def _keys(key: PublicKey | None) -> frozenset[PublicKey]:
    return frozenset() if key is None else frozenset({key})
