"""The laws of /v1/rings: how many nights are left, also while the chain is silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rig.fake_rotations import KEY_A, KEY_B

from signer.antelope.name import parse_name
from signer.chain.values import ProducerRow, WeightedKey

if TYPE_CHECKING:
    from rig.control_site import Site


def test_the_keys_of_each_node(site: Site) -> None:
    """The one in the row is used; one that does not sign is unfit; few are low."""
    site.chain.row = ProducerRow(
        parse_name("bp1"),
        (WeightedKey(KEY_A, 1),),
        (),
        1,
        is_active=True,
        url="",
        location=0,
        total_votes=1.0,
    )
    site.status["keys"] = [
        {"public_key": str(KEY_A), "state": "active"},
        {"public_key": str(KEY_B), "state": "quarantined"},
    ]

    rings = site.ask("/v1/rings", token=site.person("alice")).json()["rings"]

    assert [(each["node"], each["used"], each["unused"], each["unfit"]) for each in rings] == [
        ("a", [str(KEY_A)], [], []),
        ("b", [], [], [str(KEY_B)]),
        ("c", [], [], []),
    ]
    assert [(each["nights_left"], each["low"]) for each in rings] == [(0, True)] * 3


def test_a_silent_chain_leaves_the_rings(site: Site) -> None:
    """What the row names is then not known, and nothing else is missing."""
    site.chain.seen = False
    site.status["keys"] = [{"public_key": str(KEY_A), "state": "active"}]

    ring = site.ask("/v1/rings", token=site.person("alice")).json()["rings"][0]
    assert (ring["unused"], ring["nights_left"]) == ([str(KEY_A)], 1)
