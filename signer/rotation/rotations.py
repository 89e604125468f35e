"""The rotations of this signer: asked for, approved, ended, looked at. One runner for each live one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, TypeVar

from signer.errors import AdminError, ChainError, JournalConflictError, RotationError
from signer.rotation import expectation, machine, preflight, ring
from signer.rotation.dry_run import DryRun
from signer.rotation.inspector import Inspector
from signer.rotation.observer import Observer
from signer.rotation.producer_view import ProducerView
from signer.rotation.rotation import Kind, Purpose
from signer.rotation.runner import Runner
from signer.rotation.view import api_node, chain_view

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence

    from signer.antelope.keys import PublicKey
    from signer.rotation.entry import Entry
    from signer.rotation.journal import Journal
    from signer.rotation.producer_view import ApiNode, ChainView
    from signer.rotation.rotation import Request, Rotation
    from signer.rotation.site import Site

log = logging.getLogger("signer.rotation")

#: The longest reason that is written down, in characters.
MAX_REASON: Final = 400
#: Rotations that are looked through for a chain's last one.
_RECENT: Final = 100
#: A person who asks how things stand waits so long for a chain, in s. Each question to an API node may take
#: `api_timeout_ms`, and some follow from the answers to others.
_PATIENCE_S: Final = 5.0

T = TypeVar("T")


class Rotations:
    """All rotations.

    Args:
        sites: of each chain that can rotate, by its name.
        journal: what is on disk.
    """

    def __init__(self, sites: Mapping[str, Site], journal: Journal) -> None:
        self._sites = sites
        self._journal = journal
        self._runners: dict[int, Runner] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._expected: dict[str, float] = {}
        self._listeners: set[asyncio.Event] = set()

    # -- life ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Go on with what is live on disk.

        Raises:
            JournalError: it cannot be read.
        """
        for rotation in self._journal.live():
            if rotation.request.chain in self._sites:
                self._run(rotation)

    async def stop(self) -> None:
        """Let every runner go. What is live goes on when the next process starts."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for site in self._sites.values():
            await site.client.aclose()
            for client in site.nodes.values():
                await client.aclose()

    def _run(self, rotation: Rotation) -> None:
        site = self._sites[rotation.request.chain]
        observer = Observer(site)
        runner = Runner(site, rotation, Inspector(site), observer, self._changed)
        self._runners[rotation.id] = runner
        task = asyncio.create_task(runner.run())
        self._tasks[rotation.id] = task
        task.add_done_callback(lambda _: self._forget(rotation.id))

    def _forget(self, rotation_id: int) -> None:
        self._tasks.pop(rotation_id, None)
        self._runners.pop(rotation_id, None)

    def _changed(self, _: Rotation) -> None:
        for news in self._listeners:
            news.set()

    def targets(self, chain: str) -> tuple[str, ...]:
        """Return the keys (PUB_ form) that live rotations of `chain` are registering: a node may soon ask for them."""
        live = [each.rotation for each in self._runners.values() if each.rotation.request.chain == chain]
        found = [
            each.from_key if each.transaction.purpose is Purpose.RETURN else each.to_key
            for each in live
            if each.transaction is not None
        ]
        return tuple(str(key) for key in found if key is not None)

    # -- asking --------------------------------------------------------------------------------------------

    async def request(self, request: Request, key: PublicKey | None, idempotency_key: str | None) -> Rotation:
        """Write a rotation down and begin it.

        Raises:
            RotationError: it cannot be asked for as it is: `not-configured`, `unknown-node`, `key`, `ring-empty`,
                `reason`, `live`.
            JournalError: it cannot be written down.
        """
        site = self._site(request)
        to_key, _ = await asyncio.gather(self._target(site, request, key), self._expect(site))
        approval = site.config.rotation.approval
        needs = approval == "always" or (approval == "promote" and request.kind is Kind.PROMOTE)
        if request.emergency:
            self._make_way(site, request)
        try:
            rotation = self._journal.plan(
                request,
                producer=site.producer,
                permission=site.chain.rotation_permission,
                to_key=to_key,
                needs_approval=needs,
                idempotency_key=idempotency_key,
                now=site.clock(),
            )
        except JournalConflictError as error:
            raise RotationError("live", str(error)) from None
        text = f"to {to_key} of {request.node}" + (f": {request.reason}" if request.reason else "")
        await self._act(f"rotation-{request.kind}", request.requested_by, rotation, text)
        self._run(rotation)
        self._changed(rotation)
        return rotation

    def _make_way(self, site: Site, request: Request) -> None:
        for rotation in self._journal.live():
            if rotation.request.chain != site.name:
                continue
            runner = self._runners.get(rotation.id)
            if runner is not None:
                runner.supersede(request.requested_by)

    async def dry_run(self, request: Request, key: PublicKey | None) -> DryRun:
        """Find out what a rotation would do. Nothing is written and nothing is signed.

        Raises:
            RotationError: it cannot be asked for as it is.
            JournalError: the journal cannot be read.
        """
        site = self._site(request)
        to_key = await self._target(site, request, key)
        inspector = Inspector(site)
        facts = await inspector.look(request, to_key)
        keys = facts.row_keys
        return DryRun(
            request.node,
            to_key,
            tuple(sorted(keys)),
            site.holder(keys) if keys else None,
            tuple(preflight.check(facts)),
            await inspector.transaction_json(request, to_key),
            await self._expect(site),
        )

    def _site(self, request: Request) -> Site:
        site = self._sites.get(request.chain)
        if site is None:
            raise _not_configured(request.chain)
        node = site.config.nodes.get(request.node)
        if node is None or node.chain != request.chain:
            known = ", ".join(name for name, each in site.config.nodes.items() if each.chain == request.chain)
            raise RotationError(
                "unknown-node", f"{request.chain} has no node {request.node!r}; its nodes: {known}"
            )
        if request.emergency and not request.reason.strip():
            raise RotationError("reason", "an emergency needs a reason: what happened, in a few words")
        if len(request.reason) > MAX_REASON:
            raise RotationError("reason", f"a reason has at most {MAX_REASON} characters")
        return site

    async def _target(self, site: Site, request: Request, key: PublicKey | None) -> PublicKey:
        """Return the key to register."""
        own = [
            each.public_key for each in site.config.keys if each.role == "block" and each.node == request.node
        ]
        if key is not None:
            if key not in own:
                raise RotationError("key", f"{key} is no block key of the node {request.node}")
            return key
        current: PublicKey | None = None
        try:
            row = await site.client.producer(site.producer)
        except ChainError:
            row = None  # preflight says so
        if row is not None and len(row.keys) == 1:
            current = row.keys[0][0]
        found = ring.next_key(
            site.config,
            request.node,
            site.name,
            self._journal.uses(site.name),
            await _states(site),
            kind=request.kind,
            current=current,
        )
        if isinstance(found, ring.RingEmpty):
            raise RotationError("ring-empty", found.reason)
        return found

    # -- people --------------------------------------------------------------------------------------------

    async def abort(self, rotation_id: int, by: str) -> Rotation:
        """End a rotation whose key is not registered yet.

        Raises:
            RotationError: there is none, or it is too late.
            JournalError: it cannot be written down.
        """
        rotation = self._runner(rotation_id).abort(by)
        await self._act("rotation-abort", by, rotation)
        return rotation

    async def approve(self, rotation_id: int, by: str) -> Rotation:
        """Agree to a rotation, or to an emergency afterwards.

        Raises:
            RotationError: there is none, it waits for nobody, or it is the same person.
            JournalError: it cannot be written down.
        """
        runner = self._runners.get(rotation_id)
        if runner is not None:
            rotation = runner.approve(by)
        else:
            ended = self.get(rotation_id)
            change = machine.approve(ended, by, self._sites[ended.request.chain].clock())
            self._journal.save(change.rotation, change.entry)
            rotation = change.rotation
        await self._act("rotation-approve", by, rotation)
        return rotation

    def _runner(self, rotation_id: int) -> Runner:
        runner = self._runners.get(rotation_id)
        if runner is None:
            rotation = self.get(rotation_id)
            raise RotationError("ended", f"rotation {rotation.id} has ended already: {rotation.state}")
        return runner

    async def _act(self, name: str, by: str, rotation: Rotation, text: str = "") -> None:
        """Have an act in the audit log. The journal has it already, so what cannot be written there stops nothing."""
        site = self._sites[rotation.request.chain]
        try:
            await site.desk.act(name, by, f"rotation {rotation.id} {text}".rstrip())
        except AdminError as error:
            log.error("act not in the audit log", extra={"rotation": rotation.id, "reason": str(error)})

    # -- looking -------------------------------------------------------------------------------------------

    def by_idempotency_key(self, person: str, key: str) -> Rotation | None:
        """Return what this person asked for with this key, None if nothing. Raises JournalError."""
        return self._journal.by_idempotency_key(person, key)

    def get(self, rotation_id: int) -> Rotation:
        """Return one rotation.

        Raises:
            RotationError: there is none.
            JournalError: the journal cannot be read.
        """
        found = self._journal.list(1, rotation_id + 1)
        if not found or found[0].id != rotation_id:
            raise RotationError("unknown", f"there is no rotation {rotation_id}")
        return found[0]

    def list(self, limit: int, before_id: int | None) -> Sequence[Rotation]:
        """Return rotations, newest first. Raises JournalError."""
        return self._journal.list(limit, before_id)

    def entries(self, rotation_id: int) -> Sequence[Entry]:
        """Return the history of one rotation, oldest first. Raises RotationError and JournalError as `get`."""
        self.get(rotation_id)
        return self._journal.entries(rotation_id)

    async def changes(self, rotation_id: int) -> AsyncIterator[Rotation]:
        """Yield the rotation as it is and at each change, until it has ended. Raises as `get`."""
        news = asyncio.Event()
        self._listeners.add(news)
        try:
            last: Rotation | None = None
            while last is None or last.live:
                news.clear()
                rotation = self.get(rotation_id)
                if rotation != last:
                    last = rotation
                    yield rotation
                else:
                    await news.wait()
        finally:
            self._listeners.discard(news)

    async def seen(self, chain: str) -> tuple[ChainView | None, str, tuple[ApiNode, ...]]:
        """Return what the chain says of the producer, else why nobody tells; and how its API nodes are.

        Raises:
            RotationError: this chain cannot rotate.
        """
        site = self._chain(chain)
        view, problem = await chain_view(site)
        return view, problem, tuple(api_node(state) for state in site.client.health())

    def _chain(self, chain: str) -> Site:
        site = self._sites.get(chain)
        if site is None:
            raise _not_configured(chain)
        return site

    async def producer(self, chain: str) -> ProducerView:
        """Return what is known of the chain's producer now.

        Raises:
            RotationError: this chain cannot rotate.
            JournalError: the journal cannot be read.
        """
        site = self._chain(chain)
        told, findings, _ = await asyncio.gather(
            _soon(self.seen(chain)), _soon(Inspector(site).permission()), _soon(self._expect(site))
        )
        if told is None:
            apis = tuple(api_node(state) for state in site.client.health())
            told = None, f"no API node has told it all within {_PATIENCE_S:g} s", apis
        seen, problem, apis = told
        live = [each for each in self._journal.live() if each.request.chain == chain]
        last = [each for each in self._journal.list(_RECENT) if each.request.chain == chain and not each.live]
        return ProducerView(
            chain,
            site.producer,
            site.chain.rotation_permission,
            seen,
            problem,
            apis,
            findings,
            live[0] if live else None,
            last[0] if last else None,
        )

    def expected_s(self, chain: str) -> float | None:
        """Return how long a rotation takes on this chain from push to proof, in s; None if nobody has looked yet."""
        return self._expected.get(chain)

    async def _expect(self, site: Site) -> float | None:
        """Find out how long a rotation takes now."""
        with contextlib.suppress(ChainError):
            info, schedules = await asyncio.gather(site.client.info(), site.client.schedules())
            self._expected[site.name] = expectation.seconds(info, schedules.active)
        return self._expected.get(site.name)


async def _soon(question: Awaitable[T]) -> T | None:
    """Return the answer, None if it takes too long."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await question
    except TimeoutError:
        return None


async def _states(site: Site) -> dict[PublicKey, str]:
    try:
        return await site.desk.key_states()
    except AdminError as error:
        raise RotationError("supervisor", f"the state of the keys is not known: {error}") from None


def _not_configured(chain: str) -> RotationError:
    return RotationError(
        "not-configured", f"the chain {chain} cannot rotate: give chains.{chain} a producer and an api"
    )
