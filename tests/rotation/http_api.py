"""API nodes of a `Ledger`, at the level of HTTP: what nodeos answers, in the forms that a real one was recorded with.

The recorded answers are those of tests/chainclient. Each API node can be dead, slow, behind, on another chain, mad, or
lose an answer after it has performed the request.
"""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
from rig import two_nodes
from rotation.ledger import FIRST, US, Block, Ledger, Refusal, Schedule, moment

from signer.antelope.keys import PublicKey
from signer.rotation.permission import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

_ANSWERS: Final = Path(__file__).resolve().parents[1] / "chainclient" / "answers"
#: A question takes this long, s: what runs beside it has its turn.
_LATENCY_S: Final = 0.002


def recorded(name: str) -> Any:  # noqa: ANN401 - JSON
    """Return a recorded answer, to be changed."""
    return json.loads((_ANSWERS / f"{name}.json").read_text())["answer"]


_INFO: Final = recorded("info")
_ROW: Final = recorded("row-one-key")["rows"][0]
_ROW_UNREGISTERED: Final = recorded("row-unregistered")["rows"][0]
_BLOCK: Final = recorded("block-info")
_ACCOUNT: Final = recorded("account")
_PUSHED: Final = recorded("pushed")
_REFUSED: Final = recorded("unsatisfied")
_ABSENT: Final = recorded("endpoint-absent")
_BLOCK_ABSENT: Final = recorded("block-absent")


@dataclass
class Api:
    """One API node.

    Attributes:
        ledger: the chain that it follows.
        up: whether it answers at all.
        lag: how many blocks it is behind.
        chain_id: what it says of its chain.
        garbage: what it answers instead of JSON, if anything.
        delay_s: how long it takes over an answer.
        loses: calls whose answers are lost after they were performed.
        queries: whether it serves get_accounts_by_authorizers.
        refuses: what it answers to every transaction that is pushed.
        asked: every call.
    """

    ledger: Ledger
    up: bool = True
    lag: int = 0
    chain_id: str = two_nodes.CHAIN_ID
    garbage: bytes | None = None
    delay_s: float = _LATENCY_S
    loses: set[str] = field(default_factory=set)
    queries: bool = True
    refuses: Refusal | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def head(self) -> Block:
        """The head block as this node has it."""
        number = max(FIRST, self.ledger.head.number - self.lag)
        return self.ledger.blocks[number - FIRST]

    def answer(self, call: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Return the HTTP status and the answer's JSON."""
        self.asked.append(call)
        try:
            return getattr(self, f"_{call}", _absent)(body)
        except Refusal as refusal:
            return refusal.status, _envelope(refusal)

    # -- the chain -----------------------------------------------------------------------------------------

    def _get_info(self, _: dict[str, Any]) -> tuple[int, Any]:
        head = self.head
        final = self.ledger.blocks[head.irreversible - FIRST]
        return 200, _INFO | {
            "chain_id": self.chain_id,
            "head_block_num": head.number,
            "head_block_id": head.id,
            "head_block_time": _time(head.slot),
            "head_block_producer": head.producer,
            "last_irreversible_block_num": final.number,
            "last_irreversible_block_id": final.id,
            "last_irreversible_block_time": _time(final.slot),
        }

    def _get_block_info(self, body: dict[str, Any]) -> tuple[int, Any]:
        block = self.ledger.block(body["block_num"])
        if block is None or block.number > self.head.number:
            return 400, _BLOCK_ABSENT
        return 200, _BLOCK | {
            "block_num": block.number,
            "id": block.id,
            "timestamp": _time(block.slot),
            "producer": block.producer,
            "previous": block.previous,
            "schedule_version": block.schedule_version,
            "producer_signature": block.signature,
        }

    def _get_producer_schedule(self, _: dict[str, Any]) -> tuple[int, Any]:
        head = self.head
        proposed = None if self.ledger.savanna else head.proposed
        return 200, {
            "active": _schedule(head.active),
            "pending": _schedule(head.pending.what) if head.pending is not None else None,
            "proposed": _schedule(proposed.what) if proposed is not None else None,
        }

    def _get_table_rows(self, body: dict[str, Any]) -> tuple[int, Any]:
        head, rows = self.head, []
        match body["table"]:
            case "producers" if head.row is not None and not head.row.keys:
                rows = [_ROW_UNREGISTERED | {"owner": US, "url": head.row.url, "location": head.row.location}]
            case "producers" if head.row is not None:
                keys = [{"key": key.fc, "weight": 1} for key in head.row.keys]
                rows = [
                    _ROW
                    | {
                        "owner": US,
                        "url": head.row.url,
                        "location": head.row.location,
                        "producer_key": head.row.keys[0].fc,
                        "producer_authority": ["block_signing_authority_v0", {"threshold": 1, "keys": keys}],
                    }
                ]
            case "finkeys":
                rows = [
                    {"id": place, "finalizer_name": US, "finalizer_key": key, "finalizer_key_binary": ""}
                    for place, key in enumerate(FINALIZERS.values())
                ]
            case "finalizers" if head.finalizer is not None:
                place = list(FINALIZERS.values()).index(head.finalizer)
                rows = [{"finalizer_name": US, "active_key_id": place}]
        return 200, {"rows": rows, "more": False, "next_key": ""}

    def _get_finalizer_info(self, body: dict[str, Any]) -> tuple[int, Any]:
        # S:plugins/chain_plugin/chain_plugin.cpp:1742-1785; not recorded: no Spring runs in the tests.
        if not self.ledger.savanna:
            return _absent(body)
        keys = {"alpha": two_nodes.finalizer_key(77), US: self.head.finalizer}
        finalizers = [
            {"description": name, "weight": 1, "public_key": key}
            for name, key in keys.items()
            if key is not None
        ]
        policy = {"generation": 1, "threshold": 2, "finalizers": finalizers}
        return 200, {
            "active_finalizer_policy": policy,
            "pending_finalizer_policy": None,
            "last_tracked_votes": [],
        }

    # -- accounts ------------------------------------------------------------------------------------------

    def _get_account(self, _: dict[str, Any]) -> tuple[int, Any]:
        account = copy.deepcopy(_ACCOUNT)
        account["account_name"] = US
        account["eosio_any_linked_actions"] = []
        others = [each for each in account["permissions"] if each["perm_name"] != "rotate"]
        rotate = next(each for each in account["permissions"] if each["perm_name"] == "rotate")
        keys = self.ledger.permission
        rotate["required_auth"]["keys"] = [{"key": key.fc, "weight": 1} for key in sorted(keys or ())]
        rotate["linked_actions"] = [{"account": "eosio", "action": action} for action in ACTIONS]
        account["permissions"] = others if keys is None else [*others, rotate]
        return 200, account

    def _get_accounts_by_authorizers(self, body: dict[str, Any]) -> tuple[int, Any]:
        if not self.queries:
            return _absent(body)
        keys = {PublicKey.parse(each) for each in body["keys"]} & (self.ledger.permission or set())
        found = [
            {
                "account_name": US,
                "permission_name": "rotate",
                "authorizing_key": key.fc,
                "weight": 1,
                "threshold": 1,
            }
            for key in sorted(keys)
        ]
        return 200, {"accounts": found}

    # -- transactions --------------------------------------------------------------------------------------

    def _send_transaction2(self, body: dict[str, Any]) -> tuple[int, Any]:
        if self.refuses is not None:
            raise self.refuses
        pushed = body["transaction"]
        transaction = self.ledger.take(bytes.fromhex(pushed["packed_trx"]), pushed["signatures"], self.head)
        return 202, _PUSHED | {"transaction_id": transaction.id()}

    def _compute_transaction(self, body: dict[str, Any]) -> tuple[int, Any]:
        transaction = self.ledger.judge(bytes.fromhex(body["transaction"]["packed_trx"]), self.head)
        return 200, _PUSHED | {"transaction_id": transaction.id()}


#: The finalizer keys that the producer has registered, by the node that has them.
FINALIZERS: Final = {"a": two_nodes.finalizer_key(1), "b": two_nodes.finalizer_key(2)}


@dataclass
class Network:
    """Every API node by the port of its address.

    Attributes:
        look: called before each question; it lets the chain go on.
        pushed: called with the bytes of each transaction that an API node was sent.
    """

    look: Callable[[], None] = lambda: None
    pushed: Callable[[bytes], None] = lambda _: None
    apis: dict[int, Api] = field(default_factory=dict)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one HTTP request, as the transport of an httpx.AsyncClient."""
        api = self.apis[request.url.port or 80]
        call = request.url.path.removeprefix("/v1/chain/")
        body = json.loads(request.content)
        self.look()
        if call == "send_transaction2":
            self.pushed(bytes.fromhex(body["transaction"]["packed_trx"]))
        if not api.up:
            raise httpx.ConnectError("connection refused", request=request)
        status, answer = api.answer(call, body)
        await asyncio.sleep(api.delay_s)
        if call in api.loses:
            raise httpx.RemoteProtocolError("the other side closed the connection", request=request)
        if api.garbage is not None:
            return _response(200, api.garbage)
        return _response(status, json.dumps(answer).encode())


def _response(status: int, content: bytes) -> httpx.Response:
    # As a stream: the client counts the bytes while they come.
    return httpx.Response(status, stream=httpx.ByteStream(content))


def _absent(_: dict[str, Any]) -> tuple[int, Any]:
    return 404, _ABSENT


def _envelope(refusal: Refusal) -> Any:  # noqa: ANN401 - JSON
    answer = copy.deepcopy(_REFUSED)
    answer["code"] = refusal.status
    answer["error"] |= {"code": refusal.code, "name": refusal.name, "what": refusal.name.replace("_", " ")}
    answer["error"]["details"][0]["message"] = str(refusal)
    return answer


def _time(slot: int) -> str:
    return moment(slot).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _schedule(schedule: Schedule) -> dict[str, Any]:
    return {
        "version": schedule.version,
        "producers": [
            {
                "producer_name": name,
                "authority": [0, {"threshold": 1, "keys": [{"key": key.fc, "weight": 1} for key in keys]}],
            }
            for name, keys in schedule.producers
        ],
    }
