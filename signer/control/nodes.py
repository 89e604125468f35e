"""`/v1/nodes`: the nodeos instances, and how it is known which keys they list."""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final, Literal

from fastapi import APIRouter
from pydantic import AwareDatetime, Field

from signer.antelope.keys import PublicKey
from signer.control import problem
from signer.control.access import Operator, Viewer
from signer.control.problem import ProblemError
from signer.control.services import Given, Services
from signer.control.view import Body, View
from signer.errors import FormatError
from signer.rotation.evidence import Evidence, EvidenceKind, declared, strongest

if TYPE_CHECKING:
    from collections.abc import Sequence

router = APIRouter(prefix="/v1/nodes", tags=["nodes"], responses=problem.RESPONSES)

#: Far more keys than a nodeos lists.
_MAX_EVIDENCE: Final = 1000
#: What a clock of another host may be ahead, in s.
_MAX_AHEAD_S: Final = 60.0


class ListedKey(View):
    """A block key of a node, and how it is known that the running nodeos lists it."""

    key: str
    """The public key."""
    kind: EvidenceKind
    """`signed`: it asked for this key and the block is on chain. `file`: read of the running nodeos. `declared`: only
    this signer's configuration says so. `unlisted`: looked at, and not listed."""
    at: datetime
    """When that was (UTC)."""
    proof: bool
    """Whether an unattended rotation may rely on it: `signed` or `file`, and not too old."""
    detail: str
    """The block, or the process that was looked at."""
    by: str
    """The person who looked, or `signer`."""


class NodeView(View):
    """One nodeos."""

    name: str
    """Its name in the configuration."""
    chain: str
    """Its chain's name in the configuration."""
    api: str | None
    """Its own HTTP API."""
    finalizer_key: str | None
    """Its finalizer key on a Savanna chain."""
    keys: list[ListedKey]
    """Its block keys, in the order of the configuration."""


class NodeList(View):
    """The nodes of this signer."""

    nodes: list[NodeView]
    """In the order of the configuration."""


class EvidenceItem(Body):
    """One block key that was looked for."""

    kind: Literal["file", "unlisted"]
    """Whether the running nodeos lists it."""
    key: str
    """The public key."""
    at: AwareDatetime
    """When it was read."""
    detail: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]
    """The process that was looked at, for a person."""


class EvidenceBody(Body):
    """What a look at one running nodeos gave."""

    evidence: Annotated[list[EvidenceItem], Field(min_length=1, max_length=_MAX_EVIDENCE)]
    """One item for each block key of the node."""


@router.get("")
async def list_nodes(_: Viewer, services: Given) -> NodeList:
    """Return the nodes and the best evidence for each of their keys."""
    known = services.journal.evidence()
    return NodeList(nodes=[_view(services, name, known) for name in services.config.nodes])


@router.post("/{name}/evidence")
async def attest(name: str, body: EvidenceBody, person: Operator, services: Given) -> NodeView:
    """Keep what somebody read of a running nodeos on its host."""
    config, now = services.config, services.clock()
    if name not in config.nodes:
        known = ", ".join(config.nodes)
        raise ProblemError(
            HTTPStatus.NOT_FOUND, "unknown-node", f"No node of that name is configured; known are: {known}."
        )
    own = {key.public_key for key in config.keys if key.role == "block" and key.node == name}
    found = []
    for index, item in enumerate(body.evidence):
        try:
            key = PublicKey.parse(item.key)
        except FormatError:
            raise _invalid(index, "key", "is not a public key") from None
        if key not in own:
            raise _invalid(index, "key", f"is no block key of node {name} in the signer's configuration")
        if item.at > now + timedelta(seconds=_MAX_AHEAD_S):
            raise _invalid(index, "at", "is in the future; set the clock of that host")
        found.append(Evidence(name, EvidenceKind(item.kind), key, item.at, item.detail, person.name))
    listed = sum(each.kind is EvidenceKind.FILE for each in found)
    detail = f"node {name}: {listed} of {len(found)} keys are listed; {found[0].detail}"
    await services.supervisor.act("node-attest", person.name, detail)
    for each in found:
        services.journal.add_evidence(each)
    return _view(services, name, services.journal.evidence())


def _invalid(index: int, field: str, what: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid",
        f"The {field} of item {index} {what}.",
        errors=[{"at": ["body", "evidence", str(index), field], "kind": "value"}],
    )


def _view(services: Services, name: str, known: Sequence[Evidence]) -> NodeView:
    config, now = services.config, services.clock()
    node = config.nodes[name]
    max_age = timedelta(hours=config.rotation.evidence_max_age_h)
    every = [*known, *declared(config, name, now)]
    best = [
        strongest(every, name, each.key, now=now, max_age=max_age) for each in declared(config, name, now)
    ]
    return NodeView(
        name=name,
        chain=node.chain,
        api=node.api,
        finalizer_key=node.finalizer_key,
        keys=[
            ListedKey(
                key=str(each.key),
                kind=each.kind,
                at=each.at,
                proof=each.is_proof(now, max_age),
                detail=each.detail,
                by=each.by,
            )
            for each in best
            if each is not None
        ],
    )
