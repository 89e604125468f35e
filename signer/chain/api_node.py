"""One API node of a chain: asks it, and keeps account of how it is.

Nothing is believed in form: an answer is bounded in size and time, and read field by field. The chain id is checked
with every get_info; between two of them an address may have changed hands, so what comes from here is evidence, and
what is signed carries the chain id itself.
"""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import httpx

from signer.chain import reading, refusals
from signer.chain.answer import Answer
from signer.chain.values import ApiStatus, Consensus, Info
from signer.errors import (
    ChainAnswerError,
    ChainError,
    ChainRefusedError,
    ChainUnreachableError,
    FormatError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

T = TypeVar("T")

#: A schedule of 125 producers has 30 kB; a full block of 1 MiB as JSON some MB.
MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
#: nodeos has no such endpoint (404), or what stands before it lets nobody have it (403, 405).
_NOT_SERVED: Final = frozenset({403, 404, 405})
_SUCCESS: Final = range(200, 300)
#: With a trace of failure, compute_transaction of some versions is a success (chain_plugin.cpp, compute_transaction).
_ACCEPTED: Final = 202
_REDIRECT: Final = range(300, 400)

#: How long a node is left alone after a failure, s: doubled with every further one. Another node is asked meanwhile.
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
#: How often a node of a legacy chain is asked whether it still is one, s. The change happens once in a chain's life.
_CONSENSUS_S: Final = 10.0


def not_served(error: ChainRefusedError) -> bool:
    """Whether the refusal means that this node does not answer such questions."""
    return error.status in _NOT_SERVED


class ApiNode:
    """One HTTP API.

    Args:
        url: `http://HOST:PORT` or `https://HOST:PORT`.
        chain_id: what it has to serve, 64 lower-case hex digits.
        http: the client to ask with; it follows no redirects.
        timeout_s: the longest that one question takes, s.
        clock: the time of day (UTC).
        monotonic: seconds that only grow.

    Attributes:
        url: its address.
        status: UNKNOWN, HEALTHY, UNREACHABLE, FAULTY or WRONG_CHAIN.
        reason: why it is not healthy, empty if it is.
        last_error: the last thing that went wrong, whenever that was.
        failures: times in a row that it gave no usable answer about itself, or none at all.
        info: what it said last; None before it said anything and after it served another chain.

    Raises:
        ChainError: the address is none. The message does not repeat it.
    """

    def __init__(
        self,
        url: str,
        chain_id: str,
        http: httpx.AsyncClient,
        *,
        timeout_s: float,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self.url = _checked(url)
        self._chain_id = chain_id
        self._http = http
        self._timeout_s = timeout_s
        self._clock = clock
        self._monotonic = monotonic
        self.status = ApiStatus.UNKNOWN
        self.reason = "not asked yet"
        self.last_error = ""
        self.failures = 0
        self.info: Info | None = None
        self._retry_at = 0.0
        self._consensus_until = 0.0

    @property
    def retry_in_s(self) -> float:
        """How long it is left alone from now, s."""
        return max(0.0, self._retry_at - self._monotonic())

    def is_due(self, max_age_s: float) -> bool:
        """Whether it is time for another `look`, when what is known has to be less than `max_age_s` old."""
        if self.info is not None and self.status is ApiStatus.HEALTHY:
            return self._monotonic() - self.info.received_s >= max_age_s
        return self.retry_in_s == 0.0

    # -- health ----------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Ask it how it is. Raises nothing."""
        started = self._monotonic()
        try:
            info = await self.ask("get_info", {}, reading.info)
            received_at, received_s = self._clock(), self._monotonic()
            if info.chain_id != self._chain_id:
                self.info = None
                self._fail(ApiStatus.WRONG_CHAIN, f"serves chain {info.chain_id}, not {self._chain_id}")
                return
            consensus = await self._consensus(info.head.number)
        except ChainUnreachableError:
            return  # it counts as unreachable already
        except ChainError:
            self._fail(ApiStatus.FAULTY, self.last_error)
        else:
            self.info = Info(
                api=self.url,
                chain_id=info.chain_id,
                head=info.head,
                irreversible=info.irreversible,
                consensus=consensus,
                server_version=info.server_version,
                received_at=received_at,
                received_s=received_s,
                latency_s=received_s - started,
            )
            self.status, self.reason, self.failures, self._retry_at = ApiStatus.HEALTHY, "", 0, 0.0

    async def _consensus(self, head: int) -> Consensus:
        if self.info is not None and (
            self.info.consensus is Consensus.SAVANNA or self._monotonic() < self._consensus_until
        ):
            return self.info.consensus
        block = await self.ask("get_block_info", {"block_num": head}, partial(reading.block, wanted=head))
        self._consensus_until = self._monotonic() + _CONSENSUS_S
        return block.consensus

    def _fail(self, status: ApiStatus, reason: str) -> None:
        self.status, self.reason, self.last_error = status, reason, reason
        self.failures += 1
        pause_s = min(_FIRST_PAUSE_S * 2.0 ** min(self.failures - 1, 10), _LONGEST_PAUSE_S)
        self._retry_at = self._monotonic() + pause_s

    # -- questions -------------------------------------------------------------------------------------------

    async def ask(self, call: str, body: object, read: Callable[[Answer], T]) -> T:
        """POST `body` to /v1/chain/`call` and return what `read` makes of the answer.

        Raises:
            ChainUnreachableError: no whole answer in time. The node counts as unreachable from now on.
            ChainRefusedError: nodeos' error envelope, or 403, 404 and 405 without one.
            ChainAnswerError: any other answer.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                status, data = await self._exchange(call, json.dumps(body).encode())
        except TimeoutError:
            raise self._unreachable(f"no answer to {call} within {self._timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError, OSError) as error:
            # RuntimeError: errors of the stream, and a client that was closed meanwhile. The exception's own words may
            # quote the address or what the other side sent.
            raise self._unreachable(f"no answer to {call} ({type(error).__name__})") from None
        try:
            if status in _SUCCESS:
                return read(Answer.parse(data))
            raise self._refusal(call, status, data)
        except FormatError as error:
            raise self._odd(f"{call}: {error}") from None

    async def transact(self, call: str, body: object) -> reading.Pushed:
        """Send a transaction. Raises as `ask`, and ChainRefusedError for a failure that comes as a trace."""
        pushed = await self.ask(call, body, reading.pushed)
        if pushed.error is not None:
            raise self._refused(pushed.error, _ACCEPTED)
        return pushed

    async def _exchange(self, call: str, content: bytes) -> tuple[int, bytes]:
        # Not compressed: a small answer could grow without bound while it is unpacked.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        url = f"{self.url}/v1/chain/{call}"
        async with self._http.stream("POST", url, content=content, headers=headers) as response:
            if response.status_code in _REDIRECT:
                raise self._odd(f"{call}: a redirect (HTTP {response.status_code}); give the address itself")
            data = bytearray()
            async for chunk in response.aiter_raw():
                data += chunk
                if len(data) > MAX_ANSWER_BYTES:
                    raise self._odd(f"{call}: more than {MAX_ANSWER_BYTES} bytes")
            return response.status_code, bytes(data)

    def _refusal(self, call: str, status: int, data: bytes) -> ChainError:
        try:
            error = reading.error(Answer.parse(data))
        except FormatError:
            if status not in _NOT_SERVED:
                return self._odd(f"{call}: HTTP {status} without nodeos' reason")
            error = reading.Error(0, "", f"does not serve {call}")
        return self._refused(error, status)

    def _refused(self, error: reading.Error, status: int) -> ChainRefusedError:
        self.last_error = f"{error.message} ({error.code} {error.name})"
        meaning = refusals.judge(error.code)
        return ChainRefusedError(
            error.code,
            error.name,
            error.message,
            api=self.url,
            status=status,
            final=meaning.final,
            words=meaning.words,
        )

    def _unreachable(self, what: str) -> ChainUnreachableError:
        self._fail(ApiStatus.UNREACHABLE, what)
        return ChainUnreachableError(f"{self.url}: {what}")

    def _odd(self, what: str) -> ChainAnswerError:
        self.last_error = what
        return ChainAnswerError(f"{self.url}: the answer to {what}")


def _checked(url: str) -> str:
    """`url` without a slash at its end. Raises ChainError."""
    try:
        parts = urllib.parse.urlsplit(url)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ChainError("the address of an API node is no URL") from None
    if not well_formed or parts.query or parts.fragment:
        raise ChainError("the address of an API node is not http://HOST:PORT or https://HOST:PORT")
    if parts.username is not None or parts.password is not None:
        raise ChainError("the address of an API node carries a user name or password, which logs would show")
    return url.rstrip("/")
