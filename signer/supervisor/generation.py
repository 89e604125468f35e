"""One signing process with its lanes. A reload makes a second generation, then lets the first one drain."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from signer import alarm, questions, selection
from signer.signing.producers import LEASE
from signer.signing.server import KEPT
from signer.supervisor.worker import Remains, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.channel import Message
    from signer.config import Config
    from signer.supervisor.alarms import Alarms
    from signer.supervisor.expected import Expected
    from signer.supervisor.pins import Pins
    from signer.supervisor.wallet import Wallet


class GenerationRemains(Remains, frozen=True, extra="forbid"):
    """As Generation, for the next image of the supervisor."""

    number: int
    accepts: bool
    listening: bool


class Generation(Worker):
    """A signing process.

    Args:
        number: counts the generations of this supervisor.
        pins: where the PINs come from.
        wallet: answers what the wallet listeners ask.
        alarms: takes the alarms that it raises.
        on_audit: takes each decision.
        on_token: takes a token's change of state: name, state, reason.
        on_lane_lost: takes the token of each lane that was lost.
        on_lease: takes a lease that went to another node.
        on_kept: takes a connection that it leaves to the next one: the message that says which, and its descriptor.
        expected: as Worker.

    Attributes:
        accepts: whether it was told to accept connections; before, it has nothing to sign.
        listening: it does accept them.
    """

    def __init__(
        self,
        number: int,
        config: Config,
        pins: Pins,
        wallet: Wallet,
        alarms: Alarms,
        *,
        on_audit: Callable[[dict[str, Any]], None],
        on_token: Callable[[str, str, str], None],
        on_lane_lost: Callable[[str], None],
        on_lease: Callable[[Generation, Message], None],
        on_kept: Callable[[Generation, Message, list[int]], None],
        expected: Expected,
    ) -> None:
        tokens = selection.block_tokens(config)
        super().__init__(
            "signer.signing.process",
            config,
            tokens,
            pins,
            on_token,
            on_lane_lost=on_lane_lost,
            expected=expected,
        )
        self.number = number
        self.accepts = False
        self.listening = asyncio.Event()
        self._source = f"signing-{number}"
        self._on_audit = on_audit
        self._on_lease = on_lease
        self._on_kept = on_kept
        self._wallet = wallet
        self._alarms = alarms
        self._answers: set[asyncio.Task[None]] = set()

    # -- life ----------------------------------------------------------------------------------------

    async def resolved(self, timeout_s: float) -> None:
        """Wait until each token is either open and its keys checked, or known not to open now."""
        waits = [asyncio.create_task(self._token_resolved(name)) for name in self.keepers]
        waits.append(asyncio.create_task(self._wait_ended()))
        pending = set(waits)
        end = time.monotonic() + timeout_s
        while not self.ended.is_set() and any(not task.done() for task in waits[:-1]):
            left = end - time.monotonic()
            if left <= 0:
                break
            await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            pending = {task for task in pending if not task.done()}
        for task in waits:
            task.cancel()

    def remains(self) -> GenerationRemains:
        """As Worker."""
        return GenerationRemains(
            **super().remains().model_dump(),
            number=self.number,
            accepts=self.accepts,
            listening=self.listening.is_set(),
        )

    def take_over(self, remains: GenerationRemains) -> None:
        """Take the place of the one that an earlier image of this process left.

        Raises:
            OSError: its process is gone.
        """
        self.adopt(remains)
        if remains.listening:
            self.listening.set()
        if remains.accepts:
            self.accepts = True
        else:
            self.listen()

    async def leave(self) -> None:
        """As Worker, and answer what was asked before."""
        await super().leave()
        if self._answers:
            await asyncio.wait(self._answers)
            await super().leave()

    def listen(self) -> None:
        """Tell the process to accept connections."""
        self.accepts = True
        self.send({"type": "listen"})

    def stop_accepting(self) -> None:
        """Tell the process to leave new connections to others."""
        self.send({"type": "drain"})

    async def drain(self, timeout_s: float) -> None:
        """Let the process answer what it accepted and end; then end its lanes."""
        self.stop_accepting()
        if self.pid:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self.ended.wait()  # by then every decision that it sent was read
                    await (
                        self.gone()
                    )  # killed on its way out, it would look like one that lost its last decisions
        await self.kill()

    async def kill(self) -> None:
        """End the process and its lanes at once, and the alarms that nobody would clear any more."""
        await super().kill()
        self._alarms.ended(self._source)

    # -- questions -----------------------------------------------------------------------------------

    async def alive(self, timeout_s: float) -> bool:
        """Return whether the process's event loop turns: False once it has been silent for `timeout_s`, though asked.

        Any word of it counts. On a machine that has too much to do, the answer waits behind hundreds of decisions.
        """
        asked = time.monotonic()
        while (
            not self.ended.is_set() and (left := max(asked, self.heard_at) + timeout_s - time.monotonic()) > 0
        ):
            if await self.questions.ask({"type": "ping"}, left) is not None:
                return True
        return False

    async def acknowledge_freeze(self, timeout_s: float) -> bool:
        """Return whether the process confirmed that it looked at the markers after now."""
        return await self.questions.ask({"type": "freeze"}, timeout_s) is not None

    async def lease(self, message: Message, timeout_s: float) -> bool:
        """Return whether the process took who holds a lease now."""
        return await self.questions.ask(message, timeout_s) is not None

    async def probe(self, key: str, timeout_s: float) -> Message | None:
        """Return `ok` and `reason` of a probe with the block key `key` (PUB_ form), None without an answer."""
        return await self.questions.ask({"type": "probe", "key": key}, timeout_s)

    async def measure(self, token: str, curve: str, timeout_s: float) -> Message | None:
        """Return `micros` and `reason` of one probe signature of a software token, None without an answer."""
        return await self.questions.ask({"type": "measure", "token": token, "curve": curve}, timeout_s)

    # -- inside --------------------------------------------------------------------------------------

    def told(self, message: Message, fds: list[int]) -> None:
        """Take decisions, that it listens, alarms, what its wallet listeners ask, and connections that it leaves."""
        kind = message["type"]
        if kind == KEPT:
            self._on_kept(self, message, fds)
            return
        assert not fds  # noqa: S101 - nothing else has one
        if kind == "audit":
            for entry in message["entries"]:
                self._on_audit(entry)
        elif kind == LEASE:
            self._on_lease(self, message)
        elif kind == "listening":
            self.listening.set()
        elif kind == alarm.MESSAGE and message["on"]:
            self._alarms.raised(self._source, message["name"], message["subject"], message["text"])
        elif kind == alarm.MESSAGE:
            self._alarms.cleared(self._source, message["name"], message["subject"])
        elif kind == "wallet-used":
            self._wallet.used()
        elif kind == "wallet":
            # What was begun is not broken off because the process ends: a lock is a lock.
            task = asyncio.create_task(self._answer_to(message))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

    async def _answer_to(self, question: Message) -> None:
        content = await self._wallet.answer(question)
        self.send({"type": questions.ANSWER, "id": question["id"], **content})

    async def _wait_ended(self) -> None:
        await self.ended.wait()

    async def _token_resolved(self, name: str) -> None:
        keeper = self.keepers[name]
        await keeper.state.resolved.wait()
        if keeper.state.lanes:
            await self.checked[name].wait()
