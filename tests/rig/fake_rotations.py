"""Rotations and a chain without nodeos: what the control API's routes are tried against.

It stands beside tests/rotation, where the same methods run against real nodeos.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from signer.antelope.keys import PublicKey
from signer.antelope.name import Name
from signer.chain import slots
from signer.chain.sighting import Sighting
from signer.chain.values import Account, Block, Consensus, Head, Info, Resource, Schedule, Schedules
from signer.chain.watcher import Origin, Slot, SlotState, Totals
from signer.errors import ChainUnreachableError, RotationError
from signer.rotation import machine
from signer.rotation.dry_run import DryRun
from signer.rotation.entry import Entry, Event
from signer.rotation.producer_view import ApiNode, ChainView, ProducerView
from signer.rotation.rotation import Rotation, State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from rig.control_site import Clock
    from signer.chain.values import Authorized, Permission, ProducerRow
    from signer.control.supervisor import Issued
    from signer.rotation.finding import Finding
    from signer.rotation.rotation import Request

KEY_A = PublicKey.parse("PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr")
KEY_B = PublicKey.parse("EOS5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1ZeXbgf")
EXPECTED_S = 60.0


@dataclass
class FakeSupervisor:
    """The acts and freezes that the API asked for."""

    answer: dict[str, Any]
    acts: list[tuple[str, str, str]] = field(default_factory=list)
    freezes: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    signed: Issued | None = None

    async def status(self) -> dict[str, Any]:
        """Return the signer's status."""
        return self.answer

    async def last_issued(self, _: PublicKey) -> Issued | None:
        """Return the last signature of a key."""
        return self.signed

    async def act(self, name: str, by: str, detail: str) -> None:
        """Keep an act."""
        self.acts.append((name, by, detail))

    async def freeze(self, scope: str, name: str, by: str, reason: str) -> bool:
        """Keep a freeze."""
        self.freezes[scope, name] = (by, reason)
        return True

    async def unfreeze(self, scope: str, name: str, by: str, reason: str) -> tuple[bool, bool]:
        """Forget a freeze."""
        self.acts.append(("unfreeze", by, reason))
        return self.freezes.pop((scope, name), None) is not None, True

    async def take_lease(self, chain: str, node: str, by: str, reason: str) -> None:
        """Keep it."""
        self.acts.append((f"lease {chain} {node}", by, reason))

    async def alarm(self, name: str, subject: str, text: str, *, on: bool) -> None:
        """Keep it."""
        self.acts.append((f"alarm {name} {'on' if on else 'off'}", subject, text))


@dataclass
class FakeRotations:
    """Rotations in memory. A test moves them with `put`."""

    clock: Clock
    findings: tuple[Finding, ...] = ()
    needs_approval: bool = False
    chain_known: bool = True
    rotations: dict[int, Rotation] = field(default_factory=dict)
    history: dict[int, list[Entry]] = field(default_factory=dict)
    keys: dict[tuple[str, str], int] = field(default_factory=dict)
    listeners: list[asyncio.Event] = field(default_factory=list)

    async def request(self, request: Request, key: PublicKey | None, idempotency_key: str | None) -> Rotation:
        """Plan a rotation; one is live at a time."""
        if any(each.live for each in self.rotations.values()):
            raise RotationError("live", "the chain has a live rotation")
        now, number = self.clock.now, len(self.rotations) + 1
        rotation = Rotation(
            number,
            request,
            "bp1",
            "rotate",
            key or KEY_B,
            now,
            State.PLANNED,
            now,
            needs_approval=self.needs_approval,
            reached={State.PLANNED: now},
        )
        self.history[number] = []
        self.put(rotation, Event.PLANNED)
        if idempotency_key is not None:
            self.keys[request.requested_by, idempotency_key] = number
        return rotation

    def put(self, rotation: Rotation, event: Event, by: str = "signer") -> Rotation:
        """Write a rotation down with an entry, and tell those who listen."""
        self.rotations[rotation.id] = rotation
        text = rotation.reason or str(event)
        self.history[rotation.id].append(Entry(self.clock.now, event, rotation.state, by, text))
        for each in self.listeners:
            each.set()
        return rotation

    def move(self, number: int, state: State, event: Event, **changes: Any) -> Rotation:  # noqa: ANN401 - fields
        """Let a rotation enter a state."""
        now, before = self.clock.now, self.rotations[number]
        reached = before.reached | {state: now}
        return self.put(replace(before, state=state, state_since=now, reached=reached, **changes), event)

    async def dry_run(self, request: Request, key: PublicKey | None) -> DryRun:
        """Say what would happen."""
        return DryRun(request.node, key or KEY_B, (KEY_A,), "a", self.findings, {"actions": []}, EXPECTED_S)

    def by_idempotency_key(self, person: str, key: str) -> Rotation | None:
        """Return what this person asked for with this key."""
        number = self.keys.get((person, key))
        return None if number is None else self.rotations[number]

    def get(self, rotation_id: int) -> Rotation:
        """Return one."""
        if rotation_id not in self.rotations:
            raise RotationError("unknown", f"there is no rotation {rotation_id}")
        return self.rotations[rotation_id]

    def list(self, limit: int, before_id: int | None) -> list[Rotation]:
        """Return them, newest first."""
        found = [each for each in self.rotations.values() if before_id is None or each.id < before_id]
        return found[::-1][:limit]

    def entries(self, rotation_id: int) -> Sequence[Entry]:
        """Return the history."""
        return tuple(self.history[rotation_id])

    async def changes(self, rotation_id: int) -> AsyncGenerator[Rotation]:
        """Yield at each change."""
        news = asyncio.Event()
        self.listeners.append(news)
        try:
            while self.rotations[rotation_id].live:
                await news.wait()
                news.clear()
                yield self.rotations[rotation_id]
        finally:
            self.listeners.remove(news)

    async def abort(self, rotation_id: int, by: str) -> Rotation:
        """End it, as the machine does."""
        change = machine.ask_abort(self.get(rotation_id), by, self.clock.now)
        return self.put(change.rotation, change.entry.event, by)

    async def approve(self, rotation_id: int, by: str) -> Rotation:
        """Agree to it, as the machine does."""
        change = machine.approve(self.get(rotation_id), by, self.clock.now)
        return self.put(change.rotation, change.entry.event, by)

    def expected_s(self, _: str) -> float | None:
        """Return a minute."""
        return EXPECTED_S

    async def seen(self, _: str) -> tuple[ChainView | None, str, tuple[ApiNode, ...]]:
        """Return what `producer` says of the chain."""
        view = await self.producer("")
        return view.chain_view, view.problem, view.apis

    async def producer(self, chain: str) -> ProducerView:
        """Return a producer whose row names KEY_A."""
        now = self.clock.now
        seen = ChainView(
            "legacy",
            100,
            now,
            90,
            registered=True,
            row_keys=(KEY_A,),
            active=(KEY_A,),
            pending=None,
            proposed=(),
        )
        live = next((each for each in self.rotations.values() if each.live), None)
        last = next((each for each in reversed(self.rotations.values()) if not each.live), None)
        return ProducerView(
            chain,
            "bp1",
            "rotate",
            seen if self.chain_known else None,
            "" if self.chain_known else "nobody answers",
            (ApiNode("http://127.0.0.1:8888", self.chain_known, "", 100, now),),
            self.findings if self.chain_known else None,
            live,
            last,
        )


@dataclass
class FakeChain:
    """What the API nodes of a chain say; None for a chain that nobody answers for."""

    seen: bool = True
    row: ProducerRow | None = None
    schedule: Schedule = field(default_factory=lambda: Schedule(1, ()))
    permissions: tuple[Permission, ...] = ()

    def _ask(self) -> None:
        if not self.seen:
            raise ChainUnreachableError("nobody answers")

    async def info(self) -> Info:
        """Return a head at 100 of today."""
        self._ask()
        now = datetime.now(UTC)
        head = Head(100, "00" * 32, now)
        return Info("api", "aa" * 32, head, head, Consensus.LEGACY, "v5", now, 0.0, 0.0)

    async def producer(self, _: Name) -> ProducerRow | None:
        """Return the row."""
        self._ask()
        return self.row

    async def schedules(self) -> Schedules:
        """Return one schedule."""
        self._ask()
        return Schedules(self.schedule, None, None)

    async def account(self, name: Name) -> Account | None:
        """Return the account."""
        self._ask()
        free = Resource(0, -1, -1)
        return Account(name, self.permissions, (), free, free, 0, -1, privileged=False)

    async def authorizers(self, _: Sequence[PublicKey]) -> Sequence[Authorized] | None:
        """Return what a node without account queries says."""
        self._ask()
        return None


@dataclass
class FakeWatch:
    """What is seen on a chain: nothing, until a test lets it."""

    seen: Sighting | None = None
    shown: list[Slot] = field(default_factory=list)
    counted: Totals = field(default_factory=Totals)
    authors: dict[str, int] = field(default_factory=dict)

    def show(self) -> None:
        """See two rounds: one with a block of ours, one of somebody else's and none; and one that began."""
        row = (str(KEY_A),)
        self.seen = Sighting(
            "eos", "bp1", 1e9, 102, 1e9, 100, False, 21, row, None, None, row, (), 1, 1e9, 1e9
        )
        self.counted = Totals(signed=1, other=2, missed=3)
        state = SlotState
        self.shown = [
            self._slot(252, state.UNKNOWN, 102, None),
            self._slot(2, state.MISSED, None, None),
            self._slot(1, state.OTHER, 101, None),
            self._slot(0, state.SIGNED, 100, Origin(KEY_A, "a")),
        ]

    @staticmethod
    def _slot(number: int, state: SlotState, block: int | None, origin: Origin | None) -> Slot:
        time = slots.moment(number)
        found = None
        if block is not None:
            found = Block(block, f"{block:064x}", time, Name("bp1"), f"SIG_R1_{block}", 1, "0" * 64)
        return Slot(number, time, state, found, origin, irreversible=block == 100)

    def foreign(self) -> dict[str, int]:
        """Return them."""
        return self.authors

    def sighting(self) -> Sighting | None:
        """Return it."""
        return self.seen

    def slots(self, rounds: int) -> list[Slot]:
        """Return them."""
        newest = sorted({each.round for each in self.shown})[-rounds:]
        return [each for each in self.shown if each.round in newest]

    def totals(self) -> Totals:
        """Return them."""
        return self.counted
