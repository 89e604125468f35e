"""Latency against what nodeos waits, and the timeout that is recommended."""

from __future__ import annotations

from typing import Any

import pytest
from doctor.verdicts import verdicts
from rig import two_nodes

from signer.doctor import latency

#: Node a waits 7 ms, node b 5 ms; both have K1 and R1 keys in the token `block`, which is made a software token.
CONFIG = two_nodes.config()


def _asked(**changed: float) -> dict[str, Any]:
    return {"count": 600, "p50_ms": 0.9, "p99_ms": 2.0, "worst_ms": 4.5, "above_timeout": 0} | changed


@pytest.mark.parametrize(
    ("changed", "verdict", "recommended"),
    [
        ({}, "ok", 5),
        ({"p99_ms": 3.5}, "ok", 7),
        ({"p99_ms": 3.6}, "warning", 8),
        ({"above_timeout": 1}, "warning", 5),
        ({"above_timeout": 7}, "failure", 5),
        ({"p99_ms": 40.0, "above_timeout": 300}, "failure", 80),
    ],
)
def test_requests_of_a_node(changed: dict[str, float], verdict: str, recommended: int) -> None:
    """A hundredth that is late is a failure; twice the 99th hundredth has to fit."""
    found = [
        each
        for each in latency.check(CONFIG, ["a"], {"a": {"R1": _asked(**changed)}}, {}, busy=True)
        if each.subject == "a R1"
    ]

    assert [each.verdict.value for each in found] == [verdict]
    if verdict == "ok":
        assert f"recommended {recommended}" in found[0].text
    elif recommended > 7:
        assert f"keosd-provider-timeout = {recommended} " in found[0].remedy
    else:
        assert "keosd-provider-timeout" not in found[0].remedy  # a longer one would not help


def test_few_requests_are_not_believed_and_probes_stand_in() -> None:
    few = {"a": {"R1": _asked(count=11, p99_ms=50.0)}}

    assert verdicts(latency.check(CONFIG, ["a"], few, {}, busy=False))["latency", "a R1"] == "unknown"
    found = latency.check(CONFIG, ["a"], few, {("block", "R1"): [1.0] * 11 + [2.0]}, busy=False)
    assert verdicts(found)["latency", "a R1"] == "ok"


@pytest.mark.parametrize(
    ("slow", "verdict"), [([], "ok"), ([3.0], "warning"), ([6.0], "warning"), ([6.0, 6.0], "failure")]
)
def test_probe_signatures(slow: list[float], verdict: str) -> None:
    """One late one of twelve may be an accident, two are none. Node b waits 5 ms less a margin."""
    times = {("block", "K1"): [1.0] * (12 - len(slow)) + slow}

    assert verdicts(latency.check(CONFIG, ["b"], {}, times, busy=False))["latency", "b K1"] == verdict


@pytest.mark.parametrize(("slow", "verdict"), [(60.0, "warning"), (1.0, "ok")])
def test_probe_signatures_on_a_busy_machine_recommend_nothing(slow: float, verdict: str) -> None:
    """They would have nodeos wait for what is over tomorrow."""
    found = next(iter(latency.check(CONFIG, ["b"], {}, {("block", "K1"): [slow] * 12}, busy=True)))

    assert found.verdict.value == verdict
    assert "keosd-provider-timeout" not in found.remedy


def test_only_software_tokens_with_a_probe_key_are_measured() -> None:
    assert latency.missing(CONFIG, {}, ["a", "b"]) == []

    block = CONFIG.tokens["block"].model_copy(update={"software": True})
    probe = CONFIG.keys[0].model_copy(
        update={"role": "probe", "node": None, "public_key": two_nodes.public_key(31)}
    )
    config = CONFIG.model_copy(
        update={"tokens": CONFIG.tokens | {"block": block}, "keys": (*CONFIG.keys, probe)}
    )
    assert latency.missing(config, {}, ["a", "b"]) == [("block", "R1")]
    known = {"a": {"R1": _asked()}, "b": {"R1": _asked()}}
    assert latency.missing(config, known, ["a", "b"]) == []
