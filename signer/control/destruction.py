"""`/v1/keys/{key}/destroy`: whether a block key may be destroyed, and who decided it.

The key itself is deleted by the command line on the signer's host, which can log in to the block token; this process
has no PIN of it.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from fastapi import APIRouter

from signer.antelope.keys import PublicKey
from signer.antelope.name import parse_name
from signer.control import problem
from signer.control.access import Admin
from signer.control.problem import ProblemError
from signer.control.services import Given, Services
from signer.control.view import View
from signer.errors import ChainError, FormatError
from signer.rotation import ring

router = APIRouter(prefix="/v1/keys", tags=["keys"], responses=problem.RESPONSES)


class Released(View):
    """A key that nothing needs any more."""

    key: str
    """The public key. It may be deleted from its token now."""


@router.post("/{key}/destroy")
async def destroy(key: str, person: Admin, services: Given) -> Released:
    """Release a block key for its destruction, if it is in no schedule, no row, no node and no configuration."""
    public_key = parse(key)
    reason = await obstacle(public_key, services)
    if reason is not None:
        raise ProblemError(HTTPStatus.CONFLICT, "in-use", f"{public_key} must not be destroyed: {reason}.")
    await services.supervisor.act("key-destroy", person.name, str(public_key))
    return Released(key=str(public_key))


def parse(key: str) -> PublicKey:
    """Return the key that a path names, or raise a ProblemError, 422 `invalid`."""
    try:
        return PublicKey.parse(key)
    except FormatError:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid",
            "The path does not name a public key: EOS..., PUB_K1_... or PUB_R1_...",
            errors=[{"at": ["path", "key"], "kind": "form"}],
        ) from None


async def obstacle(public_key: PublicKey, services: Services) -> str | None:
    """Return why a key must not be destroyed, None if nothing is against it."""
    config = services.config
    uses = [services.journal.uses(name).get(public_key) for name in config.chains]
    signed = await services.supervisor.last_issued(public_key)
    moments = [use.last_at for use in uses if use is not None] + ([] if signed is None else [signed.at])
    found = await asyncio.gather(*(_holders(services, name) for name in config.chains))
    return ring.may_destroy(
        public_key,
        config=config,
        chains=[each for each in found if each is not None],
        live=services.journal.live(),
        evidence=services.journal.evidence(),
        last_used_at=max(moments, default=None),
        now=services.clock(),
    )


async def _holders(services: Services, name: str) -> ring.Holders | None:
    """Return where a chain names block keys; None for a chain that this signer has nothing to do with."""
    chain, reader = services.config.chains[name], services.chains.get(name)
    if reader is None or chain.producer is None:
        config = services.config
        ours = any(key.role == "block" and config.chain_of(key) == name for key in config.keys)
        return ring.Holders(name, None, None, None) if ours else None
    try:
        info, row, schedules = await asyncio.gather(
            reader.info(), reader.producer(parse_name(chain.producer)), reader.schedules()
        )
    except ChainError:
        return ring.Holders(name, None, None, None)
    return ring.Holders(
        name,
        () if row is None else tuple(each.key for each in row.keys),
        {
            key
            for schedule in (schedules.active, schedules.pending, schedules.proposed)
            if schedule is not None
            for producer in schedule.producers
            for key in producer.keys
        },
        info.irreversible.time,
    )
