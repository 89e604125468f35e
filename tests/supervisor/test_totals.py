"""The totals: every decision once, over every reload, and no label that a caller chose."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rig.memory_token import PrivateKey
from rig.site import Load

from signer.antelope.keys import Curve

if TYPE_CHECKING:
    from rig.site import Site

#: A key that nobody configured (EOSIO's development key).
_STRANGER = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"


def _settled(site: Site, count: int) -> dict[str, Any]:
    """Return the status when the supervisor has `count` decisions: they come up to 10 ms after their answers."""
    return site.wait(lambda status: sum(status["counters"]["verdicts"].values()) == count, f"{count} counted")


def test_nothing_is_counted_before_anybody_asks(site: Site) -> None:
    """The keys' checks and the rehearsals, of which there were many by now, are no signatures."""
    status = site.start().wait(lambda status: status["ready"], "it is ready")
    assert (status["counters"]["verdicts"], status["counters"]["decisions"], status["latency"]) == (
        {},
        [],
        {},
    )


def test_every_decision_is_counted_by_key_node_verdict_and_rule(site: Site) -> None:
    site.start()
    for _ in range(3):
        site.sign("r1-1")
    site.sign("k1-1", node="standby", via="tcp")
    assert site.ask(site.key("r1-1", "standby"), node="primary").status == 500
    assert site.ask(_STRANGER).status == 500
    status = _settled(site, 6)
    counted = {
        (each["key"], each["node"], each["verdict"], each["rule"]): each["count"]
        for each in status["counters"]["decisions"]
    }
    assert counted == {
        (site.key("r1-1"), "primary", "signed", ""): 3,
        (site.key("k1-1", "standby"), "standby", "signed", ""): 1,
        (site.key("r1-1", "standby"), "primary", "refused", "wrong-node"): 1,
        ("", "primary", "refused", "wallet_missing_pub_key_exception"): 1,
    }
    assert status["counters"]["rules"] == {"wrong-node": 1, "wallet_missing_pub_key_exception": 1}


def test_a_caller_cannot_make_labels(site: Site) -> None:
    """However many keys are asked for that nobody has, they are one count."""
    site.start()
    for _ in range(20):
        site.ask(str(PrivateKey(Curve.R1).public))
    status = _settled(site, 20)
    assert [each["key"] for each in status["counters"]["decisions"]] == [""]


def test_counts_and_latency_survive_reloads_and_a_killed_signing_process(site: Site) -> None:
    site.start()
    with Load(site, ("r1-1", "primary", "tcp"), ("k1-1", "standby", "unix")) as load:
        site.admin.post("/v1/reload")
        load.wait_for_more()
        site.admin.post("/v1/reload")
        load.wait_for_more()
    assert load.failed == []
    status = _settled(site, load.signed)
    assert sum(node[curve]["count"] for node in status["latency"].values() for curve in node) == load.signed
    assert set(status["latency"]["primary"]) == {"R1"}
    assert set(status["latency"]["standby"]) == {"K1"}
    latency = status["latency"]["primary"]["R1"]
    assert len(latency["counts"]) == len(latency["buckets_ms"]) + 1
    assert 0 < latency["p50_ms"] <= latency["p99_ms"] <= latency["worst_ms"]
    assert latency["above_timeout"] == 0


def test_hsm_operations_per_signature_are_counted_by_curve(site: Site) -> None:
    site.start()
    for _ in range(10):
        site.sign("r1-1")
    for _ in range(50):
        site.sign("k1-1")
    tries = _settled(site, 60)["counters"]["tries"]
    assert (sum(tries["R1"]["counts"]), sum(tries["K1"]["counts"])) == (10, 50)
    assert tries["R1"]["sum"] >= 10
    # Two lanes race and the first signature that is canonical wins: three in four need one try, so fifty in a row do
    # once in a million runs.
    assert tries["K1"]["sum"] > 50


def test_lost_lanes_are_counted_by_token(site: Site) -> None:
    shim = site.shim("primary")
    site.start()
    shim.tell("segv")
    site.wait(lambda status: status["counters"]["lanes_lost"].get("primary", 0) >= 1, "a lane is lost")
    shim.tell("ok")
    status = site.wait(lambda status: {key["state"] for key in status["keys"]} == {"active"}, "it is well")
    lost = Counter(event["token"] for event in site.events("lane lost"))
    assert status["counters"]["lanes_lost"] == dict(lost)
