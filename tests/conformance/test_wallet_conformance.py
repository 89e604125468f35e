"""A wallet listener answers as real keosd does, but for what wallet_differences.py lists with reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conformance.wallet_cases import SCENES, Scene
from conformance.wallet_differences import DIFFERENCES, expected
from conformance.wallet_words import CHAIN_ID, WalletSide
from rig import keypair
from rig.keosd import Keosd
from rig.tools import Tools
from rig.wallet_site import BLOCK, DEFAULT, OTHER, WalletSite, WalletTokens
from rig.wire import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

_RULE = """
[[policies.rules]]
name = "claim"
contract = "eosio"
action = "claimrewards"
authorization = "bp@claim"
arguments = { owner = "bp" }
"""
_POLICIES = "".join(f'[[policies]]\nkey = "account-{curve}"\n{_RULE}' for curve in ("k1", "r1"))


class _Sides:
    """Both sides, brought into the same state."""

    def __init__(self, keosd: Keosd, site: WalletSite, theirs: WalletSide, ours: WalletSide) -> None:
        self._keosd = keosd
        self._site = site
        self.theirs = theirs
        self.ours = ours

    def prepare(self, scene: Scene) -> None:
        """Lock everything, then unlock what the scene wants."""
        self._keosd.call("set_timeout", 1_000_000)
        self._keosd.call("lock_all")
        self._site.retry()
        self._site.do("lock_all")
        for wallet in scene.unlocked:
            self._keosd.call("unlock", [wallet, self.theirs.passwords[wallet]])
            self._site.do("unlock", [wallet, self.ours.passwords[wallet]])


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Sides]:
    """Real keosd with two wallets, and a signer with two tokens whose PINs a person types."""
    tools = Tools.find()
    k1, r1 = keypair.generate(tools, "k1"), keypair.generate(tools, "r1")
    site = WalletSite.copy_of(
        WalletTokens.make(tmp_path_factory.mktemp("t")), tmp_path_factory.mktemp("w"), CHAIN_ID
    )
    site.homes.pop(BLOCK)
    site.stoppable = True
    site.policies = _POLICIES
    site.settings = {DEFAULT: ['allow_create_key = "local"', "allow_remove_key = true"]}
    with Keosd(tools, tmp_path_factory.mktemp("k")) as keosd, site.start():
        keosd.add(k1, r1)
        passwords = {DEFAULT: keosd.password, OTHER: keosd.call("create", OTHER)}
        addresses = {"tcp": Address(port=keosd.port), "unix": Address(unix=keosd.socket)}
        theirs = WalletSide("keosd", addresses, k1.public, r1.public, passwords)
        ours = WalletSide(
            "signer",
            {"tcp": Address(port=site.port), "unix": Address(unix=site.socket)},
            site.key("account-k1"),
            site.key("account-r1"),
            {token: site.pin(token) for token in (DEFAULT, OTHER)},
        )
        yield _Sides(keosd, site, theirs, ours)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_wallet_answers_as_keosd(sides: _Sides, scene: Scene) -> None:
    """Each request of the scene, to both, in the same state."""
    wrong = []
    for kind in scene.over:
        sides.prepare(scene)
        for request in scene.requests:
            theirs, ours = sides.theirs.send(request, kind), sides.ours.send(request, kind)
            deliberate = expected(request.name)
            if deliberate is not None and deliberate.answer == theirs and not deliberate.at_times:
                wrong.append(f"{request.name} [{kind}]: the table of differences lists what is none")
            if ours != (theirs if deliberate is None else deliberate.answer):
                wrong.append(
                    f"{request.name} [{kind}]\n  keosd  {theirs}\n  signer {ours}\n  table  {deliberate}"
                )

    assert not wrong, "\n".join(wrong)


def test_every_request_has_one_name_and_every_difference_a_request() -> None:
    """There are at least 150 of them, over every endpoint."""
    names = [request.name for scene in SCENES for request in scene.requests]
    targets = {request.target for scene in SCENES for request in scene.requests}

    assert len(names) == len(set(names)) >= 150
    assert {name for each in DIFFERENCES for name in each.cases} <= set(names)
    assert len([target for target in targets if target.startswith("/v1/wallet/")]) >= 14
