"""Starts the lanes of one token and keeps their number, one PIN at a time.

The first lane tries the PIN alone; others follow only after it was accepted. A refused PIN leaves a marker that
outlives this process, and nothing logs in again until the PIN's source changes or a person says so: a token locks
itself after a few wrong tries. The PIN goes over the lane's own socket, never by argument or environment.

A token whose PIN a person types is `locked` while there is none, and after `lock`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hsm import beginning, realtime
from hsm.errors import PinAwaitedError, PinSourceError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from hsm.pin import Fingerprint, PinSource
    from hsm.refused import RefusedMarker
    from signer.config import Key, Token
    from signer.supervisor.child import Running
    from signer.supervisor.expected import Expected

log = logging.getLogger("signer.supervisor")

#: A module that has not logged in after this long is hung.
_OPEN_S = 15.0
#: A lane that lived this long was healthy; the next one starts without delay.
_HEALTHY_S = 5.0
_FIRST_BACKOFF_S = 0.1
#: How often the source of a refused PIN is looked at.
_SOURCE_POLL_S = 1.0
#: Longest answer to an open request, bytes.
_MAX_ANSWER = 200_000


@dataclass(slots=True)
class OpenLane:
    """A lane with a logged-in session."""

    id: int
    pid: int
    process: Running
    started: float


@dataclass(slots=True)
class TokenState:
    """What `signer status` says of a token."""

    state: str = "starting"
    reason: str = ""
    lanes: dict[int, OpenLane] = field(default_factory=dict)
    resolved: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, state: str, reason: str = "") -> None:
        """Enter `state`; the first one that is not `starting` resolves the token."""
        self.state, self.reason = state, reason


class _OpenError(Exception):
    def __init__(self, kind: str, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.again = again


class LaneKeeper:
    """Keeps `token.lanes` lanes of one token open for one signing process.

    Args:
        name: the token's name in the configuration.
        keys: the keys to open, in the order of their index.
        pin_source: where the PIN comes from.
        marker: refused PINs.
        backoff_max_s: longest wait between two tries, in s.
        realtime: whether lanes go before everything else on the machine, where the system allows.
        next_id: gives each lane a number of its own.
        hand_over: takes an open lane, the descriptor of its socket and what it found wrong with each key. It may
            raise OSError; then it did not take them.
        on_state: called when the token's state or its reason changed.
        expected: says when no lane is to begin or work.
    """

    def __init__(
        self,
        name: str,
        token: Token,
        keys: list[Key],
        pin_source: PinSource,
        marker: RefusedMarker,
        *,
        backoff_max_s: float,
        realtime: bool,
        next_id: Callable[[], int],
        hand_over: Callable[[str, OpenLane, int, dict[str, list[str]]], None],
        on_state: Callable[[str, str, str], None],
        expected: Expected,
    ) -> None:
        self._name = name
        self._token = token
        self._keys = keys
        self._source = pin_source
        self._marker = marker
        self._backoff_max_s = backoff_max_s
        self._realtime = realtime
        self._next_id = next_id
        self._hand_over = hand_over
        self._on_state = on_state
        self._expected = expected
        self._changed = asyncio.Event()
        self._failures = 0
        self._refused: tuple[Fingerprint, str] | None = None
        self._locks = 0
        self._attempts: list[asyncio.Future[tuple[str, str]]] = []
        self._leaving = False
        self.state = TokenState()

    # -- life ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the number of lanes until cancelled; then kill them. After `leave` return, and let them be."""
        with contextlib.suppress(OSError):
            self._marker.reserve(self._name)
        try:
            while not self._leaving:
                self._changed.clear()
                if len(self.state.lanes) >= self._token.lanes:
                    await self._changed.wait()
                    continue
                try:
                    await self._start_one()
                except (
                    OSError
                ) as error:  # no descriptor, as when the marker is looked for: that costs no other lane
                    log.error("lane cannot be started", extra={"token": self._name, "reason": error.strerror})
                    self._failures += 1
        finally:
            if not self._leaving:
                for lane in list(self.state.lanes.values()):
                    kill(lane.process)

    def leave(self) -> None:
        """Start no more lanes; `run` returns when one that is just opening has opened or failed."""
        self._leaving = True
        self._changed.set()

    def stay(self) -> None:
        """Take back `leave`; `run` has to be called again."""
        self._leaving = False

    def adopt(self, lanes: list[OpenLane]) -> None:
        """Take lanes that an earlier image of this process opened. To be called before `run`."""
        self.state.lanes.update((lane.id, lane) for lane in lanes)
        if lanes:
            self.state.set("logged-in")

    def lost(self, lane_id: int, reason: str) -> bool:
        """The signing process gave a lane up: kill it and start another. Returns whether it was still in use."""
        lane = self.state.lanes.pop(lane_id, None)
        if lane is None:
            return False
        kill(lane.process)
        if time.monotonic() - lane.started > _HEALTHY_S:
            self._failures = 0
        else:
            self._failures += 1
        if not self.state.lanes:
            self._enter("away", reason)
        self._changed.set()
        return True

    def retry(self) -> None:
        """A person says that the PIN may be tried again."""
        self._marker.clear(self._name)
        self._refused = None
        self._failures = 0
        self._changed.set()

    async def attempt(self) -> tuple[str, str]:
        """Start a lane now, with the PIN as it is now; return the token's state after that, and the reason."""
        attempt: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        self._attempts.append(attempt)
        self._failures = 0
        self._changed.set()
        return await attempt

    def lock(self) -> None:
        """The PIN was wiped: end every lane, also one that is just logging in."""
        self._locks += 1
        for lane in self.state.lanes.values():
            kill(lane.process)
        self.state.lanes.clear()
        self._refused = None
        self._await_pin()
        self._changed.set()

    # -- one lane ------------------------------------------------------------------------------------

    async def _start_one(self) -> None:
        await self._back_off()
        if self._leaving:
            return
        attempts, self._attempts = self._attempts, []
        try:
            await self._try_one()
        finally:
            for attempt in attempts:
                if not attempt.done():
                    attempt.set_result((self.state.state, self.state.reason))

    async def _try_one(self) -> None:
        locks = self._locks
        await self._expected.quiet()  # before the PIN is looked at
        try:
            fingerprint = self._source.fingerprint()
            refused = self._blocked(fingerprint)
            if refused is not None:
                self._enter("pin-refused", refused)
                await self._wait(_SOURCE_POLL_S)
                return
            pin = self._source.read()
        except PinAwaitedError:
            self._await_pin()
            await self._wait(_SOURCE_POLL_S)
            return
        except PinSourceError as error:
            self._enter("pin-unreadable", str(error))
            await self._wait(_SOURCE_POLL_S)
            return
        try:
            lane, fd, findings = await self._open(pin.reveal())
        except _OpenError as error:
            self._failures += 1
            if error.kind in ("pin-refused", "pin-withheld"):
                self._refuse(fingerprint, error)
            elif not self.state.lanes:
                self._enter("away", str(error))
            else:
                log.warning("lane not opened", extra={"token": self._name, "reason": str(error)})
            return
        finally:
            del pin
        if locks != self._locks:
            kill(lane.process)
            os.close(fd)
            return
        self.state.lanes[lane.id] = lane
        self._enter("logged-in", "")
        try:
            self._hand_over(self._name, lane, fd, findings)
        except OSError as error:
            self.lost(lane.id, f"cannot be handed over: {error.strerror}")
        finally:
            os.close(fd)

    def _await_pin(self) -> None:
        """Enter `locked`, unless the last PIN was refused: that a person should know."""
        try:
            self._source.fingerprint()
        except PinSourceError as error:
            if self._refused is None:
                self._enter("locked", str(error))

    def _refuse(self, fingerprint: Fingerprint, error: _OpenError) -> None:
        """Leave the marker, and remember the refusal also where none can be left."""
        reason = str(error)
        self._refused = (fingerprint, reason)
        tried = error.kind == "pin-refused"
        try:
            self._marker.mark(self._name, fingerprint, reason, tried=tried, again=error.again)
        except OSError as failure:
            reason = f"{reason}; the marker of it cannot be written, so do not restart: {failure.strerror}"
        self._enter("pin-refused", reason)

    def _blocked(self, fingerprint: Fingerprint) -> str | None:
        """Return why the PIN of this state of its source must not be tried, or None."""
        if self._refused is not None and self._refused[0] == fingerprint:
            return self._refused[1]
        return self._marker.blocks(self._name, fingerprint)

    def _enter(self, state: str, reason: str) -> None:
        if (state, reason) != (self.state.state, self.state.reason):
            self._on_state(self._name, state, reason)
        self.state.set(state, reason)
        self.state.resolved.set()

    async def _back_off(self) -> None:
        if self._failures:
            await self._wait(min(self._backoff_max_s, _FIRST_BACKOFF_S * 2 ** min(self._failures - 1, 10)))

    async def _wait(self, seconds: float) -> None:
        # Not wait_for, here and below: Python 3.11's swallows a cancel that comes together with what it waits for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    async def _open(self, pin: str) -> tuple[OpenLane, int, dict[str, list[str]]]:
        """Start a process, log it in, and return it with our end of its socket.

        Raises:
            _OpenError: it did not open; `kind` says how.
        """
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise _OpenError("spawn", f"cannot start a lane: {error.strerror}") from None
        ours.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "hsm.beginning",
                "hsm.lane",
                "--fd",
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                env=environment(self._token) | beginning.environment(self._expected.soon()),
            )
        except OSError as error:
            ours.close()
            raise _OpenError("spawn", f"cannot start a lane: {error.strerror}") from None
        finally:
            theirs.close()
        try:
            async with asyncio.timeout(_OPEN_S):
                answer = await self._ask(ours, pin)
        except (OSError, TimeoutError, ValueError) as error:
            await _reap(process)
            ours.close()
            raise _OpenError("silent", _describe(error, process)) from None
        except BaseException:
            kill(process)
            ours.close()
            raise
        if not answer["ok"]:
            await _reap(process)
            ours.close()
            raise _OpenError(answer["kind"], answer["message"], again=answer["again"])
        lane = OpenLane(self._next_id(), process.pid, process, time.monotonic())
        return lane, ours.detach(), answer["findings"]

    async def _ask(self, ours: socket.socket, pin: str) -> dict[str, Any]:
        request = {
            "uri": str(self._token.uri),
            "pin": pin,
            "realtime": self._realtime,
            "keys": [
                {
                    "label": key.label,
                    "id": key.id,
                    "curve": "secp256k1" if key.public_key.curve.value == "K1" else "prime256v1",
                    "point": key.public_key.data.hex(),
                }
                for key in self._keys
            ],
        }
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, json.dumps(request).encode())
        answer: dict[str, Any] = json.loads(await loop.sock_recv(ours, _MAX_ANSWER))
        return answer


def environment(token: Token) -> dict[str, str]:
    """A lane sees what its module needs and nothing of ours."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return {**kept, **token.environment}


def _describe(error: Exception, process: Process) -> str:
    if isinstance(error, TimeoutError):
        return f"the module did not log in within {_OPEN_S:.0f} s"
    code = process.returncode
    if code is not None and code < 0:
        return f"the module ended its process with {signal.Signals(-code).name}"
    return f"the lane ended while it opened the token (exit {code})"


def kill(process: Running) -> None:
    """End a lane at once; the event loop reaps it."""
    with contextlib.suppress(OSError):
        if process.returncode is None:
            realtime.make_ordinary(process.pid)  # freeing its memory takes the kernel 2 ms
    with contextlib.suppress(ProcessLookupError):
        process.kill()


async def _reap(process: Process) -> None:
    kill(process)
    await process.wait()
