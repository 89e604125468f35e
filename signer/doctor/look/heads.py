"""API nodes and nodeos, each asked directly for its get_info, all at once."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx

from signer.chain import reading
from signer.chain.api_node import ApiNode
from signer.doctor.facts import HeadFact
from signer.errors import ChainError

if TYPE_CHECKING:
    from collections.abc import Mapping


def heads(urls: Mapping[str, float]) -> dict[str, HeadFact]:
    """Return what each address says. `urls` has for each how long it may take, in s."""
    return asyncio.run(_heads(urls))


async def _heads(urls: Mapping[str, float]) -> dict[str, HeadFact]:
    async with httpx.AsyncClient(trust_env=False, timeout=None) as http:  # noqa: S113 - ApiNode bounds each question
        found = await asyncio.gather(*(_head(http, url, timeout_s) for url, timeout_s in urls.items()))
    return {each.url: each for each in found}


async def _head(http: httpx.AsyncClient, url: str, timeout_s: float) -> HeadFact:
    try:
        node = ApiNode(
            url, "", http, timeout_s=timeout_s, clock=lambda: datetime.now(UTC), monotonic=time.monotonic
        )
        info = await node.ask("get_info", {}, reading.info)
    except ChainError as error:
        return HeadFact(url, problem=str(error).removeprefix(f"{url}: "))
    ahead_s = (datetime.now(UTC) - info.head.time).total_seconds()
    return HeadFact(url, info.chain_id, info.head.number, info.head.time, info.server_version, ahead_s)
