"""Real nodeos at its 5 ms produces with R1 while somebody attacks: it loses no more than in peace, or with keosd.

Real keosd under the same attack is the control: what it loses too, the machine lost. HOSTILE_LONG=1 gives every attack
30 s, five times, and holds the signer to that. The short form has two or three blocks for an attack and no keosd: it
allows for what a machine loses by itself. A storm of connections is printed and not held to anything: it keeps the
kernel from connecting nodeos in time (deploy/figures.md).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest
from hostile.attack import NAMES, Plan
from hostile.front import Front
from rig import keypair
from rig.keosd import Keosd

if TYPE_CHECKING:
    from pathlib import Path

    from hostile.front import Loss
    from rig.site import Site
    from rig.tools import Tools

pytestmark = [pytest.mark.chain, pytest.mark.chaos]

_LONG: Final = bool(os.environ.get("HOSTILE_LONG"))
_SECONDS: Final = 30.0 if _LONG else 1.5
_PEACE_S: Final = 60.0 if _LONG else 4.0
_REPEATS: Final = 5 if _LONG else 1
#: Slots in which a machine of two processors may lose signatures by itself, in the short form's 30 blocks.
_MACHINE: Final = 3
#: Well formed, and nobody has it.
_STRANGE: Final = "PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr"


def test_every_attack_is_stood(tools: Tools, folder: Path, site: Site) -> None:
    port, other = site.ports["primary"], site.ports["standby"]
    plans = {name: Plan(name, port, other, site.key("r1-1", "standby"), _STRANGE) for name in NAMES}
    url = f"http://127.0.0.1:{port}/v1/wallet/sign_digest"
    with Front(tools, folder / "signer", site.key("r1-1"), url) as front:
        peace, ours = _losses("signer", front, plans)

    assert all(loss.attacker for loss in ours.values()), "an attacker did nothing"
    allowed = max(_failed(peace), _failed(_control(tools, folder, plans))) if _LONG else _MACHINE
    assert _failed(ours) <= allowed, _words(ours)
    # It is as it was before: every place is free again, and it signs.
    assert site.status()["ready"]
    assert site.status()["restarts"] == 0
    site.sign("r1-1", via="unix")
    assert "Traceback" not in site.log


def test_who_reaches_the_other_node_takes_nothing_from_the_one_that_produces(
    tools: Tools, folder: Path, guarded: Site
) -> None:
    """As many signatures as a producer gets, again and again: they are the other node's, not this one's."""
    port, other = guarded.ports["primary"], guarded.ports["standby"]
    plan = Plan("valid", port, other, guarded.key("r1-1", "standby"), _STRANGE)
    url = f"http://127.0.0.1:{port}/v1/wallet/sign_digest"
    with Front(tools, folder / "signer", guarded.key("r1-1"), url) as front:
        peace, loss = {"peace": front.lose(_PEACE_S)}, front.lose(2 * _SECONDS, plan)
        print(f"\nguarded {_words({'valid': loss})}")  # noqa: T201 - as above
    assert loss.attacker["answers 201"] > 0
    assert loss.attacker["answers 500"] > 0
    allowed = _failed(peace) if _LONG else 1
    assert _failed({"valid": loss}) <= allowed, _words({"valid": loss})
    assert {each["name"] for each in guarded.status()["alarms"]} >= {"rate", "lease"}


def _control(tools: Tools, folder: Path, plans: dict[str, Plan]) -> dict[str, Loss]:
    """Return what nodeos loses with keosd under the same attacks."""
    pair = keypair.generate(tools, "r1")
    with Keosd(tools, folder / "keosd") as keosd:
        keosd.add(pair)
        same = {
            name: Plan(name, keosd.port, keosd.port, pair.public, plan.strange_key)
            for name, plan in plans.items()
        }
        url = f"{keosd.url}/v1/wallet/sign_digest"
        with Front(tools, folder / "beside", pair.public, url) as front:
            return _losses("keosd", front, same)[1]


def _losses(who: str, front: Front, plans: dict[str, Plan]) -> tuple[dict[str, Loss], dict[str, Loss]]:
    """Return what is lost in peace, and under each attack."""
    peace = {"peace": front.lose(_PEACE_S)}
    print(f"\n{who} {_words(peace)}")  # noqa: T201 - the figures are what the long form is for
    found = {}
    for repeat in range(_REPEATS):
        for name, plan in plans.items():
            loss = found[f"{name} {repeat}"] = front.lose(_SECONDS, plan)
            print(f"{who} {_words({name: loss})}")  # noqa: T201 - as above
    return peace, found


def _failed(losses: dict[str, Loss]) -> int:
    return sum(
        (loss.failed if _LONG else loss.slots)
        for name, loss in losses.items()
        if not name.startswith("storm")
    )


def _words(losses: dict[str, Loss]) -> str:
    return "\n".join(
        f"{name}: {loss.blocks} blocks, {loss.failed} failed, attacker {loss.attacker} {' | '.join(loss.reasons[:3])}"
        for name, loss in losses.items()
    )
