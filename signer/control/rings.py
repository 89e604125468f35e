"""`/v1/rings`: how many keys each node has left for its nights."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter

from signer.antelope.keys import Curve, PublicKey
from signer.antelope.name import parse_name
from signer.control import problem
from signer.control.access import Viewer
from signer.control.services import Given, Services
from signer.control.view import View
from signer.errors import ChainError
from signer.rotation import ring

if TYPE_CHECKING:
    from collections.abc import Mapping

router = APIRouter(prefix="/v1/rings", tags=["rings"], responses=problem.RESPONSES)


class RingView(View):
    """The block keys of one node, used one after the other."""

    node: str
    """The node's name in the configuration."""
    chain: str
    """Its chain's name in the configuration."""
    curve: Curve
    """The curve of the keys that a cycle takes."""
    unused: list[str]
    """Keys that a cycle may take, in this order."""
    used: list[str]
    """Keys that the producer's row named once."""
    unfit: list[str]
    """Keys that were never used and do not sign now."""
    nights_left: int
    """How many nights the unused keys last, with one cycle a night."""
    low: bool
    """Whether fewer are left than rotation.ring_low_water asks for."""


class RingList(View):
    """The rings of this signer."""

    rings: list[RingView]
    """One for each node, in the order of the configuration."""


@router.get("")
async def list_rings(_: Viewer, services: Given) -> RingList:
    """Return what is left of each node's ring."""
    config = services.config
    states = await key_states(services)
    names = sorted({node.chain for node in config.nodes.values()})
    row_keys = dict(
        zip(names, await asyncio.gather(*(_row_key(services, name) for name in names)), strict=True)
    )
    uses = {name: services.journal.uses(name) for name in names}
    return RingList(
        rings=[
            _view(
                name,
                node.chain,
                ring.level(config, name, uses[node.chain], states, current=row_keys[node.chain]),
            )
            for name, node in config.nodes.items()
        ]
    )


async def key_states(services: Services) -> Mapping[PublicKey, str]:
    """Return the state of every key, as the signing process has it."""
    status = await services.supervisor.status()
    return {
        PublicKey.parse(each["public_key"]): str(each["state"])
        for each in status.get("keys") or ()
        if isinstance(each, dict)
    }


async def _row_key(services: Services, chain: str) -> PublicKey | None:
    """Return the one key that the producer's row names, None where nobody tells: the ring is shown all the same."""
    producer, reader = services.config.chains[chain].producer, services.chains.get(chain)
    if producer is None or reader is None:
        return None
    try:
        row = await reader.producer(parse_name(producer))
    except ChainError:
        return None
    return row.keys[0].key if row is not None and len(row.keys) == 1 else None


def _view(node: str, chain: str, level: ring.RingLevel) -> RingView:
    return RingView(
        node=node,
        chain=chain,
        curve=level.curve,
        unused=[str(key) for key in level.unused],
        used=[str(key) for key in level.used],
        unfit=[str(key) for key in level.unfit],
        nights_left=len(level.unused),
        low=level.low,
    )
