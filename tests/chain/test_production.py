"""Real nodeos at its default timeout of 5 ms, keys in the signer's token: every request becomes a block."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from rig.chain import Chain
from rig.condition import until
from rig.nodeos import Genesis, Nodeos
from rig.production import judge, judge_rounds, slot, whole_rounds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rig.keypair import Curve
    from rig.production import Verdict
    from rig.signer_process import RunningSigner, Way
    from rig.tools import Tools

pytestmark = pytest.mark.chain

#: Blocks per curve and kind of listener: 30 s each.
_STEADY = 60
#: s. Longer than uvicorn's default idle timeout of 5 s (uvicorn/config.py, timeout_keep_alive), which loses a
#: signature when the server keeps connections open.
_SILENCE_S = 8.0


@contextmanager
def _sole_producer(
    tools: Tools, folder: Path, signer: RunningSigner, curve: Curve, way: Way
) -> Iterator[Nodeos]:
    """A chain whose only producer, `eosio`, signs with the signer's key."""
    installation = signer.installation
    with Nodeos(
        tools,
        folder / "node",
        Genesis.now(installation.key(curve)),
        producers=["eosio"],
        providers=[installation.provider(curve, way)],
    ) as node:
        yield node


def _print(name: str, verdict: Verdict) -> None:
    print(f"\n{name}: {verdict.blocks} blocks, {verdict.signatures} signatures")  # noqa: T201 - sizes are shown


@pytest.mark.parametrize("way", ["tcp", "unix"])
@pytest.mark.parametrize("curve", ["k1", "r1"])
def test_every_request_becomes_a_block(
    tools: Tools, folder: Path, signer: RunningSigner, curve: Curve, way: Way
) -> None:
    """Steady production: no failed signature on either curve, over either kind of listener."""
    before = signer.signatures(curve)
    with _sole_producer(tools, folder, signer, curve, way) as node:
        node.wait_for_blocks(_STEADY)
        node.stop()
        blocks = len(node.produced())
        verdict = judge(node, "eosio", signer.signatures(curve, at_least=before + blocks) - before)

    _print(f"{curve} over {way}", verdict)
    assert verdict.failures == [], signer.log()[-4000:]
    assert verdict.blocks >= _STEADY


@pytest.mark.parametrize(("curve", "way"), [("r1", "tcp"), ("k1", "unix")])
def test_silence_costs_no_signature(
    tools: Tools, folder: Path, signer: RunningSigner, curve: Curve, way: Way
) -> None:
    """Production pauses for longer than an idle timeout and goes on; the first block after it is signed."""
    before = signer.signatures(curve)
    with _sole_producer(tools, folder, signer, curve, way) as node:
        node.wait_for_blocks(6)
        last = node.pause()
        silent_since = time.monotonic()
        # The silence is the condition itself: nothing can announce its end.
        until(lambda: time.monotonic() - silent_since > _SILENCE_S, "silence", timeout_s=_SILENCE_S + 5)
        node.resume()
        node.wait_for_blocks(len(node.produced()) + 6)
        node.stop()
        blocks = len(node.produced())
        given = signer.signatures(curve, at_least=before + blocks) - before
        verdict = judge(node, "eosio", given, paused_after={last})

    _print(f"{curve} over {way} with silence", verdict)
    assert verdict.failures == [], signer.log()[-4000:]
    assert verdict.blocks >= 12


def test_a_restart_in_silence_costs_no_signature(tools: Tools, folder: Path, signer: RunningSigner) -> None:
    """Between two rounds the signer may be stopped and started: nodeos notices nothing."""
    first = signer.signatures("r1")
    with _sole_producer(tools, folder, signer, "r1", "tcp") as node:
        node.wait_for_blocks(6)
        last = node.pause()
        before = len(node.produced())
        given = signer.signatures("r1", at_least=first + before) - first
        signer.restart()
        second = signer.signatures("r1")
        node.resume()
        node.wait_for_blocks(before + 6)
        node.stop()
        after = len(node.produced()) - before
        given += signer.signatures("r1", at_least=second + after) - second
        verdict = judge(node, "eosio", given, paused_after={last})

    _print("r1 over tcp with a restart", verdict)
    assert verdict.failures == [], signer.log()[-4000:]
    assert verdict.blocks >= 12


@pytest.mark.parametrize(("curve", "way"), [("r1", "unix"), ("k1", "tcp")])
def test_reload_while_producing_costs_no_signature(
    tools: Tools, folder: Path, signer: RunningSigner, curve: Curve, way: Way
) -> None:
    """Three reloads in the middle of production, each after the next block: no gap, no warning."""
    before = signer.signatures(curve)
    generation = signer.status()["generation"]
    with _sole_producer(tools, folder, signer, curve, way) as node:
        node.wait_for_blocks(6)
        for _ in range(3):
            signer.reload()
            node.wait_for_blocks(len(node.produced()) + 3)
        node.stop()
        blocks = len(node.produced())
        verdict = judge(node, "eosio", signer.signatures(curve, at_least=before + blocks) - before)

    _print(f"{curve} over {way} with three reloads", verdict)
    assert signer.status()["generation"] == generation + 3
    assert verdict.failures == [], signer.log()[-4000:]
    assert verdict.blocks >= 15


def test_rounds_among_four_producers(tools: Tools, folder: Path, signer: RunningSigner) -> None:
    """One of four elected producers: whole rounds of twelve with 18 s of silence between, none of it lost."""
    others = ["alpha", "bravo", "charlie"]
    everyone = [*others, "ours"]
    before = signer.signatures("r1")
    with Chain(tools, folder, local=others) as chain:
        chain.create_accounts(*everyone)
        local = {name: key.public for name, key in chain.local.items()}
        chain.register(local | {"ours": signer.installation.key("r1")})
        provider = signer.installation.provider("r1", "tcp")
        node = chain.join("ours", producers=["ours"], providers=[provider])
        chain.elect(everyone)

        elected = chain.boot.block(chain.boot.head).timestamp
        rounds = whole_rounds("ours", list(chain.boot.active_schedule()), elected, 2)
        end = rounds[-1].stop

        def is_over() -> bool:
            return slot(chain.boot.block(chain.boot.head).timestamp) > end

        chain.boot.wait_for(is_over, f"slot {end}, two whole rounds later", timeout_s=90.0)
        node.stop()
        blocks = len(node.produced())
        given = signer.signatures("r1", at_least=before + blocks) - before
        verdict = judge_rounds(node, chain.boot, "ours", given, rounds)

    _print("r1 over tcp in rounds", verdict)
    assert verdict.failures == [], signer.log()[-4000:]
    assert verdict.blocks >= 24
