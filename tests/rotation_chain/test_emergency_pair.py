"""An emergency with two signers beside the same with KEY: providers and cleos: killed in the same moment, on one chain.

Long form only (ROTATION_LONG): with seven producers, of which two may be dead, a schedule takes minutes to change.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest
from rig import keypair
from rig.chain import Chain
from rig.own_producer import OwnProducer
from rig.scenes import Scenes
from rig.slots import missed_slots
from rig.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from rig.tools import Tools

pytestmark = pytest.mark.chain

_OTHERS = ["alpha", "bravo", "charlie", "delta", "echo"]
#: s. What the signer may add to what cleos needs.
_MAY_ADD_S = 1.0
_CHANGE_S = 420.0


def test_slots_lost_beside_the_control(tools: Tools, folder: Path) -> None:
    """From the kill to the first block of the other node. The figures are printed."""
    with Chain(tools, folder / "pair", local=_OTHERS) as chain, Scenes(1) as scenes:
        stage = Stage(tools, folder, chain, scenes)
        try:
            twin = OwnProducer(tools, chain, "twin")
            a = stage.member("twin", [chain.boot.url], producer=twin, place="pair-a", allow=False)
            others = [a.signer.rotation_key]
            b = stage.member("twin", [chain.boot.url], producer=twin, place="pair-b", others=others)
            a.join("primary")
            b.join("standby")
            keyed = OwnProducer(tools, chain, "keyed")
            keys = [keypair.generate(tools, "r1") for _ in range(2)]
            first, second = [keyed.join(f"keyed-{number}", [key.provider]) for number, key in enumerate(keys)]
            twin.register(a.signer.keys("primary")[0])
            keyed.register(keys[0].public)
            chain.create_accounts(*_OTHERS)
            chain.register({name: key.public for name, key in chain.local.items()})
            chain.elect([*_OTHERS, "keyed", "twin"])
            first.wait_for_blocks(12, timeout_s=120.0)
            a.nodes["primary"].wait_for_blocks(12, timeout_s=120.0)
            chain.wait_for_update(within=24)
            alive = chain.boot.head
            supervisor = int(a.signer.status()["pid"])

            first.kill()
            a.nodes["primary"].kill()
            os.kill(supervisor, signal.SIGKILL)
            shutil.rmtree(a.signer.trial.folder / "softhsm")
            began = time.monotonic()
            asked = b.signer.begin(
                "rotate", "--to-node", "standby", "--emergency", "--reason", "host A burns"
            )
            keyed.register(keys[1].public)
            fresh = {"keyed": [keys[1].public], "twin": b.signer.keys("standby")}
            # Both have to wait for the slot of a producer that lives: two of seven are dead.
            registered: dict[str, float] = {}

            def both_registered() -> bool:
                for name, wanted in fresh.items():
                    if name not in registered and chain.row(name)["producer_key"] in wanted:
                        registered[name] = time.monotonic() - began
                return len(registered) == len(fresh)

            chain.boot.wait_for(both_registered, "both rows have the other node's key")
            _, said = asked.communicate(timeout=60)
            assert asked.returncode == 0, said

            lost = {}
            for name, node in (("keyed", second), ("twin", b.nodes["standby"])):
                block = node.wait_for_blocks(1, timeout_s=_CHANGE_S)[0].number
                lost[name] = len(missed_slots(chain.boot, name, alive, block))
            done = b.signer.wait_for_state("done", timeout_s=_CHANGE_S)
            assert done["missed_slots"] is not None
            print(f"\nslots lost {lost}; seconds from the kill to the row {registered}")  # noqa: T201 - the figures
            assert registered["twin"] < registered["keyed"] + _MAY_ADD_S
        finally:
            stage.stop()
