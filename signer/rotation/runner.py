"""Carries one rotation out: does what the machine asks for, writes down what came of it, and looks again.

Everything is on disk before it has an effect: a runner that is killed at any point is replaced by one that begins with
the last saved rotation and asks the chain first. What it cannot do now (the chain is silent, the disk is full) it tries
again; what must not be done twice is decided by the machine from the journal and the chain, not from memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from signer.antelope.transaction import push_body
from signer.chain import refusals
from signer.errors import (
    AdminError,
    ChainError,
    ChainRefusedError,
    FormatError,
    JournalError,
    RefusedError,
    RotationError,
    SigningError,
)
from signer.rotation import machine, mandate, preflight
from signer.rotation.evidence import Evidence, EvidenceKind
from signer.rotation.machine import Effect
from signer.rotation.rotation import Purpose, SignedTransaction, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.rotation.inspector import Inspector
    from signer.rotation.machine import Change, Facts
    from signer.rotation.observer import Observer
    from signer.rotation.rotation import Rotation
    from signer.rotation.site import Site

log = logging.getLogger("signer.rotation")

#: Between two looks at the chain, in s. A block comes every 0.5 s; `verified` within 1 s needs two looks in it.
_LOOK_S: Final = 0.25
#: While nothing but a schedule is waited for, which changes once a minute at most, in s.
_WAIT_S: Final = 0.5
#: Between two sends of a transaction that is not in the row yet, in s.
_PUSH_S: Final = 2.0
#: After something that did not work, in s.
_RETRY_S: Final = 1.0
#: How often a token is asked for a signature before it counts as unable.
_SIGN_TRIES: Final = 5


class Runner:
    """One live rotation and the task that carries it out.

    Args:
        site: what it works with.
        rotation: as the journal has it.
        inspector: gathers what preflight judges.
        observer: looks at the chain.
        changed: called after each change that is on disk.
    """

    def __init__(
        self,
        site: Site,
        rotation: Rotation,
        inspector: Inspector,
        observer: Observer,
        changed: Callable[[Rotation], None],
    ) -> None:
        self.rotation = rotation
        self._site = site
        self._inspector = inspector
        self._observer = observer
        self._changed = changed
        self._woken = asyncio.Event()
        self._pushed_at = float("-inf")
        #: Whether every answer to the last transaction is known, and was a refusal. Not after a restart: what was
        #: sent in the life before may have been taken.
        self._taken_by_nobody = False
        self._sign_tries = 0
        self._trouble = ""

    # -- people --------------------------------------------------------------------------------------------

    def approve(self, by: str) -> Rotation:
        """Take a second person's agreement.

        Raises:
            RotationError: it is the same person, or nobody waits for it.
            JournalError: it cannot be written down.
        """
        return self._wake(machine.approve(self.rotation, by, self._site.clock()))

    def abort(self, by: str) -> Rotation:
        """End it, if the key is not registered yet.

        Raises:
            RotationError: it is too late.
            JournalError: it cannot be written down.
        """
        return self._wake(machine.ask_abort(self.rotation, by, self._site.clock()))

    def supersede(self, by: str) -> Rotation:
        """End it, because an emergency takes its place.

        Raises:
            JournalError: it cannot be written down.
        """
        return self._wake(machine.supersede(self.rotation, by, self._site.clock()))

    def _wake(self, change: Change) -> Rotation:
        """Write down what a person did, and end the pause. The runner's own writes do not: it would never rest."""
        rotation = self._save(change)
        self._woken.set()
        return rotation

    # -- the task ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Go on until the rotation has ended. To be cancelled at any time."""
        while self.rotation.live:
            pause_s: float | None = _RETRY_S
            try:
                pause_s = await self._step()
                self._trouble = ""
            except (ChainError, AdminError, JournalError) as error:
                self._say(str(error))
            except RotationError:
                pass  # a person was faster: the state is another one now
            except Exception:
                log.exception("rotation step failed", extra={"rotation": self.rotation.id})
            if self.rotation.live:
                await self._rest(pause_s)

    async def _step(self) -> float | None:
        """Do what is next. Returns how long to rest, in s; None: until a person acts."""
        now = self._site.clock()
        match machine.effect(self.rotation):
            case Effect.WAIT | Effect.NONE:
                return None
            case Effect.BEGIN:
                self._save(machine.begin(self.rotation, now))
                return 0.0
            case Effect.CHECK:
                await self._check()
                return 0.0
            case Effect.PUSH:
                await self._push()
        if self.rotation.live:
            await self._observe()
        waiting = self.rotation.state in (State.REGISTERED, State.PROPOSED, State.PENDING, State.VERIFIED)
        return _WAIT_S if waiting else _LOOK_S

    async def _check(self) -> None:
        rotation = self.rotation
        facts = await self._inspector.look(rotation.request, rotation.to_key)
        keys = facts.row_keys
        change = machine.checked(
            self.rotation,
            preflight.check(facts),
            tuple(sorted(keys)),
            self._site.holder(keys) if keys else None,
            self._site.clock(),
        )
        self._save(change)
        if self.rotation.state is State.PREFLIGHT:
            await self._sign(Purpose.REGISTER)
            await self._push()

    async def _observe(self) -> None:
        facts = await self._observer.look(self.rotation)
        while True:
            change = machine.observe(self.rotation, facts)
            if change is None:
                break
            self._save(change)
            self._after(facts)
        if machine.resign(self.rotation, facts):
            returning = self.rotation.state is State.RETURNING
            await self._sign(Purpose.RETURN if returning else Purpose.REGISTER)
            await self._push()

    def _after(self, facts: Facts) -> None:
        """Keep what a verified block proves: the node lists this key."""
        rotation = self.rotation
        if rotation.state is State.VERIFIED and rotation.verified is not None:
            block = rotation.verified
            self._site.journal.add_evidence(
                Evidence(
                    rotation.request.node,
                    EvidenceKind.SIGNED,
                    rotation.to_key,
                    block.time,
                    f"block {block.number} {block.id}",
                    machine.SIGNER,
                )
            )
        if facts.foreign is not None:
            log.error(
                "a block of ours carries a signature that this signer did not issue",
                extra={"rotation": rotation.id, "block": facts.foreign},
            )

    # -- the transaction -----------------------------------------------------------------------------------

    async def _sign(self, purpose: Purpose) -> None:
        """Build a transaction, have it signed, and write it down."""
        rotation = self.rotation
        try:
            transaction = await self._transaction(purpose)
        except (SigningError, RefusedError, FormatError) as error:
            self._sign_tries += 1
            if isinstance(error, SigningError) and self._sign_tries < _SIGN_TRIES:
                raise ChainError(f"no signature by a rotation key: {error}") from None
            if self.rotation is rotation:
                self._save(machine.unsignable(rotation, f"no signature: {error}", self._site.clock()))
            return
        if self.rotation is not rotation:
            return  # a person ended it meanwhile; what was signed is thrown away
        self._sign_tries = 0
        self._save(machine.signed(rotation, transaction, self._site.clock()))
        self._taken_by_nobody = True
        self._pushed_at = float("-inf")

    async def _transaction(self, purpose: Purpose) -> SignedTransaction:
        rotation, site = self.rotation, self._site
        key = rotation.to_key if purpose is Purpose.REGISTER else rotation.from_key
        node = rotation.request.node if purpose is Purpose.REGISTER else rotation.from_node
        if key is None or node is None:
            raise RefusedError("rotation-key", "no node of this signer holds the one key that the row had")
        (built, info), signer = await asyncio.gather(
            self._inspector.build(key, node), self._inspector.signer()
        )
        if signer is None:
            raise SigningError("no rotation key of this signer is active and enough for the permission")
        packed = built.pack()
        digest = mandate.digest(packed, purpose, rotation, site.config, info.head.time)
        signature = await site.desk.sign(signer, digest, f"rotation {rotation.id}")
        return SignedTransaction(
            purpose,
            packed,
            str(signature),
            signer,
            built.id(),
            built.expiration,
            info.head.number,
            site.clock(),
        )

    async def _push(self) -> None:
        """Send the last transaction, if it is time for it."""
        last = self.rotation.transaction
        now = self._site.monotonic()
        if (
            last is None
            or now - self._pushed_at < _PUSH_S
            or self.rotation.state not in (State.SIGNED, State.RETURNING)
        ):
            return
        self._pushed_at = now
        certain = self._taken_by_nobody
        self._taken_by_nobody = False  # until its answer is known
        try:
            result = await self._site.client.push(push_body(last.packed, [last.signature]))
        except ChainRefusedError as error:
            self._taken_by_nobody = certain and error.certain
            if error.code == refusals.EXPIRED:
                return  # the machine sees by the irreversible block's time when another one may be signed
            if error.final and self._taken_by_nobody:
                self._save(machine.hopeless(self.rotation, str(error), self._site.clock()))
                return
            accepted, text = False, str(error)
        except ChainError as error:
            accepted, text = False, str(error)
        else:
            accepted, text = True, f"{result.api} has taken the transaction"
        change = machine.answered(self.rotation, accepted=accepted, text=text, now=self._site.clock())
        if change is not None:
            self._save(change)

    # -- parts ---------------------------------------------------------------------------------------------

    def _save(self, change: Change) -> Rotation:
        """Write a change down, then let it be seen.

        Raises:
            JournalError: it is not on disk; nothing has changed.
        """
        self._site.journal.save(change.rotation, change.entry)
        self.rotation = change.rotation
        entry = change.entry
        log.info(
            "rotation",
            extra={
                "rotation": self.rotation.id,
                "change": entry.event.value,
                "status": entry.state.value,
                "caller": entry.by,
                "reason": entry.text,
            },
        )
        self._changed(self.rotation)
        return self.rotation

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("rotation waits", extra={"rotation": self.rotation.id, "reason": trouble})
        self._trouble = trouble

    @property
    def trouble(self) -> str:
        """What keeps it from going on at this moment, empty if nothing does."""
        return self._trouble

    async def _rest(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()
