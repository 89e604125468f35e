"""The laws of hsm.race, with lanes that this test plays itself, one socket each."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import pytest
from rig.condition import HANG_S

from hsm.frame import MAX_FRAME, Op, Outcome, pack_reply, unpack_request
from hsm.race import Ending, Lane, Limits, Race, Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from hsm.frame import Request

DIGEST = bytes(range(32))
RS = bytes(range(64))
OTHER_RS = bytes(range(64, 128))
#: A limit that no test reaches.
_NEVER_MS = 60_000.0


class FakeLane:
    """The other end of a lane's socket."""

    def __init__(self, number: int) -> None:
        ours, self.sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, self.sock):
            end.settimeout(0)
        self.lane = Lane(number, 1000 + number, ours)

    async def next(self) -> Request:
        """Return what the race sends next."""
        frame = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.sock, MAX_FRAME), HANG_S)
        assert frame, "the race closed this lane"
        return unpack_request(frame)

    async def asked(self) -> Request:
        """Return the request that the race sends next."""
        request = await self.next()
        assert request.op == Op.SIGN
        return request

    async def told_to_stop(self, request: Request) -> None:
        """Wait until the race cancels `request`."""
        cancel = await self.next()
        assert (cancel.op, cancel.request_id) == (Op.CANCEL, request.request_id)

    @property
    def left_alone(self) -> bool:
        """Whether the race has sent nothing more."""
        try:
            self.sock.recv(MAX_FRAME, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        return False

    def answer(
        self, request: Request, outcome: Outcome = Outcome.SIGNED, rs: bytes = RS, reason: str = ""
    ) -> None:
        """Send the reply to `request`."""
        rs = rs if outcome is Outcome.SIGNED else b""
        frame = pack_reply(outcome, request.key_index, request.request_id, tries=1, rs=rs, reason=reason)
        self.sock.send(frame)

    def end(self) -> None:
        """Let the lane's process end."""
        self.sock.close()


class Stage:
    """A race, its lanes, and the lanes that it gave up."""

    def __init__(self, lanes: int, limits: Limits) -> None:
        self.lost: list[tuple[int, str]] = []
        self.race = Race(limits, lambda lane, reason: self.lost.append((lane.id, reason)))
        self.lanes = [FakeLane(number) for number in range(1, lanes + 1)]
        for fake in self.lanes:
            self.race.add(fake.lane)

    def sign(
        self,
        *,
        canonical: bool = False,
        source: str = "primary",
        within_ms: float = _NEVER_MS,
        probe: bool = False,
    ) -> asyncio.Future[Result]:
        """Ask for a signature."""
        deadline_ns = time.monotonic_ns() + int(within_ms * 1_000_000)
        future: asyncio.Future[Result] = self.race.sign(
            0, DIGEST, canonical=canonical, deadline_ns=deadline_ns, source=source, probe=probe
        )
        return future

    async def who_was_asked(self) -> tuple[FakeLane, Request]:
        """Return the one lane that has a request, and the request."""
        holder = next(fake for fake in self.lanes if fake.lane.job is not None)
        return holder, await holder.asked()

    def other(self, than: FakeLane) -> FakeLane:
        """Return the second of two lanes."""
        return next(fake for fake in self.lanes if fake is not than)

    async def settled(self, condition: Callable[[], bool]) -> None:
        """Let the event loop run until `condition` holds."""
        async with asyncio.timeout(HANG_S):
            while not condition():  # noqa: ASYNC110 - what is waited for is the loop itself
                await asyncio.sleep(0)

    def close(self) -> None:
        """Release every descriptor."""
        self.race.close()
        for fake in self.lanes:
            fake.sock.close()


def play(
    scene: Callable[[Stage], Awaitable[None]],
    *,
    lanes: int = 2,
    hedge_after_ms: float = _NEVER_MS,
    stuck_after_ms: float = _NEVER_MS,
    waiting_per_source: int = 16,
) -> None:
    """Run `scene` on a stage in an event loop."""

    async def run() -> None:
        stage = Stage(lanes, Limits(stuck_after_ms, hedge_after_ms, waiting_per_source))
        try:
            await scene(stage)
        finally:
            stage.close()

    asyncio.run(run())


def notes(served: list[str], name: str) -> Callable[[Any], None]:
    """Return a callback that adds `name` to `served`."""
    return lambda _: served.append(name)


async def ending(future: asyncio.Future[Result]) -> Result:
    """Return the result of a request."""
    return await asyncio.wait_for(future, HANG_S)


# -- who is asked, and who wins ----------------------------------------------------------------------


def test_a_k1_request_goes_to_every_idle_lane_and_the_first_signature_wins() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign(canonical=True)
        requests = [await fake.asked() for fake in stage.lanes]
        assert all(request.canonical and request.digest == DIGEST for request in requests)
        stage.lanes[1].answer(requests[1], rs=OTHER_RS)
        result = await ending(future)
        assert (result.ending, result.rs, result.lane) == (Ending.SIGNED, OTHER_RS, 2)
        for fake, request in ((stage.lanes[0], requests[0]), (stage.lanes[2], requests[2])):
            await fake.told_to_stop(request)

    play(scene, lanes=3)


def test_a_signature_of_the_slower_lane_is_dropped_and_not_counted_as_late() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign(canonical=True)
        first, second = [await fake.asked() for fake in stage.lanes]
        stage.lanes[0].answer(first, rs=RS)
        stage.lanes[1].answer(second, rs=OTHER_RS)
        assert (await ending(future)).rs == RS
        await stage.settled(lambda: all(lane.state == "idle" for lane in stage.race.lanes))
        assert stage.race.late_replies == 0
        assert not stage.lost

    play(scene)


def test_a_lane_that_was_told_to_stop_serves_the_next_request() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign(canonical=True)
        first, second = [await fake.asked() for fake in stage.lanes]
        stage.lanes[0].answer(first)
        await ending(future)
        await stage.lanes[1].told_to_stop(second)
        stage.lanes[1].answer(second, Outcome.CANCELLED)
        await stage.settled(lambda: stage.lanes[1].lane.state == "idle")
        again = stage.sign(canonical=True)
        await stage.lanes[0].next()  # the cancel of the request that it had answered, or the request
        stage.lanes[1].answer(await stage.lanes[1].asked())
        assert (await ending(again)).lane == 2

    play(scene)


def test_an_r1_request_goes_to_one_lane() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign()
        lane, request = await stage.who_was_asked()
        lane.answer(request)
        assert (await ending(future)).ending is Ending.SIGNED
        assert stage.other(lane).left_alone

    play(scene)


def test_an_r1_request_on_a_silent_lane_goes_to_a_second_one() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign()
        silent, request = await stage.who_was_asked()
        hedge = stage.other(silent)
        hedge.answer(await hedge.asked(), rs=OTHER_RS)
        assert (await ending(future)).rs == OTHER_RS
        await silent.told_to_stop(request)

    play(scene, hedge_after_ms=1)


def test_an_r1_request_on_a_silent_lane_gets_the_next_lane_that_is_free() -> None:
    """All lanes were busy at the time of the hedge: the request is not left to its silent lane."""

    async def scene(stage: Stage) -> None:
        future = stage.sign(source="a")
        silent, request = await stage.who_was_asked()
        busy = stage.other(silent)
        probe = stage.sign(source="b")  # it too is hedged, and finds no lane
        blocking = await busy.asked()
        await stage.settled(lambda: all(job.overdue for job in stage.race._running))  # noqa: SLF001
        busy.answer(blocking)
        await ending(probe)
        hedge = await busy.next()
        while hedge.op != Op.SIGN:
            hedge = await busy.next()
        assert hedge.request_id == request.request_id
        busy.answer(hedge)
        assert (await ending(future)).ending is Ending.SIGNED

    play(scene, hedge_after_ms=1)


def test_a_new_lane_joins_a_k1_request_that_runs() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign(canonical=True)
        await stage.lanes[0].asked()
        late_comer = FakeLane(9)
        stage.lanes.append(late_comer)
        stage.race.add(late_comer.lane)
        late_comer.answer(await late_comer.asked())
        assert (await ending(future)).lane == 9

    play(scene, lanes=1)


# -- lanes that fail ---------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.OPERATION_FAILED, Outcome.SESSION_LOST, Outcome.KEY_FAILED])
def test_a_request_on_a_lane_that_fails_is_signed_by_another(outcome: Outcome) -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign()
        failing, request = await stage.who_was_asked()
        failing.answer(request, outcome, reason="the module answered CKR_DEVICE_ERROR")
        healthy = stage.other(failing)
        healthy.answer(await healthy.asked())
        assert (await ending(future)).ending is Ending.SIGNED
        lost = [failing.lane.id] if outcome is Outcome.SESSION_LOST else []
        assert [number for number, _ in stage.lost] == lost

    play(scene)


def test_a_request_on_a_lane_that_dies_is_signed_by_another() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign()
        dying, _ = await stage.who_was_asked()
        dying.end()
        healthy = stage.other(dying)
        healthy.answer(await healthy.asked())
        assert (await ending(future)).ending is Ending.SIGNED
        assert stage.lost == [(dying.lane.id, "its process ended")]

    play(scene)


def test_a_k1_request_outlives_the_death_of_a_lane() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign(canonical=True)
        _, request = [await fake.asked() for fake in stage.lanes]
        stage.lanes[0].end()
        await stage.settled(lambda: bool(stage.lost))
        stage.lanes[1].answer(request)
        assert (await ending(future)).ending is Ending.SIGNED

    play(scene)


def test_a_request_on_a_lane_that_fails_waits_for_a_busy_lane() -> None:
    async def scene(stage: Stage) -> None:
        first = stage.sign(source="a")
        busy, blocking = await stage.who_was_asked()
        second = stage.sign(source="b")
        failing = stage.other(busy)
        failing.answer(await failing.asked(), Outcome.OPERATION_FAILED, reason="bad luck")
        await stage.settled(lambda: failing.lane.state == "idle")
        busy.answer(blocking)
        await ending(first)
        request = await busy.next()
        while request.op != Op.SIGN:
            request = await busy.next()
        busy.answer(request)
        assert (await ending(second)).ending is Ending.SIGNED

    play(scene)


def test_a_request_that_waits_for_a_lane_which_dies_ends_at_once() -> None:
    async def scene(stage: Stage) -> None:
        stage.sign(source="a", probe=True)
        busy, _ = await stage.who_was_asked()
        future = stage.sign(source="b")
        failing = stage.other(busy)
        failing.answer(await failing.asked(), Outcome.OPERATION_FAILED, reason="bad luck")
        await stage.settled(lambda: failing.lane.state == "idle")
        busy.end()
        assert (await ending(future)).ending is Ending.FAILED

    play(scene)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.OPERATION_FAILED, Ending.FAILED),
        (Outcome.SESSION_LOST, Ending.FAILED),
        (Outcome.KEY_FAILED, Ending.KEY_FAILED),
    ],
)
def test_a_request_that_every_lane_fails_ends_with_the_reason(outcome: Outcome, expected: Ending) -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign(canonical=True)
        for fake in stage.lanes:
            fake.answer(await fake.asked(), outcome, reason="the module answered CKR_DEVICE_ERROR")
        result = await ending(future)
        assert (result.ending, result.rs) == (expected, b"")
        assert result.reason == "the module answered CKR_DEVICE_ERROR"

    play(scene)


def test_when_the_last_lane_dies_every_request_that_waits_is_told_at_once() -> None:
    async def scene(stage: Stage) -> None:
        running, *waiting = [stage.sign(source=source) for source in ("a", "b", "c")]
        stage.lanes[0].end()
        assert (await ending(running)).ending is Ending.FAILED
        assert [(await ending(future)).ending for future in waiting] == [Ending.NO_LANE] * 2

    play(scene, lanes=1)


def test_without_a_lane_the_answer_is_no_lane_at_once() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign()
        assert future.done()
        assert future.result().ending is Ending.NO_LANE

    play(scene, lanes=0)


def test_a_lane_that_hangs_is_swept_and_its_request_goes_on() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign()
        hung, _ = await stage.who_was_asked()
        stage.race.sweep(hung.lane.busy_since_ns + 100_000_000)
        assert not stage.lost
        stage.race.sweep(hung.lane.busy_since_ns + 100_000_001)
        assert stage.lost == [(hung.lane.id, "silent for more than 100 ms")]
        healthy = stage.other(hung)
        healthy.answer(await healthy.asked())
        assert (await ending(future)).ending is Ending.SIGNED

    play(scene, stuck_after_ms=100)


def test_an_idle_lane_is_never_swept() -> None:
    async def scene(stage: Stage) -> None:
        stage.race.sweep(time.monotonic_ns() + 10**12)
        assert not stage.lost

    play(scene, stuck_after_ms=10)


def test_a_lane_that_hangs_on_a_request_which_is_late_already_is_swept() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign(within_ms=1)
        assert (await ending(future)).ending is Ending.LATE
        stage.race.sweep(time.monotonic_ns() + 10**9)
        assert [number for number, _ in stage.lost] == [1]

    play(scene, lanes=1, stuck_after_ms=100)


# -- protocol ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [b"x", bytes(20), pack_reply(Outcome.SIGNED, 0, 4242, rs=RS)])
def test_a_lane_that_breaks_the_protocol_is_lost_and_delivers_nothing(frame: bytes) -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign()
        liar, _ = await stage.who_was_asked()
        liar.sock.send(frame)
        healthy = stage.other(liar)
        healthy.answer(await healthy.asked(), rs=OTHER_RS)
        assert (await ending(future)).rs == OTHER_RS
        assert [number for number, _ in stage.lost] == [liar.lane.id]

    play(scene)


def test_a_lane_that_speaks_unasked_is_lost() -> None:
    async def scene(stage: Stage) -> None:
        stage.lanes[0].sock.send(pack_reply(Outcome.SIGNED, 0, 1, rs=RS))
        await stage.settled(lambda: bool(stage.lost))
        assert stage.lost == [(1, "answered request 1, which it was not asked")]

    play(scene)


def test_a_lane_that_answers_twice_is_lost() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign()
        lane, request = await stage.who_was_asked()
        lane.answer(request)
        lane.answer(request, rs=OTHER_RS)
        assert (await ending(future)).rs == RS
        await stage.settled(lambda: bool(stage.lost))

    play(scene)


# -- deadlines ---------------------------------------------------------------------------------------


def test_a_request_is_late_at_its_deadline_and_the_late_signature_is_counted_not_delivered() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign(within_ms=1)
        request = await stage.lanes[0].asked()
        result = await ending(future)
        assert (result.ending, result.rs) == (Ending.LATE, b"")
        assert time.monotonic_ns() >= request.deadline_ns
        await stage.lanes[0].told_to_stop(request)
        stage.lanes[0].answer(request)
        await stage.settled(lambda: stage.race.late_replies == 1)
        assert future.result() is result
        assert not stage.lost

    play(scene, lanes=1)


def test_a_lane_that_gives_up_in_time_ends_the_request_before_its_deadline() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign(canonical=True)
        for fake in stage.lanes:
            fake.answer(await fake.asked(), Outcome.LATE)
        assert (await ending(future)).ending is Ending.LATE

    play(scene)


def test_a_request_that_is_late_leaves_the_queue_and_is_never_given_to_a_lane() -> None:
    async def scene(stage: Stage) -> None:
        running = stage.sign(source="a")
        request = await stage.lanes[0].asked()
        for _ in range(5):  # more than the queue holds, one after the other
            assert (await ending(stage.sign(within_ms=1))).ending is Ending.LATE
        stage.lanes[0].answer(request)
        await ending(running)
        last = stage.sign()
        after = await stage.lanes[0].asked()
        assert after.request_id == request.request_id + 6  # the five late ones were never sent
        stage.lanes[0].answer(after)
        assert (await ending(last)).ending is Ending.SIGNED

    play(scene, lanes=1, waiting_per_source=2)


# -- queues ------------------------------------------------------------------------------------------


async def serve_one(fake: FakeLane) -> None:
    """Answer the next request of a lane."""
    request = await fake.next()
    while request.op != Op.SIGN:
        request = await fake.next()
    fake.answer(request)


def test_sources_take_turns() -> None:
    async def scene(stage: Stage) -> None:
        served: list[str] = []
        futures = []
        for source in ("a", "a", "a", "a", "b", "c", "b"):
            future = stage.sign(source=source)
            future.add_done_callback(notes(served, source))
            futures.append(future)
        for _ in futures:
            await serve_one(stage.lanes[0])
        await asyncio.gather(*futures)
        assert "".join(served) == "aabcaba"  # the first went to the idle lane; then one of each in turn

    play(scene, lanes=1)


def test_a_source_with_a_full_queue_is_crowded_and_the_others_are_not() -> None:
    async def scene(stage: Stage) -> None:
        futures = [stage.sign(source="a") for _ in range(3)]  # one runs, two wait
        crowded = stage.sign(source="a")
        assert crowded.done()
        assert crowded.result().ending is Ending.CROWDED
        futures.append(stage.sign(source="b"))
        assert not any(future.done() for future in futures)
        for _ in futures:
            await serve_one(stage.lanes[0])
        assert {(await ending(future)).ending for future in futures} == {Ending.SIGNED}

    play(scene, lanes=1, waiting_per_source=2)


def test_a_second_lane_of_a_k1_request_makes_room_for_one_that_waits() -> None:
    async def scene(stage: Stage) -> None:
        first = stage.sign(canonical=True, source="a")
        one, two = [await fake.asked() for fake in stage.lanes]
        second = stage.sign(canonical=True, source="b")
        await stage.lanes[1].told_to_stop(two)
        assert stage.lanes[0].left_alone
        stage.lanes[1].answer(two, Outcome.CANCELLED)
        stage.lanes[1].answer(await stage.lanes[1].asked(), rs=OTHER_RS)
        assert (await ending(second)).rs == OTHER_RS
        stage.lanes[0].answer(one)
        assert (await ending(first)).rs == RS

    play(scene)


def test_a_request_that_gave_a_lane_away_has_it_back_when_its_own_fails() -> None:
    async def scene(stage: Stage) -> None:
        first = stage.sign(canonical=True, source="a")
        one, two = [await fake.asked() for fake in stage.lanes]
        second = stage.sign(source="b")
        await stage.lanes[1].told_to_stop(two)
        stage.lanes[0].answer(one, Outcome.SESSION_LOST, reason="gone")
        await stage.settled(lambda: bool(stage.lost))
        stage.lanes[1].answer(two, Outcome.CANCELLED)
        for _ in range(2):
            await serve_one(stage.lanes[1])
        assert {(await ending(future)).ending for future in (first, second)} == {Ending.SIGNED}

    play(scene)


# -- probes ------------------------------------------------------------------------------------------


def test_a_probe_uses_one_lane() -> None:
    async def scene(stage: Stage) -> None:
        future = stage.sign(canonical=True, probe=True)
        lane, request = await stage.who_was_asked()
        assert stage.other(lane).left_alone
        assert not stage.race.busy
        lane.answer(request)
        assert (await ending(future)).ending is Ending.SIGNED

    play(scene, hedge_after_ms=1)


def test_a_probe_takes_no_lane_from_a_request() -> None:
    async def scene(stage: Stage) -> None:
        request_future = stage.sign(canonical=True)
        requests = [await fake.asked() for fake in stage.lanes]
        probe = stage.sign(probe=True, source="warmth")
        await asyncio.sleep(0)
        assert all(fake.left_alone for fake in stage.lanes)
        stage.lanes[0].answer(requests[0])
        await ending(request_future)
        await serve_one(stage.lanes[0])
        assert (await ending(probe)).ending is Ending.SIGNED

    play(scene)


def test_a_probe_waits_behind_every_request() -> None:
    async def scene(stage: Stage) -> None:
        order: list[str] = []
        futures = []
        for name, probe in (("first", False), ("probe", True), ("second", False), ("third", False)):
            future = stage.sign(source=name, probe=probe)
            future.add_done_callback(notes(order, name))
            futures.append(future)
        for _ in futures:
            await serve_one(stage.lanes[0])
        await asyncio.gather(*futures)
        assert order == ["first", "second", "third", "probe"]

    play(scene, lanes=1)


def test_a_probe_that_runs_is_stopped_for_a_request_and_runs_again_later() -> None:
    async def scene(stage: Stage) -> None:
        probe = stage.sign(canonical=True, probe=True, source="warmth")
        probing = await stage.lanes[0].asked()
        future = stage.sign()
        await stage.lanes[0].told_to_stop(probing)
        stage.lanes[0].answer(probing, Outcome.CANCELLED)
        stage.lanes[0].answer(await stage.lanes[0].asked(), rs=OTHER_RS)
        assert (await ending(future)).rs == OTHER_RS
        await serve_one(stage.lanes[0])
        assert (await ending(probe)).ending is Ending.SIGNED

    play(scene, lanes=1)


def test_close_ends_every_lane() -> None:
    async def scene(stage: Stage) -> None:
        stage.race.close()
        assert [fake.sock.recv(MAX_FRAME) for fake in stage.lanes] == [b"", b""]
        assert stage.sign().result().ending is Ending.NO_LANE

    play(scene)
