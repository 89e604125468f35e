"""`/v1/producers`: who signs now, and how one would know."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query

from signer.chain.watcher import ROUNDS
from signer.control import chains, problem
from signer.control.access import Viewer
from signer.control.problem import ProblemError
from signer.control.rotation_view import FindingView, RotationView
from signer.control.services import Given
from signer.control.view import View

if TYPE_CHECKING:
    from collections.abc import Iterable

    from signer.antelope.keys import PublicKey
    from signer.chain.watcher import Slot
    from signer.config import Config
    from signer.rotation.producer_view import ChainView, ProducerView

router = APIRouter(prefix="/v1/producers", tags=["producers"], responses=problem.RESPONSES)


class KeyView(View):
    """A key, and where it is."""

    key: str
    """The public key, as EOS... or PUB_R1_..."""
    node: str | None
    """The node of this signer that has it; null: it is not in this signer."""


class ApiNodeView(View):
    """One API node of the chain."""

    url: str
    """Its address."""
    usable: bool
    """Whether it is believed."""
    reason: str
    """Why it is not believed, or what is odd about it; empty if all is well."""
    head_number: int | None
    """Its head block; null: it gave no answer."""
    head_time: datetime | None
    """That block's timestamp (UTC)."""


class OnChainView(View):
    """What the chain says of the producer."""

    consensus: Literal["legacy", "savanna"]
    """How the chain agrees."""
    head_number: int
    """The head block."""
    head_time: datetime
    """Its timestamp (UTC)."""
    irreversible_number: int
    """The last irreversible block."""
    registered: bool | None
    """Whether the producer's row is active; null: there is no row."""
    row: list[KeyView]
    """The keys that the row names: with them the producer will sign."""
    active: list[KeyView]
    """The producer's keys in the active schedule: with them it signs now. Empty: it is not elected."""
    pending: list[KeyView] | None
    """The same in the pending schedule; null: there is none."""
    proposed: list[KeyView] | None
    """The same in the proposed schedule; null: there is none, or the chain does not show it."""


class ProducerSummary(View):
    """One producer as the configuration has it."""

    chain: str
    """The chain's name in the configuration."""
    chain_id: str
    """The chain's id, 64 hex digits."""
    producer: str
    """The account."""
    permission: str
    """The permission that the rotation keys have."""
    missing: list[str]
    """Keys of the configuration that a rotation needs and that are missing."""


class ProducerDetail(ProducerSummary):
    """One producer now."""

    signs: str | None
    """The node that signs now, by the active schedule; null: no one node of this signer, or not known."""
    on_chain: OnChainView | None
    """What the chain says; null: no API node tells."""
    problem: str
    """Why nobody tells; empty if somebody does."""
    apis: list[ApiNodeView]
    """The chain's API nodes."""
    permission_findings: list[FindingView] | None
    """What is wrong with the permission; null: nobody tells."""
    rotation: RotationView | None
    """The live rotation."""
    last: RotationView | None
    """The rotation that ended last."""


class SlotView(View):
    """A slot of the producer."""

    slot_time: datetime
    """Its beginning (UTC); slots are 0.5 s long."""
    state: Literal["signed", "other", "unknown", "missed"]
    """`signed`: a block with a signature that this signer gave. `other`: a block with a signature that it did not give:
    of another signer of this producer, or of somebody who has the key. `unknown`: a block, and for a few seconds nobody
    knows whose. `missed`: no block."""
    block_num: int | None
    """The block; null: there is none."""
    node: str | None
    """The node that asked for the signature; null unless `signed`."""
    key: str | None
    """The key that signed; null unless `signed`."""
    irreversible: bool
    """Whether this cannot change any more."""


class RoundView(View):
    """A round of the producer: up to twelve slots in a row."""

    slots: list[SlotView]
    """Its slots that are over, the oldest first."""


class SlotTotals(View):
    """Slots since the control process started, each counted once it is irreversible."""

    signed: int
    """With a signature of this signer."""
    other: int
    """With another signature."""
    missed: int
    """Without a block."""
    lost: int
    """Blocks that this signer signed, on forks that lost."""


class SlotList(View):
    """What became of the producer's last slots."""

    chain: str
    """The chain's name in the configuration."""
    producer: str
    """The account."""
    seen_at: datetime | None
    """When this was seen (UTC); null: nothing was seen yet."""
    head_number: int | None
    """The head block then."""
    head_time: datetime | None
    """Its timestamp (UTC)."""
    irreversible_number: int | None
    """The last irreversible block then."""
    savanna: bool | None
    """Whether the chain is on Savanna."""
    producers: int | None
    """How many are in the active schedule."""
    missed_in_row: int
    """The newest slots without a block, one after the other."""
    totals: SlotTotals
    """Counters."""
    rounds: list[RoundView]
    """The newest first."""


class ProducerList(View):
    """The producers of this signer."""

    producers: list[ProducerSummary]
    """One for each chain that has a producer in the configuration."""


@router.get("")
async def list_producers(_: Viewer, services: Given) -> ProducerList:
    """Return the producers that are configured."""
    config = services.config
    return ProducerList(
        producers=[
            ProducerSummary.model_validate(_summary(config, name))
            for name, chain in config.chains.items()
            if chain.producer is not None
        ]
    )


@router.get("/{chain}")
async def show(chain: str, _: Viewer, services: Given) -> ProducerDetail:
    """Return what is known of a chain's producer now. The chain is asked; that takes a moment."""
    config = services.config
    chains.choose(config, chain)
    chains.require(config, chain)
    rotations = services.rotating()
    view = await rotations.producer(chain)
    expected_s = None if view.rotation is None else rotations.expected_s(chain)
    return ProducerDetail.model_validate(_summary(config, chain) | _detail(config, view, expected_s))


@router.get("/{chain}/slots")
async def list_slots(
    chain: str,
    _: Viewer,
    services: Given,
    rounds: Annotated[int, Query(ge=1, le=ROUNDS - 1, description="At most so many.")] = ROUNDS - 1,
) -> SlotList:
    """Return what became of the slots of a chain's producer in its last rounds. Nobody is asked for it."""
    chains.choose(services.config, chain)
    watch = services.watches.get(chain)
    if watch is None:
        chains.require(services.config, chain)
        raise ProblemError(HTTPStatus.CONFLICT, "not-configured", f"Nobody watches chain {chain}.")
    seen = watch.sighting()
    totals = watch.totals()
    return SlotList(
        chain=chain,
        producer=str(services.config.chains[chain].producer),
        seen_at=None if seen is None else datetime.fromtimestamp(seen.at, UTC),
        head_number=None if seen is None else seen.head_number,
        head_time=None if seen is None else datetime.fromtimestamp(seen.head_at, UTC),
        irreversible_number=None if seen is None else seen.irreversible_number,
        savanna=None if seen is None else seen.savanna,
        producers=None if seen is None else seen.producers,
        missed_in_row=0 if seen is None else seen.missed_in_row,
        totals=SlotTotals(signed=totals.signed, other=totals.other, missed=totals.missed, lost=totals.lost),
        rounds=[
            RoundView(slots=[_slot(each) for each in reversed(list(group))])
            for _, group in groupby(watch.slots(rounds), key=lambda each: each.round)
        ],
    )


def _slot(slot: Slot) -> SlotView:
    return SlotView(
        slot_time=slot.time,
        state=slot.state.value,
        block_num=None if slot.block is None else slot.block.number,
        node=None if slot.origin is None else slot.origin.node or None,
        key=None if slot.origin is None else str(slot.origin.key),
        irreversible=slot.irreversible,
    )


def _summary(config: Config, name: str) -> dict[str, object]:
    chain = config.chains[name]
    return {
        "chain": name,
        "chain_id": chain.id,
        "producer": chain.producer,
        "permission": chain.rotation_permission,
        "missing": [chains.words(place) for place in chains.missing(config, name)],
    }


def _detail(config: Config, view: ProducerView, expected_s: float | None) -> dict[str, object]:
    seen = view.chain_view
    return {
        "signs": None if seen is None else chains.node_of(config, seen.active),
        "on_chain": None if seen is None else _on_chain(config, seen),
        "problem": view.problem,
        "apis": [
            ApiNodeView(
                url=each.url,
                usable=each.usable,
                reason=each.reason,
                head_number=each.head_number,
                head_time=each.head_time,
            )
            for each in view.apis
        ],
        "permission_findings": None
        if view.findings is None
        else [FindingView.of(each) for each in view.findings],
        "rotation": None if view.rotation is None else RotationView.of(view.rotation, expected_s),
        "last": None if view.last is None else RotationView.of(view.last, None),
    }


def _on_chain(config: Config, seen: ChainView) -> OnChainView:
    return OnChainView.model_validate(
        {
            "consensus": seen.consensus,
            "head_number": seen.head_number,
            "head_time": seen.head_time,
            "irreversible_number": seen.irreversible_number,
            "registered": seen.registered,
            "row": _keys(config, seen.row_keys),
            "active": _keys(config, seen.active),
            "pending": None if seen.pending is None else _keys(config, seen.pending),
            "proposed": None if seen.proposed is None else _keys(config, seen.proposed),
        }
    )


def _keys(config: Config, keys: Iterable[PublicKey]) -> list[KeyView]:
    return [KeyView(key=str(key), node=chains.node_of(config, (key,))) for key in keys]
