"""The laws of leases over the API: in the name of a person, for nodes of that chain, by who may operate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rig.control_site import is_problem

if TYPE_CHECKING:
    from rig.control_site import Site


def test_a_lease_is_given_by_a_person_with_a_reason(site: Site) -> None:
    body = {"node": "b", "reason": "drill"}
    answer = site.ask("/v1/leases/eos", method="POST", token=site.token("operate"), json=body)
    assert answer.json() == {"chain": "eos", "node": "b"}
    assert site.supervisor.acts == [("lease eos b", "alice", "drill")]


@pytest.mark.parametrize(
    ("chain", "body", "status", "code"),
    [
        ("eos", {"node": "b"}, 422, "invalid"),
        ("eos", {"node": "b", "reason": ""}, 422, "invalid"),
        ("eos", {"node": "b", "reason": "a\nb"}, 422, "invalid"),
        ("eos", {"node": "b", "reason": "x", "force": True}, 422, "invalid"),
        ("eos", {"node": "c", "reason": "x"}, 404, "unknown-node"),
        ("eos", {"node": "nobody", "reason": "x"}, 404, "unknown-node"),
        ("wax", {"node": "b", "reason": "x"}, 404, "unknown-chain"),
    ],
)
def test_what_is_not_there_gets_none(
    chain: str, body: dict[str, Any], status: int, code: str, site: Site
) -> None:
    answer = site.ask(f"/v1/leases/{chain}", method="POST", token=site.person("alice"), json=body)
    is_problem(answer, status, code)
    assert site.supervisor.acts == []


def test_who_may_view_may_not_give_it(site: Site) -> None:
    body = {"node": "b", "reason": "drill"}
    answer = site.ask("/v1/leases/eos", method="POST", token=site.token("view"), json=body)
    is_problem(answer, 403, "scope")
    assert site.supervisor.acts == []


def test_each_chain_with_nodes_is_shown(site: Site) -> None:
    site.status["guards"] = {
        "eos": {
            "holder": "a",
            "claim": "first",
            "since": 1.0,
            "signed_at": 2.0,
            "silence_s": 252,
            "chain_seen": True,
        }
    }
    leases = {
        each["chain"]: each for each in site.ask("/v1/leases", token=site.token("view")).json()["leases"]
    }
    assert set(leases) == {"eos", "bare"}
    assert (leases["eos"]["mode"], leases["eos"]["holder"]) == ("observe", "a")
    assert (leases["bare"]["mode"], leases["bare"]["holder"]) == ("off", None)
