"""What callers do at a bad moment: ask with each other's key, ask again after a restart, freeze when all hangs."""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from rig.site import Load

from signer.antelope.keys import Digest
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature

if TYPE_CHECKING:
    from rig.site import Site

pytestmark = pytest.mark.chaos

#: The law on a freeze, in s. Measured on an idle machine in tests/bench; three tries here.
_CONFIRMED_S = 0.1


def test_of_two_nodes_that_ask_with_one_key_only_its_own_gets_a_signature(site: Site) -> None:
    """Also when both ask at once, each for blocks of its own."""
    site.start()
    replies: list[Any] = []

    def ask(node: str) -> None:
        replies.extend((node, site.ask(site.key("r1-1"), node=node)) for _ in range(20))

    threads = [threading.Thread(target=ask, args=(node,)) for node in ("primary", "standby")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(node, reply.status) for node, reply in replies} == {("primary", 201), ("standby", 500)}
    assert all(b"wrong_node" in reply.body for node, reply in replies if node == "standby")
    site.wait(lambda _: site.key_status("r1-1")["signatures"] == 20, "the token gave one for each of its own")


def test_a_request_that_is_replayed_across_a_restart_is_answered_for_the_same_digest_and_no_other(
    site: Site,
) -> None:
    """Whoever recorded a request gets nothing by it but signatures of that digest, each of which is in the log."""
    site.start()
    key, digest = site.key("r1-1"), secrets.token_hex(32)
    before = site.ask(key, digest=digest)
    site.stop()
    site.start()
    after = site.ask(key, digest=digest)
    for reply in (before, after):
        assert reply.status == 201
        assert str(recover(Digest(bytes.fromhex(digest)), Signature.parse(json.loads(reply.body)))) == key
    assert site.stop() == 0
    log = (site.state / "audit" / "audit.jsonl").read_text()
    assert log.count(f'"digest":"{digest}"') == 2
    site.start()
    assert site.command("freeze", "--all", "--reason", "drill").returncode == 0
    assert b"frozen" in site.ask(key, digest=digest).body


def every_lane_is_busy(status: dict[str, Any]) -> bool:
    """Whether it is."""
    tokens = [token for token in status["tokens"].values() if token["purpose"] == "block"]
    return all(lane["state"] == "busy" for token in tokens for lane in token["lanes"])


def test_a_freeze_is_confirmed_within_100_ms_while_every_lane_hangs_and_control_is_killed(
    whole: Site,
) -> None:
    """And nothing is signed after it, whatever the lanes give back later."""
    whole.timeout_ms = 10_000
    whole.tables = ["[warmth]", "enabled = false", "[lanes]", "stuck_after_ms = 60000"]
    shims = [whole.shim("primary"), whole.shim("standby")]
    whole.start()
    for shim in shims:
        shim.tell("ok", delay_ms=8_000)
    clients = [(label, node, "tcp") for node in ("primary", "standby") for label in ("r1-1", "r1-2")]
    took_s = []
    with Load(whole, *clients, first=0) as load:
        whole.wait(every_lane_is_busy, "every lane hangs")
        # Each try is the first freeze of something, and the last is of all.
        for scope, name in (("node", "primary"), ("node", "standby"), ("all", "")):
            os.kill(whole.status()["control"]["pid"], signal.SIGKILL)
            began = time.monotonic()
            whole.admin.post("/v1/freeze", {"scope": scope, "name": name, "reason": "drill"})
            took_s.append(time.monotonic() - began)
            if took_s[-1] < _CONFIRMED_S:
                break
            whole.wait(lambda status: status["control"]["state"] == "ready", "control is back")
        whole.admin.post("/v1/freeze", {"scope": "all", "name": "", "reason": "drill"})
        for shim in shims:
            shim.tell("ok")
        load.wait_for_more(len(clients))
    print(f"confirmed after {took_s} s")  # noqa: T201 - the figure
    assert min(took_s) < _CONFIRMED_S
    assert load.signed == 0
