"""Two real nodes whose keys one authority accepts (regproducer2): the lease lets one of them produce at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from rig.chain import Chain
from rig.own_producer import OwnProducer
from rig.site import Ring, Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rig.nodeos import Nodeos
    from rig.tools import Tools

pytestmark = pytest.mark.chain

#: ms. How fast a signature is, other tests say.
_TIMEOUT_MS = 300
#: s. Two rounds of one producer are 12; the rest is a machine that does much else.
_TAKEN_OVER_S = 240.0


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A signer that was not started, with a control process that will follow the chain."""
    site = Site.whole_copy_of(Ring.make(tmp_path_factory.mktemp("ring")))
    yield site
    site.clean()


def _join(producer: OwnProducer, site: Site, node: str) -> Nodeos:
    provider = f"{site.key('r1-1', node)}=KEOSD:http://127.0.0.1:{site.ports[node]}/v1/wallet/sign_digest"
    return producer.join(node, [provider], timeout_ms=_TIMEOUT_MS)


def _signed(site: Site, node: str) -> int:
    count: int = site.key_status("r1-1", node)["signatures"]
    return count


def _given(site: Site, node: str) -> set[str]:
    """Return the signatures that a node was given, from the audit log."""
    log = [json.loads(line) for line in (site.state / "audit" / "audit.jsonl").read_text().splitlines()]
    return {
        str(each["signature"]) for each in log if each.get("verdict") == "signed" and each["node"] == node
    }


def _signatures(chain: Chain, producer: str) -> set[str]:
    """Return those of the last blocks of `producer`."""
    blocks = [chain.boot.block(number) for number in range(max(2, chain.boot.head - 30), chain.boot.head + 1)]
    return {block.signature for block in blocks if block.producer == producer}


def test_one_of_two_produces_and_the_other_takes_over_when_it_dies(
    tools: Tools, folder: Path, site: Site
) -> None:
    # Another producer takes turns: in its own slots a nodeos drops the blocks of others.
    with Chain(tools, folder / "chain", local=["alpha"]) as chain:
        site.chain = [
            f'id = "{chain.boot.chain_id}"',
            f'api = ["{chain.boot.url}"]',
            'producer = "ours"',
            "producers = 2",
        ]
        # So long a silence that it is the missed slots that move it.
        site.tables = ["[guards]", 'lease = "enforce"', "lease_silence_s = 3600"]
        site.start()
        ours = OwnProducer(tools, chain, "ours")
        nodes = {name: _join(ours, site, name) for name in ("primary", "standby")}
        ours.register_authority([site.key("r1-1", name) for name in nodes])
        chain.create_accounts("alpha")
        chain.register({"alpha": chain.local["alpha"].public})
        chain.elect(["alpha", "ours"])

        # Both ask for each slot. One is given signatures, and its blocks are what the chain has.
        site.wait(lambda status: status["counters"]["rules"].get("lease", 0) >= 5, "the other is refused")
        holder = site.status()["guards"]["local"]["holder"]
        other = next(name for name in nodes if name != holder)
        site.wait(lambda _: _signed(site, holder) >= 10, "one of them signs")
        assert _signed(site, other) == 0
        assert "rule lease" in nodes[other].log()
        assert site.status()["guards"]["local"]["chain_seen"]

        # It dies. Its slots are missed: then the other one is given them.
        nodes[holder].kill()
        state = site.wait(
            lambda status: status["guards"]["local"]["holder"] == other,
            "the other has it",
            timeout_s=_TAKEN_OVER_S,
        )
        assert state["guards"]["local"]["claim"] == "missed"
        before = _signed(site, other)
        site.wait(lambda _: _signed(site, other) >= before + 5, "the other signs")
        # Not each of them: at the end of a round the next producer may be faster than a block of ours.
        chain.boot.wait_for(
            lambda: _given(site, other) & _signatures(chain, "ours"), "its blocks are on the chain"
        )
        assert {each["name"] for each in site.status()["alarms"]} >= {"lease", "lease-moved"}

        # Each signature of the old holder was given before each of the new one.
        log = [json.loads(line) for line in (site.state / "audit" / "audit.jsonl").read_text().splitlines()]
        signers = [entry["node"] for entry in log if entry.get("verdict") == "signed" and entry["node"]]
        assert signers == sorted(signers, key=lambda node: node != holder)
