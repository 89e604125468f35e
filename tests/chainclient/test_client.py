"""API nodes that die, lie, lag, hang and talk nonsense: a caller gets an answer or a ChainError, in time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from chainclient.fake_api import (
    CHAIN_ID,
    NOON,
    OTHER_ID,
    FakeApi,
    block_id,
    hang,
    recorded,
    replay,
    says,
    send,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rig.condition import HANG_S

from signer.antelope.keys import PublicKey
from signer.antelope.name import Name
from signer.chain.api_node import MAX_ANSWER_BYTES
from signer.chain.client import ChainClient
from signer.chain.values import ApiStatus, Consensus, DryRun, PushResult
from signer.errors import ChainAnswerError, ChainError, ChainRefusedError, ChainUnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    from chainclient.fake_api import Reply

ALICE = Name("alice")
#: Long against an answer, also on a machine that has much to do, s.
TIMEOUT_S = 5.0
#: Where a test waits for it, s.
SHORT_S = 0.4
#: Where it waits for it and somebody else has to answer before, s.
SHORT_FOR_ONE_S = 1.0
BODY = {"signatures": [], "compression": "none", "packed_context_free_data": "", "packed_trx": "00"}
KEY = PublicKey.parse("EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return what time it is."""
        return self.now


def client(
    *apis: FakeApi | str, clock: Callable[[], float] = time.monotonic, timeout_s: float = TIMEOUT_S
) -> ChainClient:
    """A client of `apis`, at NOON."""
    urls = [api if isinstance(api, str) else api.url for api in apis]
    return ChainClient("local", CHAIN_ID, urls, timeout_s=timeout_s, clock=lambda: NOON, monotonic=clock)


def scene(play: Callable[..., Coroutine[Any, Any, None]], count: int) -> None:
    """Run `play` with `count` API nodes."""

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            await play(*[await stack.enter_async_context(FakeApi()) for _ in range(count)])

    asyncio.run(asyncio.wait_for(run(), HANG_S))


async def seen(chain: ChainClient, *expected: ApiStatus) -> None:
    """Ask until every node is as expected: one that is slow may be counted only later."""
    while statuses(chain) != list(expected):
        await chain.info()


def statuses(chain: ChainClient) -> list[ApiStatus]:
    """The health of every API node."""
    return [state.status for state in chain.health()]


# -- who is asked ------------------------------------------------------------------------------------------------


def test_questions_go_to_the_first_node_and_health_comes_from_all() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        async with client(first, second) as chain:
            info = await chain.info()
            block = await chain.block(7)

            assert info.api == first.url
            assert block.number == 7
            assert (first.count("get_info"), second.count("get_info")) == (1, 1)
            assert second.count("get_block_info") == 1  # for its consensus
            assert statuses(chain) == [ApiStatus.HEALTHY] * 2
            state = chain.health()[0]
            assert (state.api, state.reason, state.lag_slots, state.failures, state.last_error) == (
                *(first.url, "", 0, 0, ""),
            )
            assert state.head == info.head
            assert state.latency_s is not None

    scene(play, 2)


def test_before_the_first_question_nothing_is_known() -> None:
    async def play(api: FakeApi) -> None:
        async with client(api) as chain:
            assert statuses(chain) == [ApiStatus.UNKNOWN]
            assert api.calls == []

    scene(play, 1)


def test_another_node_answers_for_a_dead_one_which_is_asked_again_later() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        clock = Clock()
        await first.stop()
        async with client(first, second, clock=clock) as chain:
            assert (await chain.info()).api == second.url
            dead = chain.health()[0]
            assert (dead.status, dead.failures) == (ApiStatus.UNREACHABLE, 1)
            assert dead.reason == "no answer to get_info (ConnectError)"
            assert dead.retry_in_s == 0.5

            await first.start()
            clock.now += 0.4
            assert (await chain.info()).api == second.url
            assert first.calls == []  # left alone

            clock.now += 0.2
            assert (await chain.info()).api == first.url
            assert statuses(chain) == [ApiStatus.HEALTHY] * 2
            assert chain.health()[0].last_error == "no answer to get_info (ConnectError)"

    scene(play, 2)


def test_the_pause_doubles_up_to_half_a_minute() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        clock = Clock()
        await first.stop()
        async with client(first, second, clock=clock) as chain:
            pauses = []
            for _ in range(9):
                await chain.info()
                pauses.append(chain.health()[0].retry_in_s)
                clock.now += pauses[-1]

            assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]

    scene(play, 2)


def test_a_node_that_dies_between_two_questions_costs_one_failover() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        async with client(first, second, clock=Clock()) as chain:
            await chain.info()
            await first.stop()

            assert (await chain.block(7)).number == 7
            assert statuses(chain) == [ApiStatus.UNREACHABLE, ApiStatus.HEALTHY]
            asked = len(first.calls)
            assert (await chain.block(8)).number == 8
            assert len(first.calls) == asked

    scene(play, 2)


def test_the_only_node_is_asked_again_at_once() -> None:
    async def play(api: FakeApi) -> None:
        await api.stop()
        async with client(api, clock=Clock()) as chain:
            with pytest.raises(ChainUnreachableError, match="no API node of the chain local gives an answer"):
                await chain.info()
            await api.start()

            assert (await chain.info()).api == api.url

    scene(play, 1)


def test_a_node_of_another_chain_is_asked_nothing_until_it_has_changed() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        clock = Clock()
        first.chain_id = OTHER_ID
        first.head = 5000  # a longer chain is no argument
        async with client(first, second, clock=clock) as chain:
            await chain.block(7)
            assert first.calls == ["get_info"]
            state = chain.health()[0]
            assert state.status is ApiStatus.WRONG_CHAIN
            assert state.reason == f"serves chain {OTHER_ID}, not {CHAIN_ID}"
            assert state.head is None

            first.chain_id = CHAIN_ID
            clock.now += 3.0
            assert (await chain.info()).api == first.url

    scene(play, 2)


def test_a_chain_whose_only_node_serves_another_one_is_unreachable() -> None:
    async def play(api: FakeApi) -> None:
        api.chain_id = OTHER_ID
        api.replies["send_transaction2"] = replay("pushed")
        async with client(api) as chain:
            for question in (chain.info(), chain.push(BODY), chain.producer(ALICE)):
                with pytest.raises(ChainUnreachableError, match=f"serves chain {OTHER_ID}"):
                    await question
            assert set(api.calls) == {"get_info"}

    scene(play, 1)


def test_a_node_that_was_replaced_by_one_of_another_chain_is_found_out() -> None:
    async def play(api: FakeApi) -> None:
        async with client(api) as chain:
            await chain.info()
            api.chain_id = OTHER_ID

            with pytest.raises(ChainUnreachableError):
                await chain.info()
            with pytest.raises(ChainUnreachableError):
                await chain.block(7)

    scene(play, 1)


def test_a_node_that_lags_is_asked_last() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        clock = Clock()
        first.head = second.head - 13
        async with client(first, second, clock=clock) as chain:
            await seen(chain, ApiStatus.LAGGING, ApiStatus.HEALTHY)
            assert (await chain.info()).api == second.url
            assert chain.health()[0].reason == "its head is 13 slots behind the best one"

            await second.stop()
            assert (await chain.info()).api == first.url  # better than nobody

            await second.start()
            clock.now += 10
            first.head = second.head - 12
            assert (await chain.info()).api == first.url
            assert statuses(chain) == [ApiStatus.HEALTHY] * 2

    scene(play, 2)


def test_a_node_that_hangs_delays_only_the_first_question_and_that_not_for_long() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        first.replies["get_info"] = hang
        async with client(first, second) as chain:
            started = time.monotonic()
            assert (await chain.info()).api == second.url
            one = time.monotonic() - started
            for _ in range(20):
                assert (await chain.info()).api == second.url
                assert (await chain.block(7)).number == 7
            others = time.monotonic() - started - one

            assert 0.2 < one < 2.0  # it is given some time
            assert others < 2.0  # 20 times that would be 6 s
            assert first.count("get_info") == 1

    scene(play, 2)


def test_a_node_that_is_silent_beyond_the_timeout_is_unreachable() -> None:
    async def play(api: FakeApi) -> None:
        api.replies["get_info"] = hang
        async with client(api, timeout_s=SHORT_S) as chain:
            with pytest.raises(ChainUnreachableError, match=r"no answer to get_info within 0\.4 s"):
                await chain.info()

    scene(play, 1)


def test_a_node_that_drips_has_one_deadline() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def play(api: FakeApi) -> None:
        api.replies["get_info"] = drip
        async with client(api, timeout_s=SHORT_S) as chain:
            with pytest.raises(ChainUnreachableError, match=r"within 0\.4 s"):
                await chain.info()

    scene(play, 1)


# -- what is answered --------------------------------------------------------------------------------------------


async def endless(writer: asyncio.StreamWriter) -> None:
    """An answer that does not end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(2 * MAX_ANSWER_BYTES // 2**20):
        writer.write(b"100000\r\n" + b" " * 2**20 + b"\r\n")
        await writer.drain()


async def broken_off(writer: asyncio.StreamWriter) -> None:
    """Half an answer."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    writer.close()


async def no_http(writer: asyncio.StreamWriter) -> None:
    """Something else."""
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    writer.close()


async def compressed(writer: asyncio.StreamWriter) -> None:
    """What was not asked for."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00")


NONSENSE: dict[str, Reply] = {
    "no JSON": (200, b"<html>It works!</html>"),
    "empty": (200, b""),
    "not an object": (200, b"[]"),
    "another object": (200, b'{"a": 1}'),
    "null": (200, b"null"),
    "deep": (200, b"[" * 200_000),
    "not a number": (200, b"NaN"),
    "endless": endless,
    "broken off": broken_off,
    "no HTTP": no_http,
    "compressed": compressed,
    "500 with HTML": (500, b"<html>"),
    "502": (502, b""),
    "503 as JSON": (503, b'{"error": "busy"}'),
    "an envelope of others": (500, b'{"error": {"code": "x", "name": 1, "what": null}}'),
    "401": (401, b""),
    "204": (204, b""),
}

QUESTIONS: dict[str, Callable[[ChainClient], Awaitable[object]]] = {
    "get_table_rows": lambda chain: chain.producer(ALICE),
    "get_producer_schedule": lambda chain: chain.schedules(),
    "get_account": lambda chain: chain.account(ALICE),
    "get_accounts_by_authorizers": lambda chain: chain.authorizers([KEY]),
    "get_activated_protocol_features": lambda chain: chain.features(),
    "get_finalizer_info": lambda chain: chain.finalizers(),
    "get_block_header": lambda chain: chain.block(block_id(7)),
    "send_transaction2": lambda chain: chain.push(BODY),
    "compute_transaction": lambda chain: chain.dry_run(BODY),
    "get_transaction_status": lambda chain: chain.transaction_status("ab" * 32),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_a_chain_error_that_names_the_node(nonsense: str) -> None:
    async def play(api: FakeApi) -> None:
        async with client(api) as chain:
            await chain.info()
            for call, question in QUESTIONS.items():
                if nonsense == "endless" and call != "get_account":
                    continue  # 16 MB once is enough
                api.replies[call] = NONSENSE[nonsense]
                with pytest.raises(ChainError) as caught:
                    await question(chain)
                assert api.url in str(caught.value)
                assert call in str(caught.value)

    scene(play, 1)


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_node_that_talks_nonsense_about_itself_is_not_believed(nonsense: str) -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        first.replies["get_info"] = NONSENSE[nonsense]
        async with client(first, second) as chain:
            # The huge one is still being read when the other has answered.
            while chain.health()[0].status is ApiStatus.UNKNOWN:
                assert (await chain.info()).api == second.url

            assert chain.health()[0].status in (ApiStatus.FAULTY, ApiStatus.UNREACHABLE)
            assert chain.health()[0].reason.startswith(("get_info: ", "no answer to get_info"))

    scene(play, 2)


def test_an_odd_answer_is_made_good_by_another_node() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        first.replies["get_producer_schedule"] = (200, b"{}")
        second.replies["get_producer_schedule"] = replay("schedules")
        async with client(first, second) as chain:
            assert (await chain.schedules()).active.producers[0].name == "bpa"
            assert statuses(chain) == [ApiStatus.HEALTHY] * 2
            assert chain.health()[0].last_error == "get_producer_schedule: active is missing"

    scene(play, 2)


def test_the_fault_is_named_with_its_place() -> None:
    async def play(api: FakeApi) -> None:
        api.replies["get_account"] = says(recorded("account") | {"permissions": [{}]})
        async with client(api) as chain:
            with pytest.raises(
                ChainAnswerError,
                match=rf"{api.url}: the answer to get_account: permissions\[0\]\.required_auth is missing",
            ):
                await chain.account(ALICE)

    scene(play, 1)


def test_a_redirect_is_not_followed() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        async def redirect(writer: asyncio.StreamWriter) -> None:
            location = f"http://user:secret@{second.url.removeprefix('http://')}/v1/chain/get_info"
            writer.write(f"HTTP/1.1 307 Other\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())

        first.replies["get_info"] = redirect
        async with client(first) as chain:
            with pytest.raises(
                ChainAnswerError, match=r"a redirect \(HTTP 307\); give the address itself"
            ) as caught:
                await chain.info()
            assert "secret" not in str(caught.value)
            assert second.calls == []

    scene(play, 2)


def test_the_envelope_of_nodeos_is_a_refusal() -> None:
    async def play(api: FakeApi) -> None:
        api.replies["get_table_rows"] = replay("table-absent")
        async with client(api) as chain:
            with pytest.raises(ChainRefusedError) as caught:
                await chain.producer(ALICE)
            error = caught.value
            assert (error.code, error.name, error.api) == (3060003, "contract_table_query_exception", api.url)
            assert error.status == 500
            assert error.certain
            assert error.message in str(error)
            assert statuses(chain) == [ApiStatus.HEALTHY]  # it is well and says no

    scene(play, 1)


@pytest.mark.parametrize("reply", [replay("endpoint-absent"), (403, b"<html>"), (405, b"")])
def test_what_no_node_serves_is_unknown(reply: Reply) -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        for call in ("get_accounts_by_authorizers", "get_transaction_status", "compute_transaction"):
            first.replies[call] = second.replies[call] = reply
        async with client(first, second) as chain:
            assert await chain.authorizers([KEY]) is None
            assert await chain.transaction_status("ab" * 32) is None
            assert await chain.dry_run(BODY) is None

            second.replies["get_accounts_by_authorizers"] = replay("authorizers")
            assert await chain.authorizers([KEY])

    scene(play, 2)


def test_an_account_lookup_that_failed_is_not_an_account_that_is_missing() -> None:
    async def play(api: FakeApi) -> None:
        async with client(api) as chain:
            api.replies["get_account"] = replay("account-absent")
            assert await chain.account(ALICE) is None

            failed = recorded("account-absent")
            failed["error"]["details"][0]["message"] = "unable to retrieve account info (deadline)"
            api.replies["get_account"] = says(failed, 500)
            with pytest.raises(ChainRefusedError, match="deadline"):
                await chain.account(ALICE)

    scene(play, 1)


def test_features_come_in_pages() -> None:
    async def play(api: FakeApi) -> None:
        whole = recorded("features")["activated_protocol_features"]

        async def pages(writer: asyncio.StreamWriter) -> None:
            first = api.bodies[-1].get("lower_bound", 0)
            page = {"activated_protocol_features": whole[first : first + 2]}
            await send(writer, says(page | ({"more": first + 2} if first + 2 < len(whole) else {})))

        api.replies["get_activated_protocol_features"] = pages
        async with client(api) as chain:
            assert [each.digest for each in await chain.features()] == [
                each["feature_digest"] for each in whole
            ]
            assert api.bodies[-1] == {"limit": 1000, "lower_bound": len(whole) - 1}

    scene(play, 1)


def test_features_without_end_are_no_answer() -> None:
    async def play(api: FakeApi) -> None:
        api.replies["get_activated_protocol_features"] = says({"activated_protocol_features": [], "more": 0})
        async with client(api) as chain:
            with pytest.raises(ChainAnswerError, match="pages of features"):
                await chain.features()

    scene(play, 1)


def test_a_node_without_headers_is_asked_for_the_whole_block() -> None:
    async def play(api: FakeApi) -> None:
        api.replies["get_block"] = replay("block")
        async with client(api) as chain:
            assert (await chain.block(recorded("block")["id"])).number == 12

    scene(play, 1)


def test_finalizer_keys_are_those_of_both_tables() -> None:
    async def play(api: FakeApi) -> None:
        async def rows(writer: asyncio.StreamWriter) -> None:
            table = api.bodies[-1]["table"]
            await send(writer, replay({"finkeys": "spring-finkeys", "finalizers": "spring-finalizer"}[table]))

        api.replies["get_table_rows"] = rows
        async with client(api) as chain:
            keys = await chain.finalizer_keys(Name("bpa"))

            assert keys is not None
            assert len(keys.keys) == 2
            assert keys.active == keys.keys[1]

            api.replies["get_table_rows"] = replay("table-absent")
            assert await chain.finalizer_keys(Name("bpa")) is None

    scene(play, 1)


def test_savanna_is_asked_for_once_and_legacy_now_and_then() -> None:
    async def play(api: FakeApi) -> None:
        clock = Clock()
        async with client(api, clock=clock) as chain:
            for _ in range(3):
                assert (await chain.info()).consensus is Consensus.LEGACY
            assert api.count("get_block_info") == 1

            api.schedule_version = 0x80000000
            clock.now += 11.0
            for _ in range(3):
                assert (await chain.info()).consensus is Consensus.SAVANNA
                clock.now += 11.0
            assert api.count("get_block_info") == 2

    scene(play, 1)


def test_the_local_clock_is_compared_with_the_head() -> None:
    async def play(api: FakeApi) -> None:
        clock = Clock()
        wall = api.head_time + timedelta(seconds=7.25)
        urls = [api.url]
        async with ChainClient(
            "local", CHAIN_ID, urls, timeout_s=TIMEOUT_S, clock=lambda: wall, monotonic=clock
        ) as chain:
            info = await chain.info()

            assert info.received_at == wall
            assert info.received_s == clock.now
            assert info.clock_ahead_s == 7.25

    scene(play, 1)


# -- the row, everywhere -------------------------------------------------------------------------------------------


def test_every_node_is_asked_for_the_row() -> None:
    async def play(one: FakeApi, two: FakeApi, dead: FakeApi, other: FakeApi) -> None:
        one.replies["get_table_rows"] = replay("row-one-key")
        two.replies["get_table_rows"] = replay("row-absent")
        other.chain_id = OTHER_ID
        await dead.stop()
        async with client(one, two, dead, other) as chain:
            answers = await chain.producer_everywhere(ALICE)

        assert [answer.api for answer in answers] == [one.url, two.url, dead.url, other.url]
        assert [answer.row is not None for answer in answers] == [True, False, False, False]
        assert [answer.error is None for answer in answers] == [True, True, False, False]
        assert other.calls == ["get_info"]

    scene(play, 4)


def test_a_row_older_than_what_is_irreversible_has_no_say() -> None:
    """A node that is a little behind counts as healthy; its row may still miss what is irreversible elsewhere."""

    async def play(first: FakeApi, second: FakeApi) -> None:
        for api in (first, second):
            api.replies["get_table_rows"] = replay("row-one-key")
            api.behind = 2
        first.head = second.head - 3
        async with client(first, second) as chain:
            answers = await chain.producer_everywhere(ALICE)
            assert "older than what others call irreversible" in str(answers[0].error)
            assert answers[1].row is not None

            first.head = second.head - 2
            assert [answer.error for answer in await chain.producer_everywhere(ALICE)] == [None, None]

    scene(play, 2)


# -- pushes --------------------------------------------------------------------------------------------------------


def test_a_push_goes_to_all_and_the_first_that_takes_it_counts() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        first.replies["send_transaction2"] = hang
        second.replies["send_transaction2"] = replay("pushed")
        async with client(first, second) as chain:
            started = time.monotonic()

            assert await chain.push(BODY) == PushResult(second.url, duplicate=False)

            assert time.monotonic() - started < 2.0
            assert first.count("send_transaction2") == 1
            expected = {"return_failure_trace": False, "retry_trx": False, "transaction": BODY}
            assert first.bodies[-1] == second.bodies[-1] == expected

    scene(play, 2)


def test_a_node_that_has_it_already_counts_as_success() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        first.replies["send_transaction2"] = replay("duplicate")
        second.replies["send_transaction2"] = hang
        async with client(first, second) as chain:
            assert await chain.push(BODY) == PushResult(first.url, duplicate=True)

    scene(play, 2)


def test_what_all_refuse_for_good_is_final_and_certain() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        first.replies["send_transaction2"] = second.replies["send_transaction2"] = replay("unsatisfied")
        async with client(first, second) as chain:
            with pytest.raises(ChainRefusedError) as caught:
                await chain.push(BODY)

        assert (caught.value.code, caught.value.api) == (3090003, first.url)
        assert caught.value.final
        assert caught.value.certain
        assert "the permission does not have the key that signed: transaction declares" in str(caught.value)

    scene(play, 2)


def test_a_refusal_is_not_certain_while_another_node_is_silent() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        first.replies["send_transaction2"] = replay("unsatisfied")
        second.replies["send_transaction2"] = hang
        async with client(first, second, timeout_s=SHORT_FOR_ONE_S) as chain:
            with pytest.raises(ChainRefusedError, match=f"no answer from {second.url}") as caught:
                await chain.push(BODY)

        assert caught.value.final
        assert not caught.value.certain
        assert caught.value.unanswered == (second.url,)

    scene(play, 2)


def test_a_refusal_that_may_pass_goes_before_one_that_will_not() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        busy = recorded("unsatisfied")
        busy["error"] |= {"code": 3080004, "name": "tx_cpu_usage_exceeded"}
        first.replies["send_transaction2"] = replay("unsatisfied")
        second.replies["send_transaction2"] = says(busy, 500)
        async with client(first, second) as chain:
            with pytest.raises(ChainRefusedError) as caught:
                await chain.push(BODY)

        assert (caught.value.code, caught.value.final, caught.value.certain) == (3080004, False, True)

    scene(play, 2)


def test_a_push_that_nobody_answers_says_nothing_of_its_fate() -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        first.replies["send_transaction2"] = hang
        second.replies["send_transaction2"] = broken_off
        async with client(first, second, timeout_s=SHORT_S) as chain:
            with pytest.raises(ChainUnreachableError) as caught:
                await chain.push(BODY)

        assert first.url in str(caught.value)
        assert second.url in str(caught.value)

    scene(play, 2)


def test_older_calls_are_tried_where_the_newest_is_not_served() -> None:
    async def play(api: FakeApi) -> None:
        api.replies["push_transaction"] = replay("pushed")
        async with client(api) as chain:
            assert await chain.push(BODY) == PushResult(api.url, duplicate=False)
            assert api.calls[-3:] == ["send_transaction2", "send_transaction", "push_transaction"]
            assert api.bodies[-2:] == [BODY, BODY]

            del api.replies["push_transaction"]
            with pytest.raises(ChainRefusedError, match="Unknown Endpoint"):
                await chain.push(BODY)

            api.replies["send_transaction"] = replay("unsatisfied")
            with pytest.raises(ChainRefusedError, match="3090003"):
                await chain.push(BODY)
            assert api.calls[-2:] == ["send_transaction2", "send_transaction"]

    scene(play, 1)


def test_a_trace_of_failure_is_no_success() -> None:
    """With return_failure_trace nodeos answers 202: compute_transaction of newer versions asks for it."""

    async def play(api: FakeApi) -> None:
        api.replies["send_transaction2"] = api.replies["compute_transaction"] = replay("failure-trace")
        async with client(api) as chain:
            with pytest.raises(ChainRefusedError, match="transaction declares authority") as caught:
                await chain.push(BODY)
            assert caught.value.code == 3090003

            run = await chain.dry_run(BODY)
            assert run is not None
            assert run.refusal is not None
            assert run.refusal.code == 3090003

    scene(play, 1)


def test_a_trial_whose_answer_was_lost_is_taken_the_second_time() -> None:
    """Nodeos calls the same bytes a duplicate until its next block: they would be taken."""

    async def play(api: FakeApi) -> None:
        api.replies["compute_transaction"] = replay("duplicate")
        async with client(api) as chain:
            assert await chain.dry_run(BODY) == DryRun(api.url, None, None, None)

    scene(play, 1)


def test_a_caller_that_gives_up_does_not_take_a_push_back() -> None:
    async def play(api: FakeApi) -> None:
        api.replies["send_transaction2"] = hang
        async with client(api) as chain:
            await chain.info()
            push = asyncio.create_task(chain.push(BODY))
            while "send_transaction2" not in api.calls:
                api.asked.clear()
                await api.asked.wait()
            push.cancel()
            with pytest.raises(asyncio.CancelledError):
                await push

            assert api.bodies[-1]["transaction"] == BODY

    scene(play, 1)


def test_a_client_that_was_closed_has_no_answers() -> None:
    async def play(api: FakeApi) -> None:
        api.replies["get_producer_schedule"] = hang
        async with client(api) as chain:
            await chain.info()
            asking = asyncio.create_task(chain.schedules())
            while "get_producer_schedule" not in api.calls:
                api.asked.clear()
                await api.asked.wait()

        with pytest.raises(ChainUnreachableError):
            await asking
        for question in (chain.info(), chain.push(BODY)):
            with pytest.raises(ChainUnreachableError):
                await question

    scene(play, 1)


# -- addresses and logs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        *("", "127.0.0.1:8888", "ftp://127.0.0.1", "http://", "http://[::1", "http://a:0", "http://a:99999"),
        *(
            "http://user:secret@127.0.0.1:8888",
            "http://secret@127.0.0.1",
            "http://a/?token=secret",
            "http://a/#secret",
        ),
    ],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ChainError, match="the address of an API node") as caught:
        client(url)

    assert "secret" not in str(caught.value)


def test_an_https_address_with_a_certificate_of_nobody_is_not_asked(tmp_path: Path) -> None:
    async def play() -> None:
        async with FakeApi(tls=self_signed(tmp_path)) as api, client(api) as chain:
            with pytest.raises(
                ChainUnreachableError, match=f"{api.url}: no answer to get_info .ConnectError."
            ):
                await chain.info()
            assert api.url.startswith("https://127.0.0.1:")
            assert api.calls == []

    scene(play, 0)


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS, for a name that it gives itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


def test_a_chain_needs_an_api_node_and_each_once() -> None:
    with pytest.raises(ChainError, match="has no API node"):
        client()
    with pytest.raises(ChainError, match="the same API node twice"):
        client("http://127.0.0.1:1", "http://127.0.0.1:1/")


def test_changes_of_health_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def play(first: FakeApi, second: FakeApi) -> None:
        clock = Clock()
        first.head = second.head - 20
        async with client(first, second, clock=clock) as chain:
            await seen(chain, ApiStatus.LAGGING, ApiStatus.HEALTHY)
            await chain.info()
            second.chain_id = OTHER_ID
            await seen(chain, ApiStatus.HEALTHY, ApiStatus.WRONG_CHAIN)
            await chain.info()
            events.extend(
                (
                    record.levelname,
                    record.getMessage(),
                    *(record.__dict__[key] for key in ("chain", "api", "status")),
                )
                for record in caplog.records
                if record.name == "signer.chain"
            )
            urls.extend([first.url, second.url])

    events: list[tuple[str, ...]] = []
    urls: list[str] = []
    caplog.set_level(logging.INFO, "signer.chain")
    scene(play, 2)

    first, second = urls
    # Which of the two answers first is open: the one that lags may be well for a moment.
    well = ("INFO", "api node state", "local", first, "healthy")
    assert sorted(event for event in events[:-2] if event != well) == [
        ("INFO", "api node state", "local", second, "healthy"),
        ("WARNING", "api node state", "local", first, "lagging"),
    ]
    assert events[-2:] == [well, ("WARNING", "api node state", "local", second, "wrong-chain")]


def test_the_default_clock_is_the_local_one() -> None:
    async def play(api: FakeApi) -> None:
        before = datetime.now(UTC)
        async with ChainClient("local", CHAIN_ID, [api.url], timeout_s=TIMEOUT_S) as chain:
            info = await chain.info()

        assert before <= info.received_at <= datetime.now(UTC)

    scene(play, 1)
