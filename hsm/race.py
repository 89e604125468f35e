"""The lanes of one token, raced against each other from one event loop.

A lane is a process with one PKCS#11 module and one logged-in session. This module knows only its socket.

What it guarantees:
- A request is given to lanes, answered once, and never answered after its deadline.
- A K1 request (`canonical`) goes to every idle lane: a signature is canonical about half of the time, so the
  first lane that finds one wins and the others are told to stop. An R1 request goes to one lane, and to a
  second one if the first stays silent.
- A lane that fails, ends or hangs costs the requests on it nothing while another lane is left.
- Requests of different sources (listeners) take turns; a source cannot fill the queue of another.
- A probe gets a lane only when no request waits for one.

What it leaves to others: starting lanes, the PIN, the recovery id, and whether a request may be signed.
Not for use from more than one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import itertools
import math
import struct
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from hsm.frame import MAX_FRAME, Outcome, pack_cancel, pack_sign, unpack_reply

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from hsm.frame import Reply

_NS_PER_MS = 1_000_000


class Ending(enum.StrEnum):
    """How a request ended."""

    SIGNED = "signed"
    #: Its deadline passed. Nothing is to be sent any more.
    LATE = "late"
    #: Every lane that was asked failed; the result's reason says how.
    FAILED = "failed"
    #: The session works, but the key is not there any more.
    KEY_FAILED = "key-failed"
    #: The token has no lane at this moment.
    NO_LANE = "no-lane"
    #: Too many requests of this source wait already.
    CROWDED = "crowded"


class Result(NamedTuple):
    """The end of a request. `rs` is r || s (bytes, 64, low s) where `ending` is SIGNED, else empty."""

    ending: Ending
    rs: bytes = b""
    lane: int = 0
    tries: int = 0
    module_ns: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a race. Times in ms."""

    stuck_after_ms: float = 1000.0
    hedge_after_ms: float = 1.5
    waiting_per_source: int = 16


@dataclass(eq=False, slots=True)
class Lane:
    """One lane as its owner sees it."""

    id: int
    pid: int
    sock: socket.socket
    job: Job | None = None
    busy_since_ns: int = 0
    #: Told to stop with its job; it is free once it has answered.
    cancelled: bool = False

    @property
    def state(self) -> str:
        """`idle` or `busy`, for people."""
        return "idle" if self.job is None else "busy"


@dataclass(eq=False, slots=True)
class Job:
    """A request on its way through the lanes."""

    id: int
    key_index: int
    digest: bytes
    canonical: bool
    deadline_ns: int
    source: str
    end: Callable[[Result], None]
    probe: bool = False
    lanes: list[Lane] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None
    hedge: asyncio.TimerHandle | None = None
    tries: int = 0
    module_ns: int = 0
    reason: str = ""
    key_failed: bool = False
    #: Its lane was silent for too long and no other was idle: the next idle one is asked too.
    overdue: bool = False
    late: bool = False
    #: Whether it was answered.
    done: bool = False


class Race:
    """The lanes of one token.

    Args:
        limits: see Limits.
        on_lost: called once with a lane that ended, hung or broke its protocol, and the reason. The lane is
            out of the race by then; its owner kills the process and brings another.
    """

    def __init__(self, limits: Limits, on_lost: Callable[[Lane, str], None]) -> None:
        self._limits = limits
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()
        self._probes: deque[Job] = deque()
        self._failed_over: list[Job] = []
        self._running: list[Job] = []
        self.lanes: list[Lane] = []
        self.late_replies = 0

    # -- lanes ---------------------------------------------------------------------------------------

    def add(self, lane: Lane) -> None:
        """Take `lane` into the race. Its socket is SOCK_SEQPACKET and must be non-blocking."""
        self.lanes.append(lane)
        self._loop.add_reader(lane.sock.fileno(), self._readable, lane)
        self._dispatch()

    def close(self) -> None:
        """Let go of every lane. A lane ends by itself when its socket closes."""
        for lane in list(self.lanes):
            self._detach(lane)
        self.lanes.clear()

    def lose_all(self, reason: str) -> None:
        """Give every lane up, as if each had ended: what is in flight fails, what waits is told that there is none."""
        for lane in list(self.lanes):
            self._lose(lane, reason)

    def sweep(self, now_ns: int) -> None:
        """Drop lanes that are silent on a request for longer than the limit. Call it a few times a second."""
        limit_ns = int(self._limits.stuck_after_ms * 1_000_000)
        for lane in list(self.lanes):
            if lane.job is not None and now_ns - lane.busy_since_ns > limit_ns:
                self._lose(lane, f"silent for more than {self._limits.stuck_after_ms:.0f} ms")

    # -- requests ------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a request that is not a probe is in flight or waits."""
        return (
            any(not job.probe for job in self._running)
            or any(self._waiting.values())
            or any(not job.done for job in self._failed_over)
        )

    def sign(
        self,
        key_index: int,
        digest: bytes,
        *,
        canonical: bool,
        deadline_ns: int,
        source: str,
        probe: bool = False,
    ) -> asyncio.Future[Result]:
        """Ask for a signature of `digest` (bytes, 32) by the token's key number `key_index`.

        Args:
            key_index: position of the key in the list that the lanes were opened with.
            digest: bytes, 32.
            canonical: try until r and s are canonical (K1).
            deadline_ns: CLOCK_MONOTONIC in ns after which an answer is worth nothing.
            source: whose request it is; sources take turns.
            probe: a throw-away signature. It uses one lane and never displaces another request.

        Returns:
            a future of a Result. It never raises.
        """
        future: asyncio.Future[Result] = self._loop.create_future()

        def end(result: Result) -> None:
            if not future.done():  # its owner may have gone
                future.set_result(result)

        self.submit(
            key_index,
            digest,
            canonical=canonical,
            deadline_ns=deadline_ns,
            source=source,
            probe=probe,
            end=end,
        )
        return future

    def submit(
        self,
        key_index: int,
        digest: bytes,
        *,
        canonical: bool,
        deadline_ns: int,
        source: str,
        end: Callable[[Result], None],
        probe: bool = False,
    ) -> None:
        """As `sign`, but calls `end` once, perhaps before this returns: no future, no turn of the event loop."""
        if not self.lanes:
            end(Result(Ending.NO_LANE))
            return
        number = next(self._ids) & 0xFFFFFFFF
        job = Job(number, key_index, digest, canonical, deadline_ns, source, end, probe)
        queue = self._queue(job)
        if len(queue) >= self._limits.waiting_per_source:
            end(Result(Ending.CROWDED))
            return
        queue.append(job)
        # Rounded up: uvloop rounds a delay to whole ms, and a request of 4.5 ms must not be given up after 4.
        left_ms = max(0, math.ceil((deadline_ns - time.monotonic_ns()) / _NS_PER_MS))
        job.timer = self._loop.call_later(left_ms / 1000, self._expire, job)
        self._dispatch()
        if not job.lanes and not job.done and not probe:
            self._make_room()

    # -- inside --------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Give idle lanes to requests that wait, then to those that can use another one, then to probes."""
        failed_over, self._failed_over = self._failed_over, []
        for failed in failed_over:
            self._retry(failed)
        while self._waiting and (idle := [lane for lane in self.lanes if lane.job is None]):
            job = self._next_waiting()
            if job is None:
                break
            self._give(_pick(idle, job), job)
        for job in list(self._running):
            if job.canonical and not job.probe and not job.done:
                self._widen(job)
            elif job.overdue:
                self._hedge(job)
        while self._probes and (idle := [lane for lane in self.lanes if lane.job is None]):
            probe = self._probes.popleft()
            self._give(_pick(idle, probe), probe)

    def _next_waiting(self) -> Job | None:
        """Take the next request, one source after the other."""
        while self._waiting:
            source, queue = next(iter(self._waiting.items()))
            while queue:
                job = queue.popleft()
                if not job.done:
                    self._waiting.move_to_end(source)
                    return job
            del self._waiting[source]
        return None

    def _widen(self, job: Job) -> None:
        """Give every idle lane that was not asked yet to `job`."""
        for lane in list(self.lanes):
            if lane.job is None and lane.id not in job.asked:
                self._give(lane, job)

    def _make_room(self) -> None:
        """All lanes are taken: stop a probe, or a second lane of some K1 request, for the one that waits."""
        for job in sorted(self._running, key=lambda job: not job.probe):
            going_on = [lane for lane in job.lanes if not lane.cancelled]
            if len(going_on) > 1 or (going_on and job.probe):
                self._cancel(going_on[-1], job)
                return

    def _queue(self, job: Job) -> deque[Job]:
        """Return where `job` waits for a lane."""
        return self._probes if job.probe else self._waiting.setdefault(job.source, deque())

    def _give(self, lane: Lane, job: Job) -> None:
        frame = pack_sign(job.key_index, job.id, job.deadline_ns, job.digest, canonical=job.canonical)
        lane.job = job
        lane.cancelled = False
        lane.busy_since_ns = time.monotonic_ns()
        job.asked.add(lane.id)
        if not job.lanes and job not in self._running:
            self._running.append(job)
            if not job.canonical and not job.probe and len(self.lanes) > 1:
                delay_s = self._limits.hedge_after_ms / 1000
                job.hedge = self._loop.call_later(delay_s, self._hedge, job)
        job.lanes.append(lane)
        try:
            lane.sock.send(frame)
        except OSError as error:
            self._lose(lane, f"cannot be written to: {error.strerror}")

    def _hedge(self, job: Job) -> None:
        """The first lane is silent: ask another one."""
        if job.done:
            return
        for lane in list(self.lanes):
            if lane.job is None and lane.id not in job.asked:
                job.overdue = False
                self._give(lane, job)
                return
        job.overdue = True

    def _expire(self, job: Job) -> None:
        with contextlib.suppress(ValueError):
            self._queue(job).remove(job)
        job.late = True
        self._finish(job, Result(Ending.LATE, tries=job.tries, module_ns=job.module_ns, reason=job.reason))

    def _finish(self, job: Job, result: Result) -> None:
        if not job.done:
            job.done = True
            job.end(result)  # the answer first: stopping the other lanes can wait
        for timer in (job.timer, job.hedge):
            if timer is not None:
                timer.cancel()
        for lane in job.lanes:
            self._cancel(lane, job)

    def _cancel(self, lane: Lane, job: Job) -> None:
        lane.cancelled = True
        # A lane that cannot be written to is about to be reported by its reader.
        with contextlib.suppress(OSError):
            lane.sock.send(pack_cancel(job.id))

    def _readable(self, lane: Lane) -> None:
        try:
            frame = lane.sock.recv(MAX_FRAME)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(lane, f"cannot be read: {error.strerror}")
            return
        if not frame:
            self._lose(lane, "its process ended")
            return
        try:
            reply = unpack_reply(frame)
        except struct.error:
            self._lose(lane, f"sent {len(frame)} bytes that are not a reply")
            return
        job = lane.job
        if job is None or job.id != reply.request_id:
            self._lose(lane, f"answered request {reply.request_id}, which it was not asked")
            return
        self._answered(lane, job, reply)
        self._dispatch()

    def _answered(self, lane: Lane, job: Job, reply: Reply) -> None:
        self._release(lane, job)
        job.tries += reply.tries
        job.module_ns += reply.module_ns
        if reply.reason:
            job.reason = reply.reason
        if reply.outcome == Outcome.SIGNED:
            if job.done:
                self.late_replies += job.late  # else another lane was first
            else:
                self._finish(
                    job, Result(Ending.SIGNED, reply.rs, lane.id, job.tries, reply.module_ns, job.reason)
                )
        elif reply.outcome in (Outcome.KEY_FAILED, Outcome.SESSION_LOST, Outcome.OPERATION_FAILED):
            job.key_failed = reply.outcome == Outcome.KEY_FAILED
            if reply.outcome == Outcome.SESSION_LOST:
                self._lose(lane, reply.reason)
            self._retry(job)
        elif reply.outcome == Outcome.CANCELLED and not job.done:
            # It made room for another request. Its job may have the lane back later.
            job.asked.discard(lane.id)
            if not job.lanes:
                self._queue(job).appendleft(job)
        elif reply.outcome == Outcome.LATE and not job.lanes and not job.done:
            self._expire(job)

    def _retry(self, job: Job) -> None:
        """A lane failed: ask one that was not asked, and give up when none is left."""
        if job.done or job.lanes:
            return
        self._hedge(job)
        if job.lanes:
            return
        job.overdue = False
        if any(lane.id not in job.asked for lane in self.lanes) and not job.probe:
            self._failed_over.append(job)  # the others are busy; it is the first to get one of them
            return
        ending = Ending.KEY_FAILED if job.key_failed else Ending.FAILED
        reason = job.reason or "lane lost"
        self._finish(job, Result(ending, tries=job.tries, module_ns=job.module_ns, reason=reason))

    def _release(self, lane: Lane, job: Job) -> None:
        lane.job = None
        with contextlib.suppress(ValueError):
            job.lanes.remove(lane)
        if not job.lanes:
            with contextlib.suppress(ValueError):
                self._running.remove(job)

    def _detach(self, lane: Lane) -> None:
        self._loop.remove_reader(lane.sock.fileno())
        lane.sock.close()

    def _lose(self, lane: Lane, reason: str) -> None:
        if lane not in self.lanes:
            return
        self.lanes.remove(lane)
        self._detach(lane)
        job = lane.job
        self._on_lost(lane, reason)
        if job is not None:
            self._release(lane, job)
            job.reason = job.reason or f"lane {lane.id}: {reason}"
            self._retry(job)
        if not self.lanes:
            self._fail_waiting()
        self._dispatch()

    def _fail_waiting(self) -> None:
        """No lane is left: every request that waits is told so at once."""
        for queue in (*self._waiting.values(), self._probes):
            for job in queue:
                self._finish(job, Result(Ending.NO_LANE, reason=job.reason))
        self._waiting.clear()
        self._probes.clear()


def _pick(idle: list[Lane], job: Job) -> Lane:
    """Return an idle lane: the warmest for a request, the coldest for a probe."""
    fresh = [lane for lane in idle if lane.id not in job.asked] or idle
    return min(fresh, key=_used) if job.probe else max(fresh, key=_used)


def _used(lane: Lane) -> int:
    return lane.busy_since_ns
