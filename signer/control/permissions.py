"""`/v1/permissions/{chain}`: the permission of the rotation keys, as it should be made and as it is."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter

from signer.antelope.name import parse_name
from signer.control import chains, problem
from signer.control.access import Viewer
from signer.control.problem import ProblemError
from signer.control.services import Given
from signer.control.view import View
from signer.errors import ChainError
from signer.policy.bypass import bypasses
from signer.rotation import permission
from signer.rotation.permission import Check, Verdict

if TYPE_CHECKING:
    from signer.config import Config

router = APIRouter(prefix="/v1/permissions", tags=["permissions"], responses=problem.RESPONSES)


class CheckView(View):
    """One thing that was looked at."""

    name: str
    """Its stable name."""
    verdict: Verdict
    """`failure` has to be put right, `warning` is unwise, `unknown` is what no API node tells."""
    text: str
    """What was found."""
    remedy: str
    """What to do about it; empty if nothing is to be done."""


class PermissionView(View):
    """The permission that this signer's rotation keys have."""

    chain: str
    """The chain's name in the configuration."""
    producer: str
    """The account."""
    permission: str
    """The permission's name."""
    commands: list[list[str]]
    """The arguments of each `cleos` call that the account's owner makes once, in this order."""
    too_few_keys: str
    """A warning if a single key would be in the permission; else empty."""
    checks: list[CheckView]
    """What was found on chain."""
    good: bool
    """Whether no check is a failure."""


def _around(config: Config, chain: str) -> Check:
    """Whether the signer's own policies let an account key do what only a rotation should. No chain knows that."""
    found = [each for each in bypasses(config) if each.chain == chain]
    if not found:
        return Check("bypass", Verdict.OK, "no policy lets an account key do what only a rotation should")
    text = "; ".join(f"{each.at}: {each.text}" for each in found)
    remedy = (
        "take these rules out of [[policies]], then signer reload: signer rotate does that with a preflight"
    )
    return Check("bypass", Verdict.FAILURE, text, remedy)


@router.get("/{chain}")
async def show(chain: str, _: Viewer, services: Given) -> PermissionView:
    """Return how the permission is made, and whether it is as it should be. The chain is asked."""
    config = services.config
    chains.choose(config, chain)
    chains.require(config, chain)
    settings, reader = config.chains[chain], services.chains[chain]
    assert settings.producer is not None  # noqa: S101 - `require` looked
    own = [key.public_key for key in config.keys if key.role == "rotation" and key.chain == chain]
    block_keys = {
        key.public_key: key.node for key in config.keys if key.role == "block" and key.node is not None
    }
    try:
        account, authorized = await asyncio.gather(
            reader.account(parse_name(settings.producer)), reader.authorizers([*own, *block_keys])
        )
    except ChainError as error:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "chain",
            f"No API node of {chain} tells: {error}.",
            {"retry-after": "5"},
        ) from None
    checks = [
        *permission.verify(account, authorized, chain=settings, own=own, block_keys=block_keys),
        _around(config, chain),
    ]
    return PermissionView(
        chain=chain,
        producer=settings.producer,
        permission=settings.rotation_permission,
        commands=permission.commands(settings, own),
        too_few_keys=permission.too_few(settings, own),
        checks=[
            CheckView(name=each.name, verdict=each.verdict, text=each.text, remedy=each.remedy)
            for each in checks
        ],
        good=all(each.verdict is not Verdict.FAILURE for each in checks),
    )
