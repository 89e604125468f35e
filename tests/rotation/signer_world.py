"""A signer's rotations on a chain in memory: the real client, runner, observer and journal; time is virtual.

    world = World(folder)
    async with world.life() as rotations:
        rotation = await rotations.request(...)
        await world.end_of(rotation.id)

What a life holds besides the journal is lost when it ends, as in a process that is killed: it can be killed at any
write of the journal (`kill`).
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import httpx
from rig import two_nodes
from rotation.http_api import FINALIZERS, Api, Network
from rotation.ledger import SLOT, START, US, Ledger, Node, Row
from rotation.memory_desk import MemoryDesk

from signer.antelope.transaction import Transaction
from signer.chain.client import ChainClient
from signer.errors import JournalError
from signer.rotation import mandate
from signer.rotation.entry import Event
from signer.rotation.journal import Journal
from signer.rotation.rotation import Kind, Request, Rotation, State
from signer.rotation.rotations import Rotations
from signer.rotation.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime
    from pathlib import Path

    import pytest

    from signer.antelope.keys import PublicKey
    from signer.config import Config
    from signer.rotation.entry import Entry

OLD, NEW = two_nodes.A[1], two_nodes.B[1]
#: Longer than any rotation on this chain takes, s.
PATIENCE_S: Final = 600.0
_NODE_PORTS: Final = {"a": 7001, "b": 7002}
_API_PORTS: Final = (8888, 8889)


class When(enum.StrEnum):
    """On which side of a write the process dies."""

    BEFORE = "before"
    AFTER = "after"


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Point:
    """Where a life ends.

    Attributes:
        event: the first write of this one.
        when: before or after it is on disk.
        reached: whether it came to that.
    """

    event: Event
    when: When
    reached: bool = False

    def at(self, event: Event, when: When) -> None:
        """Die, if it is here. Raises Killed."""
        if (event, when) == (self.event, self.when) and not self.reached:
            self.reached = True
            raise Killed


class WatchedJournal(Journal):
    """The journal. It may be killed at a write or fail at one, and what it wrote is known."""

    world: World

    def plan(self, request: Request, **values: object) -> Rotation:
        """As Journal.plan."""
        self.world.before_write(Event.PLANNED)
        rotation = super().plan(request, **values)  # type: ignore[arg-type]
        self.world.after_write(Event.PLANNED, rotation)
        return rotation

    def save(self, rotation: Rotation, entry: Entry) -> None:
        """As Journal.save."""
        self.world.before_write(entry.event)
        super().save(rotation, entry)
        self.world.after_write(entry.event, rotation)


@dataclass
class World:
    """Chain, API nodes, nodes, tokens and disk. The rotations come and go with their lives.

    Attributes:
        folder: where the journal is.
        config: the configuration.
        skew: how far the local clock is ahead of the chain's time.
        kill: where the next life ends.
        failing: whether a write of the journal fails now.
        written: called when a write is on disk.
        writes: what was written, in order.
        pushed: the transactions that API nodes were sent, in order, as packed bytes.
        faults: what was against the law, to be empty at the end.
    """

    folder: Path
    config: Config
    ledger: Ledger
    desk: MemoryDesk
    network: Network
    nodes: dict[str, Node]
    skew: timedelta = timedelta()
    kill: Point | None = None
    failing: Callable[[Event], bool] = lambda _: False
    written: Callable[[Event], None] = lambda _: None
    writes: list[Event] = field(default_factory=list)
    pushed: list[bytes] = field(default_factory=list)
    on_disk: list[bytes] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    rotations: Rotations | None = None
    _journal: Journal | None = None

    # -- time ----------------------------------------------------------------------------------------------

    @property
    def slot(self) -> int:
        """The slot that it is."""
        return int(asyncio.get_running_loop().time() / SLOT.total_seconds())

    def clock(self) -> datetime:
        """The local time of day."""
        return START + timedelta(seconds=asyncio.get_running_loop().time()) + self.skew

    def monotonic(self) -> float:
        """The local monotonic time, s."""
        return asyncio.get_running_loop().time()

    def look(self) -> None:
        """Let the chain make the blocks until now."""
        self.ledger.advance_to(self.slot)

    # -- API nodes -----------------------------------------------------------------------------------------

    @property
    def apis(self) -> list[Api]:
        """The API nodes of the chain, in the order of the configuration."""
        return [self.network.apis[port] for port in _API_PORTS]

    def api_of(self, node: str) -> Api:
        """The own API of a node of ours."""
        return self.network.apis[_NODE_PORTS[node]]

    def stop(self, node: str) -> None:
        """Let a node of ours die, with its API."""
        self.look()
        self.nodes[node].up = False
        self.api_of(node).up = False

    def restart(self, node: str) -> None:
        """Start it again."""
        self.look()
        self.nodes[node].up = True
        self.api_of(node).up = True

    # -- disk ----------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self.folder / "control.sqlite"

    @property
    def journal(self) -> Journal:
        """The journal of the life that is."""
        assert self._journal is not None
        return self._journal

    def before_write(self, event: Event) -> None:
        """What happens before a write: it may fail, or the process dies."""
        if self.failing(event):
            raise JournalError("No space left on device")
        if self.kill is not None:
            self.kill.at(event, When.BEFORE)

    def after_write(self, event: Event, rotation: Rotation) -> None:
        """What happens after a write. The process may die."""
        self.writes.append(event)
        new = [each.packed for each in rotation.transactions if each.packed not in self.on_disk]
        for packed in new:
            self._signed_anew(packed, rotation)
        self.on_disk += new
        self.written(event)
        if self.kill is not None:
            self.kill.at(event, When.AFTER)

    # -- laws ----------------------------------------------------------------------------------------------

    def _signed_anew(self, packed: bytes, rotation: Rotation) -> None:
        """Hold that no transaction of the rotation is live when another one is written down."""
        self.look()
        for each in rotation.transactions:
            if each.packed != packed and self.ledger.live(Transaction.unpack(each.packed)):
                self.faults.append(f"{each.id} is live when another one is signed")

    def note_push(self, packed: bytes) -> None:
        """Hold that only what is on disk is sent, and nothing after its successor was signed."""
        self.pushed.append(packed)
        if packed not in self.on_disk:
            self.faults.append("a transaction was sent that is not on disk")
        elif packed != self.on_disk[-1]:
            self.faults.append("a transaction was sent after its successor was signed")

    def check(self) -> None:
        """Hold the laws of a rotation, now that it has ended."""
        assert not self.faults
        assert {each for each, _ in self.desk_signed()} >= {
            Transaction.unpack(packed).digest(two_nodes.CHAIN_ID) for packed in self.on_disk
        }

    def desk_signed(self) -> list[tuple[bytes, str]]:
        """What rotation keys signed."""
        return [(bytes(digest), what) for digest, what in self.desk.signed]

    def included(self) -> list[str]:
        """The transactions that are in blocks, in the order of these."""
        return [name for block in self.ledger.blocks for name in block.included]

    # -- lives ---------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def life(self) -> AsyncIterator[Rotations]:
        """Start the rotations, and take everything from them but the disk in the end."""
        journal = WatchedJournal(self.path)
        journal.world = self
        self._journal = journal
        site = self.site(journal)
        self.rotations = rotations = Rotations({"local": site}, journal)
        try:
            rotations.start()
            yield rotations
        finally:
            await rotations.stop()
            journal.close()
            self.rotations = self._journal = None
            if self.kill is not None and self.kill.reached:
                self.kill = None

    def site(self, journal: Journal) -> Site:
        """What the rotations work with."""

        def client(name: str, urls: tuple[str, ...]) -> ChainClient:
            return ChainClient(
                name,
                two_nodes.CHAIN_ID,
                urls,
                timeout_s=2.0,
                clock=self.clock,
                monotonic=self.monotonic,
            )

        nodes = {
            name: client(name, (node.api,))
            for name, node in self.config.nodes.items()
            if node.api is not None
        }
        return Site(
            self.config,
            "local",
            US,
            client("local", self.config.chains["local"].api),
            nodes,
            journal,
            self.desk,
            self.clock,
            self.monotonic,
        )

    def die_if_killed(self) -> None:
        """End this life if it has come to its end. Raises Killed."""
        if self.kill is not None and self.kill.reached:
            raise Killed

    async def until(self, condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Let time pass until it is so.

        Raises:
            Killed: the process died meanwhile.
        """
        end = self.monotonic() + patience_s
        while not condition():
            self.die_if_killed()
            assert self.monotonic() < end, f"after {patience_s:g} s it is not so that {what}"
            await asyncio.sleep(0.1)
            self.look()

    async def end_of(self, rotation_id: int) -> Rotation:
        """Return the rotation when it has ended. Raises Killed."""
        assert self.rotations is not None
        rotations = self.rotations
        await self.until(lambda: not rotations.get(rotation_id).live, f"rotation {rotation_id} has ended")
        return rotations.get(rotation_id)

    async def state(self, rotation_id: int, *states: State) -> Rotation:
        """Return the rotation when it is in one of these states. Raises Killed."""
        assert self.rotations is not None
        rotations = self.rotations
        await self.until(
            lambda: rotations.get(rotation_id).state in states, f"rotation {rotation_id} is in {states}"
        )
        return rotations.get(rotation_id)


def promote(**values: object) -> Request:
    """Return the request for a promotion of b, with other values where they are given."""
    fields = {
        "kind": Kind.PROMOTE,
        "chain": "local",
        "node": "b",
        "requested_by": "alice",
        "accept_warnings": True,
    }
    return Request(**(fields | values))  # type: ignore[arg-type]


def cycle(**values: object) -> Request:
    """Return the request for a cycle of a."""
    return promote(**({"kind": Kind.CYCLE, "node": "a"} | values))


def build(
    folder: Path,
    patch: pytest.MonkeyPatch,
    *,
    savanna: bool = False,
    approval: str = "never",
    apis: int = 2,
    elected: bool = True,
    propose_in: int = 24,
    names: tuple[str, ...] = ("alpha",),
    lifetime_s: int = 20,
    old: tuple[PublicKey, ...] = (OLD,),
    node_apis: bool = True,
) -> World:
    """Return a world in which a produces with its second key, and b is ready.

    Transactions live for `lifetime_s`, a third of what they do otherwise: many ways wait for the end of one.
    """
    patch.setattr(mandate, "MAX_LIFETIME_S", lifetime_s)
    lines = {
        name: (f'api = "http://127.0.0.1:{port}"\n' if node_apis else "")
        + (f'finalizer_key = "{FINALIZERS[name]}"' if savanna else "")
        for name, port in _NODE_PORTS.items()
    }
    config = two_nodes.config(node_a=lines["a"], node_b=lines["b"])
    chain = config.chains["local"].model_copy(update={"api": config.chains["local"].api[:apis]})
    rotation = config.rotation.model_copy(update={"approval": approval})
    config = config.model_copy(update={"chains": {"local": chain}, "rotation": rotation})
    nodes = {"a": Node("a", set(two_nodes.A)), "b": Node("b", set(two_nodes.B))}
    desk = MemoryDesk(lambda: asyncio.get_running_loop().time())
    ledger = Ledger(
        desk,
        nodes,
        Row(old),
        savanna=savanna,
        propose_in=propose_in,
        names=names,
        elected=elected,
        finalizer=FINALIZERS["a"] if savanna else None,
    )
    network = Network()
    network.apis = {port: Api(ledger) for port in (*_API_PORTS, *_NODE_PORTS.values())}
    world = World(folder, config, ledger, desk, network, nodes)
    network.look, network.pushed = world.look, world.note_push
    transport = httpx.MockTransport(network.answer)
    patch.setattr(httpx, "AsyncClient", functools.partial(httpx.AsyncClient, transport=transport))
    return world
