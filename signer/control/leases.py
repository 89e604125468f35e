"""`/v1/leases`: which node may sign for a producer, and giving that to another one."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from signer.control import problem
from signer.control.access import Operator, Viewer
from signer.control.problem import ProblemError
from signer.control.services import Given
from signer.control.view import Body, View

if TYPE_CHECKING:
    from signer.config import Config

router = APIRouter(prefix="/v1/leases", tags=["leases"], responses=problem.RESPONSES)


class TakeBody(Body):
    """Who gets the lease."""

    node: str
    """The node's name in the configuration."""
    reason: Annotated[str, Field(min_length=1, max_length=400, pattern=r"^[^\x00-\x1f\x7f]*$")]
    """Why, for those who wonder. Needed."""


class LeaseView(View):
    """The lease of one chain's producer."""

    chain: str
    """The chain's name in the configuration."""
    mode: Literal["off", "observe", "enforce"]
    """Whether others are refused (`enforce`), only told of (`observe`), or neither."""
    holder: str | None
    """The node that holds it; null: nobody does, or the signing process does not answer."""
    claim: str | None
    """How it came to it: `first`, `silence`, `authority`, `missed`, `successor` or `taken`."""
    since: float | None
    """When it got it, in s since 1970."""
    signed_at: float | None
    """Its last signature, or when it got the lease, in s since 1970."""
    silence_s: int
    """Another node takes it when the holder was given no signature for so many s."""
    chain_seen: bool
    """Whether anything is known of the chain; if not, only silence and people move the lease."""


class LeaseList(View):
    """The leases of this signer."""

    leases: list[LeaseView]
    """One for each chain that has nodes."""


class Taken(View):
    """Nobody else is given a signature for this producer after this answer."""

    chain: str
    """The chain."""
    node: str
    """The node that holds the lease now."""


@router.get("")
async def list_leases(_: Viewer, services: Given) -> LeaseList:
    """Return who holds the leases."""
    guards: dict[str, Any] = (await services.supervisor.status()).get("guards", {})
    config = services.config
    chains = dict.fromkeys(node.chain for node in config.nodes.values())
    return LeaseList(leases=[_view(config, chain, guards.get(chain, {})) for chain in chains])


@router.post("/{chain}")
async def take(chain: str, body: TakeBody, person: Operator, services: Given) -> Taken:
    """Give the lease to a node. Asking again changes nothing but the time from which silence counts."""
    config = services.config
    if chain not in config.chains:
        known = ", ".join(config.chains) or "none"
        raise ProblemError(
            HTTPStatus.NOT_FOUND, "unknown-chain", f"No chain of that name is configured; known are: {known}."
        )
    if body.node not in config.nodes or config.nodes[body.node].chain != chain:
        raise ProblemError(HTTPStatus.NOT_FOUND, "unknown-node", "No node of that name is on this chain.")
    await services.supervisor.take_lease(chain, body.node, person.name, body.reason)
    return Taken(chain=chain, node=body.node)


def _view(config: Config, chain: str, state: dict[str, Any]) -> LeaseView:
    return LeaseView(
        chain=chain,
        mode=config.lease_mode(chain),
        holder=state.get("holder"),
        claim=state.get("claim"),
        since=state.get("since"),
        signed_at=state.get("signed_at"),
        silence_s=state.get("silence_s", config.lease_silence_s(chain)),
        chain_seen=state.get("chain_seen", False),
    )
