"""Four elected producers, three of them ours, and everything that needs a schedule to change. One chain for all.

eosio.system looks for another schedule once a minute, and with four producers the change takes 50 s more. So the
scenes play side by side, each beginning just before the look that it needs.

With ROTATION_LONG in the environment there are eleven promotions and twenty cycles, which take 45 minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rig.own_producer import OwnProducer
from rig.rotating_signer import ROTATION_S

from signer.rotation.entry import Event

if TYPE_CHECKING:
    from rig.member import Member
    from rig.nodeos import Nodeos
    from rig.stage import Stage

_LONG = bool(os.environ.get("ROTATION_LONG"))
#: Promotions by hand before the last one, at which the control process is killed; an odd number ends at the standby.
PROMOTIONS = 11 if _LONG else 1
#: Unattended cycles in a row.
CYCLES = 20 if _LONG else 2
#: Slots before a look of eosio.system at which a scene begins: 12 s for what comes before the transaction.
_AHEAD = 24
#: Writes that only an elected producer's rotation makes; the others are killed at in test_kills.py.
ON_THE_WAY = (Event.PROPOSED, Event.PENDING, Event.ACTIVE, Event.VERIFIED, Event.DONE)
ON_THE_RETURN = (Event.RETURNING, Event.RETURN_SIGNED, Event.RETURNED)


@dataclass
class Cast:
    """Who is on the stage.

    Attributes:
        stage: the chain.
        mover: moved by hand, from primary to standby and back.
        nightly: gets fresh keys without anybody watching.
        twin_a: a producer with two signers that share nothing: the first,
        twin_b: and the second, with a node of its own.
        api: the first API node of nightly's signer, to be killed and replaced.
    """

    stage: Stage
    mover: Member
    nightly: Member
    twin_a: Member
    twin_b: Member
    api: Nodeos


def play(stage: Stage) -> Cast:
    """Put everybody on the stage, have them elected, and let the scenes begin."""
    chain = stage.chain
    api = chain.join("api")
    mover = stage.member("mover", [chain.boot.url], killed=True)
    nightly = stage.member("nightly", [api.url, chain.boot.url], ring=CYCLES + 2)
    twin = OwnProducer(stage.tools, chain, "twin")
    twin_a = stage.member("twin", [chain.boot.url], producer=twin, place="twin-a", allow=False, killed=True)
    twin_b = stage.member(
        "twin",
        [chain.boot.url],
        producer=twin,
        place="twin-b",
        others=[twin_a.signer.rotation_key],
    )
    for member in (mover, nightly, twin_a):
        member.join("primary", "standby")
    twin_b.join("standby")
    mover.producer.register_authority(mover.signer.keys("primary"))
    nightly.producer.register(nightly.signer.keys("primary")[0])
    twin.register(twin_a.signer.keys("primary")[0])
    chain.create_accounts("alpha")
    chain.register({"alpha": chain.local["alpha"].public})
    chain.elect(["alpha", "mover", "nightly", "twin"])
    cast = Cast(stage, mover, nightly, twin_a, twin_b, api)
    for name, scene in (("mover", _move), ("nightly", _cycle), ("twin", _lose)):
        stage.scenes.play(name, scene, cast)
    return cast


# -- the scenes -------------------------------------------------------------------------------------------


def _move(cast: Cast) -> dict[str, Any]:
    """Production goes to the standby, and back while the control process is killed again and again."""
    chain, mover = cast.stage.chain, cast.mover
    chain.wait_for_update(within=_AHEAD)
    first = chain.boot.head
    promotions = [mover.signer.rotate("--to-node", "standby", "--i-know")]
    row = chain.row("mover")
    for number in range(1, PROMOTIONS):
        chain.wait_for_update(within=_AHEAD)
        node = ("standby", "primary")[number % 2]
        promotions.append(mover.signer.rotate("--to-node", node, "--i-know"))
    between = chain.boot.head
    chain.wait_for_update(within=_AHEAD)
    mover.kills.arm(ON_THE_WAY)
    mover.signer.ask("--to-node", "primary", "--i-know")
    back = mover.signer.wait_for_state("done")
    return {"promotions": promotions, "back": back, "row": row, "first": first, "between": between}


def _cycle(cast: Cast) -> dict[str, Any]:
    """A timer asks for a fresh key, twice. In the first one an API node dies and is replaced."""
    chain, nightly = cast.stage.chain, cast.nightly
    node = nightly.nodes["primary"]
    attested = nightly.signer.run(
        *("nodes", "attest", "primary", "--pid", str(node.pid)),
        *("--config-ini", str(node.folder / "config.ini")),
    )
    assert attested.returncode == 0, attested.stderr + attested.stdout
    chain.wait_for_update(within=_AHEAD)
    first = chain.boot.head
    timer = nightly.signer.begin("rotate", "--cycle", "--unattended", "--wait", "--json")
    nightly.signer.wait_for_state("registered", "proposed")
    port = urlsplit(cast.api.url).port
    cast.api.kill()
    chain.join("api-2", port=port)
    printed, said = timer.communicate(timeout=ROTATION_S)
    assert timer.returncode == 0, said
    cycles = [json.loads(printed)]
    while len(cycles) < CYCLES:
        chain.wait_for_update(within=_AHEAD)
        cycles.append(nightly.signer.rotate("--cycle", "--unattended"))
    return {"cycles": cycles, "first": first}


def _lose(cast: Cast) -> dict[str, Any]:
    """The target dies after its key was registered; later the host of A is lost as a whole, and B takes over."""
    chain, a, b = cast.stage.chain, cast.twin_a, cast.twin_b
    a.kills.arm(ON_THE_RETURN)
    a.signer.ask("--to-node", "standby", "--i-know")
    a.signer.wait_for_state("registered", "proposed")
    a.nodes["standby"].kill()
    returned = a.signer.wait_for_state("returned", "failed", "done", "superseded")
    chain.wait_for_update(within=_AHEAD)
    alive = chain.boot.head
    a.nodes["primary"].kill()
    os.kill(int(a.signer.status()["pid"]), signal.SIGKILL)
    shutil.rmtree(a.signer.trial.folder / "softhsm")
    emergency = b.signer.rotate("--to-node", "standby", "--emergency", "--reason", "host A burns")
    return {"returned": returned, "emergency": emergency, "alive": alive}
