"""Nodes, clocks, listings, permission and rings: every verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from doctor.verdicts import only, verdicts
from rig import two_nodes

from signer.doctor import chains, listings
from signer.doctor.facts import HeadFact, NodeosFact

CONFIG = two_nodes.config()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
API, OTHER = CONFIG.chains["local"].api
HEAD = HeadFact(API, two_nodes.CHAIN_ID, 1000, NOW, "v5", 0.2)
HEADS = [HEAD, replace(HEAD, url=OTHER)]
NODES = {"a": replace(HEAD, url="http://127.0.0.1:1"), "b": replace(HEAD, url="http://127.0.0.1:2")}


def test_nodes_in_sync_are_ok() -> None:
    assert verdicts(chains.check(CONFIG, "local", HEADS, NODES, production=True)) == {
        ("api", API): "ok",
        ("api", OTHER): "ok",
        ("node", "a"): "ok",
        ("node", "b"): "ok",
        ("clock", "local"): "ok",
    }


@pytest.mark.parametrize(
    ("changed", "api", "node"),
    [
        ({"problem": "nobody listens", "chain_id": ""}, "warning", "failure"),
        ({"chain_id": "bb" * 32}, "failure", "failure"),
        ({"head": 989}, "warning", "failure"),
        ({"head": 991}, "ok", "ok"),
    ],
)
def test_a_node_that_is_not_well(changed: dict[str, Any], api: str, node: str) -> None:
    """An API node has another beside it; our own nodeos produces or does not."""
    as_api = chains.check(CONFIG, "local", [HEADS[0], replace(HEADS[1], **changed)], NODES, production=False)
    as_node = chains.check(
        CONFIG, "local", HEADS, {**NODES, "b": replace(NODES["b"], **changed)}, production=False
    )

    assert verdicts(as_api)["api", OTHER] == api
    assert verdicts(as_node)["node", "b"] == node


@pytest.mark.parametrize(("production", "verdict"), [(False, "warning"), (True, "failure")])
def test_one_api_node(production: bool, verdict: str) -> None:  # noqa: FBT001
    found = verdicts(chains.check(CONFIG, "local", HEADS[:1], NODES, production=production))

    assert found["api-count", "local"] == verdict


def test_a_node_without_an_address_is_unknown() -> None:
    found = list(chains.check(CONFIG, "local", HEADS, {"a": None}, production=False))

    assert verdicts(found)["node", "a"] == "unknown"
    assert "[nodes.a] api" in only(found, "node").remedy


@pytest.mark.parametrize(("producer", "verdict"), [("bp1", "warning"), (None, "unknown")])
def test_a_chain_without_any_address(producer: str | None, verdict: str) -> None:
    assert verdicts(chains.silent("local", producer)) == {("api", "local"): verdict}


def test_a_chain_that_this_signer_does_not_move_needs_one_api() -> None:
    config = CONFIG.model_copy(
        update={"chains": {"local": CONFIG.chains["local"].model_copy(update={"producer": None})}}
    )

    found = verdicts(chains.check(config, "local", HEADS[:1], {}, production=True))

    assert found["api", "local"] == "ok"
    assert ("api-count", "local") not in found


@pytest.mark.parametrize(
    ("ahead", "verdict", "word"),
    [
        (-0.4, "ok", "of 2 nodes"),
        (-1.5, "failure", "behind"),
        (3.0, "warning", "slots are missing"),
        (9.0, "failure", "the chain stands"),
    ],
)
def test_the_clock(ahead: float, verdict: str, word: str) -> None:
    """By the newest head: one node that is behind says nothing."""
    heads = [replace(HEADS[0], ahead_s=ahead), replace(HEADS[1], ahead_s=max(ahead, 30.0))]

    found = only(chains.check(CONFIG, "local", heads, {}, production=False), "clock")

    assert found.verdict.value == verdict
    assert word in found.text


def test_a_clock_that_nobody_tells() -> None:
    heads = [replace(each, problem="no answer", chain_id="") for each in HEADS]

    assert verdicts(chains.check(CONFIG, "local", heads, {}, production=False))["clock", "local"] == "unknown"


# -- what nodes list --------------------------------------------------------------------------------------


def _told(*kinds: str, proof: bool, hours: int = 1) -> dict[str, Any]:
    at = (NOW - timedelta(hours=hours)).isoformat()
    keys = [{"key": f"K{n}", "kind": kind, "at": at, "proof": proof} for n, kind in enumerate(kinds)]
    return {"nodes": [{"name": "a", "keys": keys}]}


@pytest.mark.parametrize(
    ("told", "verdict", "word"),
    [
        (_told("file", "signed", proof=True, hours=30), "ok", "30 h old"),
        (_told("declared", "declared", proof=False), "warning", "nobody looked"),
        (_told("file", "file", proof=False, hours=400), "warning", "older than 192 h"),
        (_told("file", "unlisted", proof=True), "warning", "could not use 1 of 2 keys"),
        (None, "unknown", "no access token"),
    ],
)
def test_what_a_node_elsewhere_lists(told: dict[str, Any] | None, verdict: str, word: str) -> None:
    found = list(listings.check(CONFIG, ["a"], [], told, silence="x: no access token", now=NOW))

    assert verdicts(found) == {("config-lines", "a"): verdict}
    assert word in found[0].text


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [("timeout", "warning"), ("url", "failure"), ("key-in-memory", "failure"), ("producer-name", "failure")],
)
def test_what_a_node_on_this_host_lists(rule: str, verdict: str) -> None:
    """It was read just now, so no evidence is asked for."""
    fine = NodeosFact(7, "a", "1:2", 3, 3)
    wrong = replace(fine, findings=((rule, "text", "remedy"),))

    assert verdicts(listings.check(CONFIG, ["a"], [fine], None, silence="", now=NOW)) == {
        ("config-lines", "a"): "ok"
    }
    assert verdicts(listings.check(CONFIG, ["a"], [wrong], None, silence="", now=NOW)) == {
        ("config-lines", "a"): verdict
    }


def test_two_nodeos_with_the_keys_of_one_node() -> None:
    """Each of them produces."""
    both = [NodeosFact(7, "a", "1:2", 3, 3), NodeosFact(8, "a", "1:3", 3, 3)]

    found = list(listings.check(CONFIG, ["a"], both, None, silence="", now=NOW))

    assert verdicts(found)["double", "a"] == "failure"
    assert "processes 7 and 8" in only(found, "double").text


def test_a_nodeos_that_may_not_be_looked_at_is_unknown() -> None:
    hidden = NodeosFact(7, "", problem="may not be read")

    found = verdicts(listings.check(CONFIG, [], [hidden], None, silence="", now=NOW))

    assert found == {("config-lines", "pid 7"): "unknown"}


# -- the permission, the rings ----------------------------------------------------------------------------


def _checks(*verdicts_: str) -> dict[str, Any]:
    remedy = {"ok": ""}
    return {
        "producer": "bp1",
        "permission": "rotate",
        "checks": [
            {"name": f"n{n}", "verdict": each, "text": "text", "remedy": remedy.get(each, "remedy")}
            for n, each in enumerate(verdicts_)
        ],
    }


@pytest.mark.parametrize(
    ("told", "production", "verdict"),
    [
        (_checks("ok", "ok"), True, "ok"),
        (_checks("ok", "failure"), False, "failure"),
        (_checks("ok", "warning"), False, "warning"),
        (_checks("ok", "warning"), True, "failure"),
        (_checks("ok", "unknown"), True, "unknown"),
        (None, True, "unknown"),
    ],
)
def test_the_permission(told: dict[str, Any] | None, production: bool, verdict: str) -> None:  # noqa: FBT001
    found = listings.permission(CONFIG, told, "no access token", "local", production=production)

    assert list(verdicts(found).values()) == [verdict]


@pytest.mark.parametrize(
    ("left", "low", "verdict"), [(5, False, "ok"), (2, True, "warning"), (0, True, "warning")]
)
def test_the_rings(left: int, low: bool, verdict: str) -> None:  # noqa: FBT001
    told = {"rings": [{"node": name, "curve": "R1", "nights_left": left, "low": low} for name in ("a", "b")]}

    found = list(listings.rings(CONFIG, told, "", ["a"]))

    assert verdicts(found) == {("ring", "a"): verdict}
    assert verdicts(listings.rings(CONFIG, None, "no access token", ["a"])) == {("ring", ""): "unknown"}
    if verdict != "ok":
        assert "signer keys generate --node a" in found[0].remedy


def test_whose_silence_it_is() -> None:
    """The permission is on the chain; who tells of it are its API nodes, by way of the control process."""
    for silence, remedy in (
        ("No API node of local tells", "Chain not seen"),
        ("no access token", "signer token create"),
        ("it does not answer", "control process"),
    ):
        found = only(listings.permission(CONFIG, None, silence, "local", production=False), "permission")
        assert (found.verdict.value, remedy in found.remedy) == ("unknown", True)
