"""What the routes need of the rest of the control process, each with no more than they call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import Depends, Request

from signer.control.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.antelope.name import Name
    from signer.chain.sighting import Sighting
    from signer.chain.values import Account, Authorized, Info, ProducerRow, Schedules
    from signer.chain.watcher import Slot, Totals
    from signer.config import Config
    from signer.control.auth import TokenStore
    from signer.rotation.dry_run import DryRun
    from signer.rotation.entry import Entry
    from signer.rotation.evidence import Evidence
    from signer.rotation.producer_view import ApiNode, ChainView, ProducerView
    from signer.rotation.ring import KeyUse
    from signer.rotation.rotation import Request as RotationRequest
    from signer.rotation.rotation import Rotation


class RotationService(Protocol):
    """signer.rotation.rotations. Each method may raise RotationError and JournalError.

    It writes its own acts into the audit log.
    """

    async def request(
        self, request: RotationRequest, key: PublicKey | None, idempotency_key: str | None
    ) -> Rotation:
        """Write a rotation down and begin it."""

    async def dry_run(self, request: RotationRequest, key: PublicKey | None) -> DryRun:
        """Find out what a rotation would do."""

    def by_idempotency_key(self, person: str, key: str) -> Rotation | None:
        """Return what this person asked for with this key, None if nothing."""

    def get(self, rotation_id: int) -> Rotation:
        """Return one rotation."""

    def list(self, limit: int, before_id: int | None) -> Sequence[Rotation]:
        """Return rotations, newest first."""

    def entries(self, rotation_id: int) -> Sequence[Entry]:
        """Return the history of one rotation, oldest first."""

    def changes(self, rotation_id: int) -> AsyncIterator[Rotation]:
        """Yield the rotation at each change until it has ended."""

    async def abort(self, rotation_id: int, by: str) -> Rotation:
        """Ask for its end."""

    async def approve(self, rotation_id: int, by: str) -> Rotation:
        """Agree to it."""

    def expected_s(self, chain: str) -> float | None:
        """Return how long a rotation takes on this chain from push to proof, in s; None if nobody knows."""

    async def seen(self, chain: str) -> tuple[ChainView | None, str, tuple[ApiNode, ...]]:
        """Return what the chain says of the producer, else why nobody tells; and how its API nodes are."""

    async def producer(self, chain: str) -> ProducerView:
        """Return what is known of the chain's producer now."""


class Journal(Protocol):
    """signer.rotation.journal. Each method may raise JournalError."""

    def uses(self, chain: str) -> dict[PublicKey, KeyUse]:
        """Return the use of every key that the chain's producer row named."""

    def live(self) -> Sequence[Rotation]:
        """Return the rotations that have not ended."""

    def evidence(self) -> Sequence[Evidence]:
        """Return what is known of what the nodes list."""

    def add_evidence(self, evidence: Evidence) -> None:
        """Keep one observation."""


class ChainReader(Protocol):
    """The API nodes of one chain: signer.chain.client. Each method may raise ChainError."""

    async def info(self) -> Info:
        """Return how far the chain is."""

    async def producer(self, producer: Name) -> ProducerRow | None:
        """Return a producer's row, None if there is none."""

    async def schedules(self) -> Schedules:
        """Return who produces, and who will."""

    async def account(self, name: Name) -> Account | None:
        """Return an account, None if there is none."""

    async def authorizers(self, keys: Sequence[PublicKey]) -> Sequence[Authorized] | None:
        """Return the authorities that keys take part in, None where no API node can tell."""


class ChainWatch(Protocol):
    """What is seen of our producer on one chain, slot by slot: signer.control.follower. It asks nobody."""

    def sighting(self) -> Sighting | None:
        """Return what was seen last; None before anything was."""

    def slots(self, rounds: int) -> Sequence[Slot]:
        """Return the slots of the last rounds of ours, the newest first."""

    def totals(self) -> Totals:
        """Return our slots since this process started, each counted once it is irreversible."""

    def foreign(self) -> Mapping[str, int]:
        """Return how many blocks with other signatures were looked at since this process started, by their author."""


class Signature(Protocol):
    """A signature that this signer gave."""

    @property
    def at(self) -> datetime:
        """When (UTC)."""


class Supervisor(Protocol):
    """The process above this one, which keeps the audit log and the freeze markers.

    Each method may raise AdminError: it gave no answer in time; and of that AdminRefusedError: it says no.
    """

    async def status(self) -> dict[str, Any]:
        """Return the signer's status."""

    async def last_issued(self, key: PublicKey) -> Signature | None:
        """Return the last signature of a key, None if none is known."""

    async def act(self, name: str, by: str, detail: str) -> None:
        """Write an administrative act of the person `by` into the audit log."""

    async def freeze(self, scope: str, name: str, by: str, reason: str) -> bool:
        """Stop signatures: of all keys, of a node's, or of one."""

    async def unfreeze(self, scope: str, name: str, by: str, reason: str) -> tuple[bool, bool]:
        """End a freeze; tell whether there was one, and whether its end is on the disk."""

    async def take_lease(self, chain: str, node: str, by: str, reason: str) -> None:
        """Give the lease of a chain's producer to a node."""

    async def alarm(self, name: str, subject: str, text: str, *, on: bool) -> None:
        """Raise an alarm, or say that its condition has ended."""


@dataclass(frozen=True, slots=True)
class Services:
    """All of them.

    Attributes:
        config: the configuration.
        tokens: who may use the API.
        supervisor: audit log and freezes.
        rotations: None where no chain is configured for rotations.
        journal: what is on disk.
        chains: the API nodes of each chain that has some in the configuration.
        watches: what is seen on each chain that has a producer and an API node in the configuration.
        clock: the time of day (UTC).
        asking: held while a rotation is asked for, so that the same request sent twice at once makes one.
    """

    config: Config
    tokens: TokenStore
    supervisor: Supervisor
    rotations: RotationService | None
    journal: Journal
    chains: Mapping[str, ChainReader]
    watches: Mapping[str, ChainWatch]
    clock: Callable[[], datetime]
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def rotating(self) -> RotationService:
        """Return the rotations.

        Raises:
            ProblemError: no chain of the configuration can rotate.
        """
        if self.rotations is None:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "not-configured",
                "Rotation is not configured: no chain in the configuration has a producer.",
                errors=[{"at": ["chains"], "kind": "missing"}],
            )
        return self.rotations


async def _of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


#: For the signature of a route.
Given = Annotated[Services, Depends(_of)]
