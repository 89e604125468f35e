"""The laws of /v1/nodes: what is known of what a nodeos lists, and who said so."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rig.control_site import is_problem
from rig.fake_rotations import KEY_A, KEY_B

if TYPE_CHECKING:
    import httpx
    from rig.control_site import Site


def item(site: Site, **changes: object) -> dict[str, Any]:
    """Return one observation of node a."""
    return {"kind": "file", "key": str(KEY_A), "at": site.clock.now.isoformat(), "detail": "pid 7"} | changes


def attest(site: Site, *items: dict[str, Any], node: str = "a") -> httpx.Response:
    """Post observations."""
    return site.ask(
        f"/v1/nodes/{node}/evidence",
        method="POST",
        token=site.person("alice"),
        json={"evidence": list(items)},
    )


def test_every_node_is_shown_with_its_keys(site: Site) -> None:
    """Nobody looked: they are declared, which proves nothing."""
    nodes = site.ask("/v1/nodes", token=site.person("alice")).json()["nodes"]

    assert [(each["name"], each["chain"]) for each in nodes] == [("a", "eos"), ("b", "eos"), ("c", "bare")]
    assert [(each["key"], each["kind"], each["proof"]) for each in nodes[0]["keys"]] == [
        (str(KEY_A), "declared", False)
    ]


def test_what_somebody_read_is_kept_with_their_name(site: Site) -> None:
    """In the journal, and an act in the audit log."""
    answer = attest(site, item(site))

    assert answer.json()["keys"][0] == {
        "key": str(KEY_A),
        "kind": "file",
        "at": "2026-01-02T03:04:05Z",
        "proof": True,
        "detail": "pid 7",
        "by": "alice",
    }
    assert [(each.node, each.by) for each in site.journal.evidence()] == [("a", "alice")]
    assert site.supervisor.acts == [("node-attest", "alice", "node a: 1 of 1 keys are listed; pid 7")]


def test_evidence_grows_old(site: Site) -> None:
    """After rotation.evidence_max_age_h it proves nothing."""
    token = site.person("alice")
    attest(site, item(site))
    site.clock.pass_(timedelta(hours=193).total_seconds())

    assert site.ask("/v1/nodes", token=token).json()["nodes"][0]["keys"][0]["proof"] is False


def test_a_key_that_is_not_listed_is_told(site: Site) -> None:
    """It voids what was known before."""
    attest(site, item(site))
    site.clock.pass_(1)
    assert attest(site, item(site, kind="unlisted")).json()["keys"][0]["kind"] == "unlisted"


@pytest.mark.parametrize(
    "changes",
    [
        {"key": str(KEY_B)},
        {"key": "hush"},
        {"kind": "signed"},
        {"kind": "declared"},
        {"at": "2026-01-02T03:04:05"},
        {"at": "2026-01-02T03:06:00Z"},
        {"detail": ""},
        {"detail": "a\nb"},
        {"by": "bob"},
    ],
)
def test_what_is_no_evidence(changes: dict[str, Any], site: Site) -> None:
    """Nothing of it is kept, also of the good item before it: nobody signs in another's name."""
    answer = attest(site, item(site), item(site, **changes))

    is_problem(answer, 422, "invalid")
    assert "hush" not in answer.text
    assert site.journal.evidence() == []
    assert site.supervisor.acts == []


def test_an_unknown_node_is_404(site: Site) -> None:
    """And no evidence at all is 422."""
    is_problem(attest(site, item(site), node="x"), 404, "unknown-node")
    is_problem(attest(site), 422, "invalid")
