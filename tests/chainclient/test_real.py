"""Every call against real nodeos with the real system contract: two API nodes of one chain."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from chainclient.scene import act, sign
from rig import keypair
from rig.cleos import Action
from rig.condition import HANG_S
from rig.tools import Tools

from signer.antelope.keys import PublicKey
from signer.antelope.name import Name
from signer.chain.client import UNKNOWN_BLOCK, ChainClient
from signer.chain.values import ApiStatus, Consensus, LinkedAction, PushResult, TransactionState
from signer.errors import ChainRefusedError, ChainUnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chainclient.conftest import World
    from rig.nodeos import Nodeos

T = TypeVar("T")

pytestmark = pytest.mark.chain

ALICE = Name("alice")
BPA = Name("bpa")
TOOLS = Tools.find()
KEY = PublicKey.parse(keypair.DEVELOPMENT.public)
TIMEOUT_S = 5.0


def ask(world: World, *urls: str, question: Callable[[ChainClient], Awaitable[T]]) -> T:
    """What a client of the API nodes at `urls` (all of them by default) answers."""

    async def run() -> T:
        nodes = urls or (world.chain.boot.url, world.api.url)
        async with ChainClient("local", world.chain.boot.chain_id, nodes, timeout_s=TIMEOUT_S) as chain:
            return await question(chain)

    return asyncio.run(asyncio.wait_for(run(), HANG_S))


def register(world: World, **more: object) -> Action:
    """A registration of alice with a fresh key: no two are the same transaction."""
    key = keypair.generate(TOOLS, "r1").public
    return act(
        "regproducer",
        "alice",
        **({"producer": "alice", "producer_key": key, "url": "", "location": 0} | more),
    )


def settle(world: World, *actions: Action) -> None:
    """Push with cleos, and wait until both nodes have it."""
    world.chain.cleos.push(*actions)
    world.api.wait_for_head(world.chain.boot.head + 1)


# -- what the chain says -----------------------------------------------------------------------------------------


def test_info_is_that_of_the_node_and_both_are_healthy(world: World) -> None:
    async def question(chain: ChainClient) -> Any:  # noqa: ANN401 - a pair
        return await chain.info(), chain.health()

    info, health = ask(world, question=question)

    shown = world.chain.boot.info()
    assert info.api == world.chain.boot.url
    assert info.chain_id == shown["chain_id"]
    assert shown["head_block_num"] - 4 <= info.head.number <= shown["head_block_num"]
    assert info.irreversible.number < info.head.number
    assert info.irreversible.time < info.head.time
    assert info.consensus is Consensus.LEGACY
    assert info.server_version.startswith("v4.1")
    assert -1.0 < info.clock_ahead_s < 3.0
    assert 0.0 < info.latency_s < TIMEOUT_S
    assert [state.status for state in health] == [ApiStatus.HEALTHY] * 2


def test_a_clock_that_is_wrong_shows(world: World) -> None:
    async def run() -> float:
        async with ChainClient(
            "local",
            world.chain.boot.chain_id,
            [world.api.url],
            timeout_s=TIMEOUT_S,
            clock=lambda: datetime.now(UTC) - timedelta(seconds=90),
        ) as chain:
            return (await chain.info()).clock_ahead_s

    assert -92.0 < asyncio.run(run()) < -87.0


def test_another_chain_is_not_believed(world: World) -> None:
    async def run() -> None:
        urls = [world.chain.boot.url]
        async with ChainClient("other", "00" * 32, urls, timeout_s=TIMEOUT_S) as chain:
            with pytest.raises(ChainUnreachableError, match=f"serves chain {world.chain.boot.chain_id}"):
                await chain.info()
            assert chain.health()[0].status is ApiStatus.WRONG_CHAIN

    asyncio.run(run())


def test_a_node_that_hangs_is_passed_over_and_found_again(world: World) -> None:
    """A stopped process still has its connections, and says nothing."""
    node = world.api

    async def run() -> None:
        urls = [node.url, world.chain.boot.url]
        async with ChainClient("local", node.chain_id, urls, timeout_s=0.5) as chain:
            assert (await chain.info()).api == node.url
            node.send(signal.SIGSTOP)
            try:
                assert (await chain.info()).api == world.chain.boot.url
                assert (await chain.schedules()).active.producers[0].name == BPA
                while chain.health()[0].status is ApiStatus.HEALTHY:
                    await chain.info()
                assert chain.health()[0].status is ApiStatus.UNREACHABLE
                answers = await chain.producer_everywhere(BPA)
                assert answers[0].error is not None
                assert answers[1].row is not None
            finally:
                node.send(signal.SIGCONT)
            while (await chain.info()).api != node.url:
                assert chain.health()[1].status is ApiStatus.HEALTHY
            assert chain.health()[0].failures == 0

    asyncio.run(asyncio.wait_for(run(), HANG_S))


def test_blocks_by_number_and_by_id(world: World) -> None:
    number = world.api.info()["last_irreversible_block_num"]
    shown = world.api.block(number)

    by_number = ask(world, question=lambda chain: chain.block(number))
    by_id = ask(world, question=lambda chain: chain.block(shown.id))

    assert by_number == by_id
    assert (by_number.id, by_number.producer) == (shown.id, shown.producer)
    assert by_number.producer_signature == shown.signature
    assert by_number.time == shown.timestamp.replace(tzinfo=UTC)
    assert by_number.consensus is Consensus.LEGACY
    assert ask(world, question=lambda chain: chain.block(number - 1)).id == by_number.previous


@pytest.mark.parametrize("wanted", [10_000_000, "ab" * 32])
def test_a_block_that_nobody_has(world: World, wanted: int | str) -> None:
    with pytest.raises(ChainRefusedError) as caught:
        ask(world, question=lambda chain: chain.block(wanted))

    assert caught.value.code == UNKNOWN_BLOCK


def test_features_are_those_that_were_activated(world: World) -> None:
    features = ask(world, question=lambda chain: chain.features())

    assert features[0].codename == "PREACTIVATE_FEATURE"
    names = {feature.codename for feature in features}
    assert "WTMSIG_BLOCK_SIGNATURES" in names
    assert "SAVANNA" not in names


def test_leap_knows_no_finalizers(world: World) -> None:
    with pytest.raises(ChainRefusedError) as caught:
        ask(world, question=lambda chain: chain.finalizers())

    assert caught.value.status == 404
    assert ask(world, question=lambda chain: chain.finalizer_keys(BPA)) is None


def test_the_active_schedule_is_the_elected_producer(world: World) -> None:
    schedules = ask(world, question=lambda chain: chain.schedules())

    key = PublicKey.parse(world.chain.local["bpa"].public)
    assert [(each.name, each.keys) for each in schedules.active.producers] == [(BPA, (key,))]
    assert (schedules.pending, schedules.proposed) == (None, None)


def test_the_row_through_its_life(world: World) -> None:
    """Never registered, one key, two keys, unregistered."""

    def row(name: Name = ALICE) -> Any:  # noqa: ANN401 - ProducerRow or None
        answers = ask(world, question=lambda chain: chain.producer_everywhere(name))
        assert [answer.error for answer in answers] == [None, None]
        assert answers[0].row == answers[1].row
        assert ask(world, question=lambda chain: chain.producer(name)) == answers[0].row
        return answers[0].row

    assert row(Name("nobody")) is None
    keys = [keypair.generate(TOOLS, curve).public for curve in ("k1", "r1")]
    place = {"url": "https://alice.example/bp.json?a=1&b=\\", "location": 276}

    settle(world, act("regproducer", "alice", producer="alice", producer_key=keys[1], **place))
    one = row()
    settle(world, both(keys, place))
    two = row()
    settle(world, act("unregprod", "alice", producer="alice"))
    none = row()

    assert one.keys == ((PublicKey.parse(keys[1]), 1),)
    assert two.keys == tuple((PublicKey.parse(key), 1) for key in keys)
    assert none.keys == ()
    assert [each.is_active for each in (one, two, none)] == [True, True, False]
    assert [each.threshold for each in (one, two, none)] == [1, 1, 0]
    assert {(each.url, each.location) for each in (one, two)} == {(place["url"], 276)}
    elected = ask(world, question=lambda chain: chain.producer(BPA))
    assert elected is not None
    assert elected.total_votes > 0


def both(keys: list[str], place: dict[str, object]) -> Action:
    """A registration of alice with two keys of which one suffices."""
    either = {"threshold": 1, "keys": [{"key": key, "weight": 1} for key in keys]}
    kind = "block_signing_authority_v0"
    return act("regproducer2", "alice", producer="alice", producer_authority=[kind, either], **place)


def test_an_account_with_its_permissions_and_their_links(world: World) -> None:
    account = ask(world, question=lambda chain: chain.account(ALICE))

    assert account is not None
    permissions = {each.name: each for each in account.permissions}
    assert set(permissions) == {"owner", "active", "rotate"}
    rotate = permissions[Name("rotate")]
    assert (rotate.parent, rotate.threshold, rotate.keys) == ("active", 1, ((KEY, 1),))
    assert rotate.linked_actions == (LinkedAction(Name("eosio"), Name("regproducer")),)
    assert account.any_links == ()
    assert 0 < account.ram_used < account.ram_quota
    assert account.cpu.max >= account.cpu.available > 0
    assert ask(world, question=lambda chain: chain.account(Name("nobody"))) is None


def test_who_a_key_speaks_for(world: World) -> None:
    """Only one of the two nodes can tell; the other is passed over."""
    stranger = PublicKey.parse(keypair.generate(TOOLS, "r1").public)
    mine = PublicKey.parse(world.chain.local["bpa"].public)

    found = ask(world, question=lambda chain: chain.authorizers([KEY, stranger, mine]))

    assert found is not None
    assert {(each.account, each.permission) for each in found} >= {("alice", "owner"), ("alice", "active")}
    assert {each.key for each in found} == {KEY}
    assert ask(world, question=lambda chain: chain.authorizers([stranger])) == ()
    assert ask(world, world.chain.boot.url, question=lambda chain: chain.authorizers([KEY])) is None


# -- transactions ------------------------------------------------------------------------------------------------


def push(world: World, body: dict[str, Any], *urls: str) -> PushResult:
    """Push to the nodes at `urls`, to all of them by default."""
    return ask(world, *urls, question=lambda chain: chain.push(body))


def refusal(world: World, body: dict[str, Any]) -> ChainRefusedError:
    """Why both nodes refuse a transaction."""
    with pytest.raises(ChainRefusedError) as caught:
        push(world, body)
    assert caught.value.certain
    return caught.value


def dry_refusal(world: World, body: dict[str, Any]) -> int | None:
    """With which code a dry run says no."""
    run = ask(world, question=lambda chain: chain.dry_run(body))
    assert run is not None
    if run.refusal is None:
        assert run.cpu_us is not None
        assert run.net_bytes is not None
        assert run.net_bytes >= len(body["packed_trx"]) // 2
        return None
    return run.refusal.code


def state(world: World, identifier: str) -> TransactionState:
    """What the node that follows transactions says of one."""
    status = ask(world, question=lambda chain: chain.transaction_status(identifier))
    assert status is not None
    assert status.api == world.api.url
    return status.state


def test_a_push_is_in_the_chain_and_then_a_duplicate(world: World) -> None:
    action = register(world)
    body = sign(world.chain, action)
    identifier = hashlib.sha256(bytes.fromhex(body["packed_trx"])).hexdigest()
    assert state(world, identifier) is TransactionState.UNKNOWN
    assert dry_refusal(world, body) is None
    assert state(world, identifier) is TransactionState.UNKNOWN  # it was only tried

    assert not push(world, body).duplicate

    world.api.wait_for(
        lambda: state(world, identifier) is TransactionState.IRREVERSIBLE, "the transaction is irreversible"
    )
    status = ask(world, question=lambda chain: chain.transaction_status(identifier))
    assert status is not None
    assert status.block is not None
    assert world.chain.boot.block(status.block.number).id == status.block.id
    row = ask(world, question=lambda chain: chain.producer(ALICE))
    assert row is not None
    assert row.keys == ((PublicKey.parse(action.data["producer_key"]), 1),)
    for url in (world.chain.boot.url, world.api.url):
        assert push(world, body, url) == PushResult(url, duplicate=True)
    tried = ask(world, question=lambda chain: chain.dry_run(body))
    assert tried is not None
    assert (tried.refusal, tried.cpu_us) == (None, None)  # it was taken before


def test_nobody_follows_transactions_unless_told_to(world: World) -> None:
    url = world.chain.boot.url

    assert ask(world, url, question=lambda chain: chain.transaction_status("ab" * 32)) is None


def _is_after(node: Nodeos, moment: datetime) -> bool:
    """Whether the node's head is at least a second after `moment`."""
    head = datetime.fromisoformat(node.info()["head_block_time"]).replace(tzinfo=UTC)
    return head > moment + timedelta(seconds=1)


def test_a_transaction_that_has_expired_is_refused_though_it_is_in_the_chain(world: World) -> None:
    """So this refusal does not say that nobody has taken it."""
    action = register(world)
    body = sign(world.chain, action, options=("-x", "3"))
    push(world, body)
    expires = datetime.fromtimestamp(int.from_bytes(bytes.fromhex(body["packed_trx"][:8]), "little"), UTC)
    for node in (world.chain.boot, world.api):
        node.wait_for(partial(_is_after, node, expires), "it has expired")

    error = refusal(world, body)

    assert (error.code, error.name, error.final) == (3040005, "expired_tx_exception", True)
    assert error.words == "the transaction has expired"
    assert "expired transaction" in error.message
    assert dry_refusal(world, body) == 3040005
    row = ask(world, question=lambda chain: chain.producer(ALICE))
    assert row is not None
    assert row.keys == ((PublicKey.parse(action.data["producer_key"]), 1),)


# Each takes the world and returns a transaction that is refused.


def _unsigned(world: World) -> dict[str, Any]:
    return sign(world.chain, register(world)) | {"signatures": []}


def _signed_by_another_key(world: World) -> dict[str, Any]:
    """A signature of another digest recovers to another key."""
    other = sign(world.chain, register(world))
    return sign(world.chain, register(world)) | {"signatures": other["signatures"]}


def _not_linked(world: World) -> dict[str, Any]:
    return sign(world.chain, act("unregprod", "alice", producer="alice"), permission="rotate")


def _of_another_account(world: World) -> dict[str, Any]:
    return sign(world.chain, register(world, producer="bpa"))


def _without_permission(world: World) -> dict[str, Any]:
    return sign(world.chain, register(world), options=("--skip-sign",), permission="nothing")


def _without_account(world: World) -> dict[str, Any]:
    action = register(world, producer="nobody")
    nobody = Action(action.account, action.name, action.data, "nobody")
    return sign(world.chain, nobody, options=("--skip-sign",))


def _long_url(world: World) -> dict[str, Any]:
    return sign(world.chain, register(world, url="u" * 512))


def _far(world: World) -> dict[str, Any]:
    return sign(world.chain, register(world), options=("-x", "7200"))


def _another_fork(world: World) -> dict[str, Any]:
    """The prefix of the reference block is at bytes 6 to 9 (L:transaction.hpp, transaction_header)."""
    body = sign(world.chain, register(world))
    packed = bytearray.fromhex(body["packed_trx"])
    packed[6] ^= 0xFF
    return body | {"packed_trx": packed.hex()}


def _cut(world: World) -> dict[str, Any]:
    body = sign(world.chain, register(world))
    return body | {"packed_trx": body["packed_trx"][:-2]}


def _poor(name: str, url: str = "") -> Callable[[World], dict[str, Any]]:
    """A registration by an account that cannot pay for it."""

    def make(world: World) -> dict[str, Any]:
        action = register(world, producer=name, url=url)
        return sign(world.chain, Action(action.account, action.name, action.data, name))

    return make


@pytest.mark.parametrize(
    ("make", "code", "final", "words", "dry"),
    [
        (_unsigned, 3090003, True, "does not have the key that signed", None),
        (_signed_by_another_key, 3090003, True, "does not have the key that signed", None),
        (_not_linked, 3090005, True, "not linked to this action", 3090005),
        (_of_another_account, 3090004, True, "did not agree", 3090004),
        (_without_permission, 3040000, True, "does not exist", 3040000),
        (_without_account, 3040000, True, "does not exist", 3040000),
        (_long_url, 3050003, True, "the system contract refuses it", 3050003),
        (_far, 3040006, False, "expires too late", 3040006),
        (_another_fork, 3040007, False, "does not have the block", 3040007),
        (_cut, 3010010, True, "cannot read the transaction", 3010010),
        (_poor("noram", "u" * 500), 3080001, True, "not enough RAM", 3080001),
        (_poor("nonet"), 3080002, False, "not enough NET", 3080002),
        (_poor("nocpu"), 3080004, False, "not enough CPU", 3080004),
    ],
)
def test_why_a_push_is_refused_and_whether_a_dry_run_knows(
    world: World,
    make: Callable[[World], dict[str, Any]],
    code: int,
    *,
    final: bool,
    words: str,
    dry: int | None,
) -> None:
    """The dry run knows everything but whether the signatures satisfy the permission."""
    body = make(world)

    assert dry_refusal(world, body) == dry
    error = refusal(world, body)

    assert (error.code, error.final) == (code, final)
    assert words in error.words
    assert error.message
    assert f"({code} {error.name})" in str(error)
