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

            began = time.monotonic()
            first.kill()
            a.nodes["primary"].kill()
            os.kill(supervisor, signal.SIGKILL)
            shutil.rmtree(a.signer.trial.folder / "softhsm")
            keyed.register(keys[1].public)
            keyed_s = time.monotonic() - began
            began = time.monotonic()
            asked = b.signer.begin(
                "rotate", "--to-node", "standby", "--emergency", "--reason", "host A burns"
            )
            chain.boot.wait_for(
                lambda: chain.row("twin")["producer_key"] in b.signer.keys("standby"),
                "twin's row has B's key",
            )
            twin_s = time.monotonic() - began
            _, said = asked.communicate(timeout=60)
            assert asked.returncode == 0, said

            lost = {}
            for name, node in (("keyed", second), ("twin", b.nodes["standby"])):
                block = node.wait_for_blocks(1, timeout_s=_CHANGE_S)[0].number
                lost[name] = len(missed_slots(chain.boot, name, alive, block))
            done = b.signer.wait_for_state("done", timeout_s=_CHANGE_S)
            assert done["missed_slots"] is not None
            figures = f"KEY: and cleos after {keyed_s:.2f} s, the signer after {twin_s:.2f} s"
            print(f"\nslots lost {lost}; registered: {figures}")  # noqa: T201 - what this is for
            assert twin_s < keyed_s + _MAY_ADD_S
        finally:
            stage.stop()
