"""A node listener is no wallet: whatever is sent there, no block is lost and no PIN is tried."""

from __future__ import annotations

import json
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from rig.nodeos import Genesis, Nodeos
from rig.production import slot
from rig.tools import Tools
from rig.wallet_site import BLOCK, DEFAULT, OTHER

if TYPE_CHECKING:
    from pathlib import Path

    from rig.wallet_site import WalletSite

pytestmark = pytest.mark.chain

#: Blocks under attack: a round, 6 s.
_BLOCKS = 12


def test_nothing_that_a_node_listener_is_sent_changes_anything(site: WalletSite, folder: Path) -> None:
    """lock_all, set_timeout, unlock, remove_key and stop, by GET and POST, over TCP and unix, while nodeos produces."""
    site.settings = {DEFAULT: ["allow_remove_key = true"], BLOCK: ["allow_remove_key = true"]}
    site.stoppable = True
    shims = {token: site.shim(token) for token in (DEFAULT, OTHER, BLOCK)}
    site.start()
    site.unlock()
    assert site.program is not None
    site.program.wait_for(lambda: len(site.status()["tokens"][DEFAULT]["lanes"]) == 2, "all lanes are open")
    key = site.key("block-r1", BLOCK)
    attacks = [
        ("lock_all", ""),
        ("lock", json.dumps(DEFAULT)),
        ("lock", json.dumps(BLOCK)),
        ("set_timeout", "0"),
        ("unlock", json.dumps([OTHER, "wrong"])),
        ("unlock", json.dumps([BLOCK, "wrong"])),
        ("remove_key", json.dumps([DEFAULT, "wrong", site.key("account-r1")])),
        ("remove_key", json.dumps([BLOCK, site.pin(BLOCK), key])),
        ("/v1/keosd/stop", ""),
    ]
    tries = {token: shim.logins() for token, shim in shims.items()}
    statuses: list[int] = []
    ended = threading.Event()

    def attack(way: str, method: str) -> None:
        """One after the other with a pause: a request takes the signer's time too, and that is not what is tested."""
        while not ended.wait(0.02):
            target, body = attacks[len(statuses) % len(attacks)]
            statuses.append(site.ask(target, body, method=method, at=site.node(way)).status)

    threads = [
        threading.Thread(target=attack, args=(way, method))
        for way in ("tcp", "unix")
        for method in ("GET", "POST")
    ]
    provider = f"{key}=KEOSD:http://127.0.0.1:{site.node_port}/v1/wallet/sign_digest"
    with Nodeos(
        Tools.find(),
        folder / "n",
        Genesis.now(key),
        producers=["eosio"],
        providers=[provider],
        lines=[f"keosd-provider-timeout = {site.timeout_ms}"],
    ) as node:
        for thread in threads:
            thread.start()
        try:
            blocks = node.wait_for_blocks(_BLOCKS)
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    assert set(statuses) == {404}
    assert len(statuses) > len(attacks)
    # The first block is made while nodeos starts.
    assert all(slot(after.timestamp) - slot(before.timestamp) == 1 for before, after in pairwise(blocks[1:]))
    assert {token: shim.logins() for token, shim in shims.items()} == tries
    assert site.wallets() == [f"{DEFAULT} *", OTHER, f"{BLOCK} *"]
    # A ".room" beside them is kept for the counter of a full disk: hsm/refused.py.
    assert not list((site.folder / "state").glob("pin-refused/*.json"))
    assert site.status()["state"] == "serving"
