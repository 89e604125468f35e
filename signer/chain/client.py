"""Asks a chain through several API nodes and takes none of them at its word.

Every question goes first to the healthy nodes in the order of the configuration, then to those that lag, and the first
answer counts. A node that gives no answer or serves another chain is left alone for a while that doubles; it is looked
at all the same when no other is left.

Only ChainError leaves this module, and asyncio.CancelledError.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Final, Self, TypeVar

import httpx

from signer.chain import reading, refusals
from signer.chain.api_node import ApiNode, not_served
from signer.chain.api_nodes import ApiNodes
from signer.chain.values import ApiState, ApiStatus, DryRun, FinalizerKeys, ProducerAnswer, PushResult
from signer.errors import ChainAnswerError, ChainError, ChainRefusedError, ChainUnreachableError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from signer.antelope.keys import PublicKey
    from signer.antelope.name import Name
    from signer.chain.answer import Answer
    from signer.chain.values import (
        Account,
        Authorized,
        Block,
        Feature,
        FinalizerInfo,
        Info,
        ProducerRow,
        Schedules,
        TransactionStatus,
    )

T = TypeVar("T")

#: Connections that wait for the next question, s. nodeos never closes them; what stands before it may.
_KEEP_ALIVE_S: Final = 30.0

#: unknown_block_exception, contract_table_query_exception (a table that the contract does not have) and
#: account_query_exception (L:libraries/chain/include/eosio/chain/exceptions.hpp:332-347, 417-424).
UNKNOWN_BLOCK: Final = 3100002
_UNKNOWN_TABLE: Final = 3060003
_ACCOUNT_QUERY: Final = 3060002
#: More finalizer keys than anyone registers.
_MAX_FINALIZER_KEYS: Final = 100
#: Features in one page, and pages. A chain has about 30 features.
_FEATURES: Final = 1000
_FEATURE_PAGES: Final = 10


def _utc_now() -> datetime:
    return datetime.now(UTC)


@cache
def _tls() -> ssl.SSLContext:
    """What https addresses are verified with. To read the roots takes 25 ms; every node of ours has a client."""
    return httpx.create_ssl_context(trust_env=False)


class ChainClient:
    """One chain.

    Args:
        name: what the configuration calls it.
        chain_id: 64 lower-case hex digits.
        urls: its API nodes, at least one, in the order in which they are asked.
        timeout_s: the longest that one API node may take for one question, s. A call may ask several of them.
        clock: the time of day (UTC).
        monotonic: seconds that only grow.

    Raises:
        ChainError: no address, or one that is none.
    """

    def __init__(
        self,
        name: str,
        chain_id: str,
        urls: Sequence[str],
        *,
        timeout_s: float,
        clock: Callable[[], datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        # trust_env: neither proxies nor passwords from the environment or from ~/.netrc.
        self._http = httpx.AsyncClient(
            timeout=timeout_s,
            verify=_tls(),
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE_S),
        )
        nodes = (
            ApiNode(url, chain_id, self._http, timeout_s=timeout_s, clock=clock, monotonic=monotonic)
            for url in urls
        )
        self._nodes = ApiNodes(name, nodes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel what is under way and close the connections."""
        await self._nodes.aclose()
        await self._http.aclose()

    # -- the chain -------------------------------------------------------------------------------------------

    async def info(self) -> Info:
        """get_info of the first usable API node, asked now.

        Raises:
            ChainError: no node is usable.
        """
        await self._nodes.look(0.0)
        for node in self._nodes.usable():
            if node.info is not None:
                return node.info
        raise self._nodes.nobody({})

    async def block(self, wanted: int | str) -> Block:
        """The header of a block, by number or by id (64 hex digits).

        A number is that of the node's own fork, as long as the block is not irreversible.

        Raises:
            ChainRefusedError: no node has it (code 3100002), or another reason.
            ChainError: no node tells.
        """
        read = partial(reading.block, wanted=wanted)
        if isinstance(wanted, int):
            return await self._first("get_block_info", {"block_num": wanted}, read)
        body = {"block_num_or_id": wanted}
        header = await self._optional("get_block_header", body, partial(reading.header, wanted=wanted))
        # Before Leap 5 there is only the whole block.
        return header if header is not None else await self._first("get_block", body, read)

    async def features(self) -> tuple[Feature, ...]:
        """The activated protocol features, in the order of their activation. Raises ChainError."""
        found: list[Feature] = []
        body: dict[str, int] = {"limit": _FEATURES}
        for _ in range(_FEATURE_PAGES):
            page, more = await self._first("get_activated_protocol_features", body, reading.features)
            found += page
            if more is None:
                return tuple(found)
            body["lower_bound"] = more
        raise ChainAnswerError(f"the chain {self._name} has more than {_FEATURE_PAGES} pages of features")

    # -- producers -------------------------------------------------------------------------------------------

    async def producer(self, name: Name) -> ProducerRow | None:
        """The row of producer `name`, None if it never registered. Raises ChainError."""
        return await self._first(
            "get_table_rows", _row_of("producers", name), partial(reading.producer, name=name)
        )

    async def producer_everywhere(self, name: Name) -> list[ProducerAnswer]:
        """What each configured API node says of the row of producer `name`, in their order. Raises nothing.

        A node whose head is older than a block that another one calls irreversible has no say, so whatever `info`
        called irreversible before is in every row here.
        """
        await self._nodes.look(0.0)
        return list(await asyncio.gather(*(self._producer_at(node, name) for node in self._nodes)))

    async def _producer_at(self, node: ApiNode, name: Name) -> ProducerAnswer:
        # Also of nodes that have fallen silent since: somebody may have drawn conclusions from what they said.
        infos = [each.info for each in self._nodes if each.info is not None]
        if node.status is not ApiStatus.HEALTHY or node.info is None:
            return ProducerAnswer(node.url, None, ChainUnreachableError(f"{node.url}: {node.reason}"))
        if node.info.head.time < max(info.irreversible.time for info in infos):
            behind = ChainUnreachableError(
                f"{node.url}: its head is older than what others call irreversible"
            )
            return ProducerAnswer(node.url, None, behind)
        try:
            row = await node.ask(
                "get_table_rows", _row_of("producers", name), partial(reading.producer, name=name)
            )
        except ChainError as error:
            self._nodes.report()
            return ProducerAnswer(node.url, None, error)
        return ProducerAnswer(node.url, row, None)

    async def schedules(self) -> Schedules:
        """The active, the pending and the proposed schedule. Raises ChainError."""
        return await self._first("get_producer_schedule", {}, reading.schedules)

    # -- accounts --------------------------------------------------------------------------------------------

    async def account(self, name: Name) -> Account | None:
        """The account `name`, None if the chain has none of that name. Raises ChainError."""
        try:
            return await self._first("get_account", {"account_name": name}, reading.account)
        except ChainRefusedError as error:
            # The code stands for every failure of the call; the words are chainbase's for a missing object.
            if error.code == _ACCOUNT_QUERY and "unknown key" in error.message:
                return None
            raise

    async def authorizers(self, keys: Sequence[PublicKey]) -> tuple[Authorized, ...] | None:
        """Every permission of every account that one of `keys` takes part in.

        Returns:
            None if no node can answer: `enable-account-queries` is off by default.

        Raises:
            ChainError: no node tells.
        """
        body = {"accounts": [], "keys": [key.fc for key in keys]}
        return await self._optional("get_accounts_by_authorizers", body, reading.authorized)

    # -- finalizers ------------------------------------------------------------------------------------------

    async def finalizers(self) -> FinalizerInfo:
        """The finalizer policies.

        Raises:
            ChainRefusedError: no node knows of finalizers (status 404): they all run Leap.
            ChainError: no node tells.
        """
        return await self._first("get_finalizer_info", {}, reading.finalizers)

    async def finalizer_keys(self, name: Name) -> FinalizerKeys | None:
        """The finalizer keys that the system contract has for `name`; none of them is no error.

        Returns:
            None if the system contract knows no finalizers.

        Raises:
            ChainError: no node tells.
        """
        by_name = {"index_position": "2", "key_type": "name", "limit": _MAX_FINALIZER_KEYS}
        try:
            keys = await self._first(
                "get_table_rows",
                _row_of("finkeys", name) | by_name,
                partial(reading.finalizer_keys, name=name),
            )
            active = await self._first(
                "get_table_rows",
                _row_of("finalizers", name),
                partial(reading.active_finalizer_key, name=name),
            )
        except ChainRefusedError as error:
            if error.code == _UNKNOWN_TABLE:
                return None
            raise
        return FinalizerKeys(name, tuple(keys.values()), keys.get(active) if active is not None else None)

    # -- transactions ----------------------------------------------------------------------------------------

    async def push(self, body: Mapping[str, object]) -> PushResult:
        """Send a signed transaction to all usable API nodes at once, until one has it.

        The other nodes' answers are not waited for, but they all get it. That a node has it already is success. A node
        has a transaction long before the chain has: the row and the blocks are the proof.

        Args:
            body: the packed form: signatures, compression, packed_context_free_data, packed_trx.

        Raises:
            ChainRefusedError: at least one node refused and none took it; where one of them might take it later,
                with that one's reason. `certain` says whether all that were asked refused.
            ChainError: nobody answered. Whether a node has it is unknown.
        """
        await self._nodes.look()
        nodes = self._nodes.usable()
        sends = {node: self._nodes.spawn(self._send(node, body)) for node in nodes}
        waiting = set(sends.values())
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                result = each.result()
                if isinstance(result, PushResult):
                    return result
        results = {node: send.result() for node, send in sends.items()}
        raise self._nodes.nobody(
            {node: error for node, error in results.items() if isinstance(error, ChainError)}
        )

    async def _send(self, node: ApiNode, body: Mapping[str, object]) -> PushResult | ChainError:
        """Send to one node, by the newest call that it serves. Raises nothing: nobody may be waiting any more."""
        # Without return_failure_trace: with it, the status of a failure is 202.
        newest = {"return_failure_trace": False, "retry_trx": False, "transaction": body}
        answer = await self._sent(node, "send_transaction2", newest)
        for older in ("send_transaction", "push_transaction"):
            if not (isinstance(answer, ChainRefusedError) and not_served(answer)):
                break
            answer = await self._sent(node, older, body)
        return answer

    async def _sent(self, node: ApiNode, call: str, body: Mapping[str, object]) -> PushResult | ChainError:
        try:
            await node.transact(call, body)
        except ChainError as error:
            self._nodes.report()
            if isinstance(error, ChainRefusedError) and error.code == refusals.DUPLICATE:
                return PushResult(node.url, duplicate=True)
            return error
        return PushResult(node.url, duplicate=False)

    async def dry_run(self, body: Mapping[str, object]) -> DryRun | None:
        """Ask what would become of a transaction if it were pushed now. It needs no signature.

        Measured on nodeos 4.1-dev (tests/chainclient): checked are its form, its expiration, TAPOS, that account and
        permission exist, that the permission is linked to the action, everything that the contract checks, and RAM,
        NET and CPU of the account. **Not checked is whether the signatures satisfy the permission** (L:controller.cpp,
        push_transaction passes check_but_dont_fail): none and wrong ones are taken, as long as they have the form of
        signatures. Without its signature a transaction is billed fewer bytes.

        Args:
            body: as for `push`; `signatures` may be empty.

        Returns:
            None if no node can: compute_transaction came with Leap 3.1.

        Raises:
            ChainError: no node tells.
        """
        try:
            return await self._nodes.first(partial(_compute, body=body))
        except ChainRefusedError as error:
            if error.code == refusals.DUPLICATE:
                # It took these bytes before, in a try whose answer was lost: nodeos keeps what it computed until its
                # next block.
                return DryRun(error.api, None, None, None)
            return None if not_served(error) else DryRun(error.api, error, None, None)

    async def transaction_status(self, transaction_id: str) -> TransactionStatus | None:
        """What the first API node that follows transactions knows of this one.

        Args:
            transaction_id: 64 hex digits.

        Returns:
            None if no node follows transactions: `transaction-finality-status-max-storage-size-gb` is off by default.

        Raises:
            ChainError: no node tells.
        """
        try:
            return await self._nodes.first(partial(_status, transaction_id=transaction_id))
        except ChainRefusedError as error:
            if not_served(error):
                return None
            raise

    # -- API nodes -------------------------------------------------------------------------------------------

    def health(self) -> list[ApiState]:
        """How each API node was when it was last asked, in the order of the configuration. Asks nobody."""
        return self._nodes.health()

    async def _first(self, call: str, body: object, read: Callable[[Answer], T]) -> T:
        """The first answer to a question. Raises as `ApiNodes.first`."""
        return await self._nodes.first(lambda node: node.ask(call, body, read))

    async def _optional(self, call: str, body: object, read: Callable[[Answer], T]) -> T | None:
        """As `_first`, but None where no node that answers serves such a question."""
        try:
            return await self._first(call, body, read)
        except ChainRefusedError as error:
            if not_served(error):
                return None
            raise


def _row_of(table: str, name: Name) -> dict[str, object]:
    """The question for the row `name` of a table of the system contract."""
    return {
        "code": "eosio",
        "scope": "eosio",
        "table": table,
        "lower_bound": name,
        "upper_bound": name,
        "limit": 1,
        "json": True,
    }


async def _compute(node: ApiNode, body: Mapping[str, object]) -> DryRun:
    pushed = await node.transact("compute_transaction", {"transaction": body})
    return DryRun(node.url, None, pushed.cpu_us, pushed.net_bytes)


async def _status(node: ApiNode, transaction_id: str) -> TransactionStatus:
    read = partial(reading.status, api=node.url)
    return await node.ask("get_transaction_status", {"id": transaction_id}, read)
