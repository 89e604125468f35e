"""The judgement judged: it passes real keosd, and it sees each lost request although nodeos hides it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rig import keypair
from rig.keosd import Keosd
from rig.nodeos import Genesis, Nodeos
from rig.production import judge
from rig.relay import Relay

if TYPE_CHECKING:
    from pathlib import Path

    from rig.tools import Tools

pytestmark = pytest.mark.chain


def test_keosd_itself_loses_no_signature(tools: Tools, folder: Path) -> None:
    """The same judgement on what the signer replaces. If this fails, the machine is too slow for the rest."""
    key = keypair.generate(tools, "k1")
    with Keosd(tools, folder / "keosd") as keosd:
        keosd.add(key)
        provider = keosd.provider(key.public)
        with Nodeos(
            tools, folder / "node", Genesis.now(key.public), producers=["eosio"], providers=[provider]
        ) as node:
            node.wait_for_blocks(13)
            node.stop()
            verdict = judge(node, "eosio", None)

    assert verdict.failures == []
    assert verdict.blocks >= 13


def test_a_lost_request_is_seen_although_no_block_is_missing(tools: Tools, folder: Path) -> None:
    """A request asked again in the same slot leaves no gap in the blocks, and the judgement still says no."""
    key = keypair.generate(tools, "k1")
    with Keosd(tools, folder / "keosd") as keosd, Relay(keosd.url, lose={5, 9}) as relay:
        keosd.add(key)
        provider = f"{key.public}=KEOSD:{relay.url}/v1/wallet/sign_digest"
        with Nodeos(
            tools, folder / "node", Genesis.now(key.public), producers=["eosio"], providers=[provider]
        ) as node:
            node.wait_for_blocks(13)
            node.stop()
            verdict = judge(node, "eosio", relay.requests)

    lost = [entry for entry in verdict.complaints if "end of stream" in entry.text]
    assert len(lost) == 2
    assert verdict.missed == []
    assert relay.requests >= verdict.blocks + 2
    assert any("signatures given" in failure for failure in verdict.failures)
