"""Real nodeos that produces with the signer's keys, at its default timeout: every request must become a block."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rig.nodeos import Genesis, Nodeos
from rig.production import SLOT, judge

if TYPE_CHECKING:
    from pathlib import Path

    from rig.keypair import Curve
    from rig.signer_process import Way
    from rig.tools import Tools

    from bench.servers import Signer

#: Failures that are kept in words.
_MAX_FAILURES = 10
#: Blocks before the last wanted one from which on the log is read.
_MARGIN_BLOCKS = 3
#: From one reload or upgrade to the next, in s: by then all that the one set off is done.
_RELOADS_S = 2.5
#: Its multiples fall into every part of a slot alike.
_SPREAD = 0.618


@dataclass(frozen=True)
class Production:
    """What a run showed.

    Attributes:
        blocks: that nodeos produced.
        requests: that the signer decided on.
        failed: requests that did not become a block.
        failures: everything that speaks against the signer, in words: nodeos' complaints and missed slots too.
        reloads: of the signer meanwhile.
        upgrades: of the signer meanwhile.
    """

    blocks: int
    requests: int
    failed: int
    failures: tuple[str, ...]
    reloads: int
    upgrades: int


def produce(
    tools: Tools,
    folder: Path,
    signer: Signer,
    *,
    curve: Curve,
    way: Way,
    blocks: int = 0,
    reloads: int = 0,
    upgrades: int = 0,
) -> Production:
    """Produce so many blocks at least, as a new chain's only producer, and through so many renewals of the signer."""
    before = signer.requests()
    with Nodeos(
        tools,
        folder,
        Genesis.now(signer.setup.keys[curve]),
        producers=["eosio"],
        providers=[signer.setup.provider(curve, way)],
    ) as node:
        renewals = [signer.reload] * reloads + [signer.upgrade] * upgrades
        for number, renew in enumerate(renewals):
            _let(node, _RELOADS_S + number * _SPREAD % 1 * SLOT.total_seconds())
            renew()
        # Looking for blocks reads the whole log. That is left until they must be there: it would cost nodeos time.
        _let(node, _RELOADS_S if renewals else (blocks - _MARGIN_BLOCKS) * SLOT.total_seconds())
        node.wait_for_blocks(blocks)
        node.stop()
        made = len(node.produced())
        # Decisions are counted behind the answer.
        signer.wait_for(lambda: signer.requests() - before >= made, f"{made} requests counted")
        requests = signer.requests() - before
        verdict = judge(node, "eosio", requests)
    failures = tuple(failure[:300] for failure in verdict.failures[:_MAX_FAILURES])
    return Production(verdict.blocks, requests, requests - verdict.blocks, failures, reloads, upgrades)


def _let(node: Nodeos, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and node.exit_code is None:
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))
