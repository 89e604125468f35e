"""Gathers what is known of a producer now, for a person."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from signer.chain.values import ApiStatus
from signer.errors import ChainError
from signer.rotation.producer_view import ApiNode, ChainView

if TYPE_CHECKING:
    from signer.antelope.keys import PublicKey
    from signer.chain.values import ApiState, Schedule
    from signer.rotation.site import Site


async def chain_view(site: Site) -> tuple[ChainView | None, str]:
    """Return what the chain says of the producer, or None and why nobody tells."""
    try:
        info, row, schedules = await asyncio.gather(
            site.client.info(), site.client.producer(site.producer), site.client.schedules()
        )
    except ChainError as error:
        return None, str(error)

    def ours(schedule: Schedule | None) -> tuple[PublicKey, ...]:
        producers = schedule.producers if schedule is not None else ()
        return tuple(key for each in producers if each.name == site.producer for key in each.keys)

    return (
        ChainView(
            consensus=info.consensus.value,
            head_number=info.head.number,
            head_time=info.head.time,
            irreversible_number=info.irreversible.number,
            registered=row.is_active if row is not None else None,
            row_keys=tuple(each.key for each in row.keys) if row is not None else (),
            active=ours(schedules.active),
            pending=ours(schedules.pending) if schedules.pending is not None else None,
            proposed=ours(schedules.proposed) if schedules.proposed is not None else None,
        ),
        "",
    )


def api_node(state: ApiState) -> ApiNode:
    """Return an API node as a person sees it."""
    return ApiNode(
        state.api,
        state.status in (ApiStatus.HEALTHY, ApiStatus.LAGGING),
        state.reason,
        state.head.number if state.head is not None else None,
        state.head.time if state.head is not None else None,
    )
