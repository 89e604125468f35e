"""What a wallet's body may cost: the process that reads it has blocks to sign."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from fuzz.world import World

from signer.signing import wallet
from signer.signing.sign_transaction_request import parse_sign_transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signer.signing.sign_transaction_request import SignTransactionRequest


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A wallet without a token."""
    made = World()
    yield made
    made.close()


async def _ask(world: World, call: str, body: bytes) -> tuple[int, Any]:
    target = b"/v1/wallet/" + call.encode()
    status, content = await world.wallet.answer(world.call("wallet"), "POST", target, body)
    return status, json.loads(content)


def _body(world: World, **changes: object) -> bytes:
    return json.dumps([world.transaction() | changes, [str(world.accounts[0])], world.chain_id]).encode()


@pytest.mark.parametrize("call", ["sign_transaction", "sign_digest", "open", "unlock", "set_timeout"])
@pytest.mark.parametrize("piece", [b"1,", b"[],", b'{"":1},', b"[", b'{"a":', b'[{"a":'])
def test_a_body_of_many_values_is_not_read(world: World, call: str, piece: bytes) -> None:
    status, answer = asyncio.run(_ask(world, call, b"[" + piece * 2000 + b"1]"))

    assert status == 400
    assert answer["error"]["name"] == "invalid_http_request"
    assert "commas and brackets, more than 2000" in answer["error"]["details"][0]["message"]


def test_the_most_that_policy_may_allow_is_read(world: World) -> None:
    """100 actions, as cleos writes them."""
    (one,) = world.transaction()["actions"]

    status, answer = asyncio.run(_ask(world, "sign_transaction", _body(world, actions=[one] * 100)))

    assert (status, answer["error"]["name"]) == (500, "signer_policy_exception")
    assert "it has 100 actions, and max_actions is 1" in answer["error"]["details"][0]["message"]


def test_of_many_transactions_one_is_read_in_a_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where reading ends in a refusal."""
    turn = 0
    read: list[int] = []

    def noted(body: bytes) -> SignTransactionRequest:
        read.append(turn)
        return parse_sign_transaction(body)

    async def run() -> None:
        loop = asyncio.get_running_loop()

        def count() -> None:
            nonlocal turn
            turn += 1
            loop.call_soon(count)

        count()
        bodies = [_body(world), _body(world, signatures=["x"]), _body(world)] * 4
        answers = await asyncio.gather(*(_ask(world, "sign_transaction", body) for body in bodies))
        assert [status for status, _ in answers] == [201, 500, 201] * 4

    monkeypatch.setattr(wallet, "parse_sign_transaction", noted)
    asyncio.run(run())

    assert len(read) == len(set(read)) == 12
