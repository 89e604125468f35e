"""The laws of /v1/permissions: the lines that make it, and what is found of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rig.control_site import is_problem

if TYPE_CHECKING:
    from rig.control_site import Site


def test_the_lines_and_the_checks(site: Site) -> None:
    """An account without the permission is not as it should be."""
    shown = site.ask("/v1/permissions/eos", token=site.person("alice")).json()

    assert (shown["producer"], shown["permission"], shown["good"]) == ("bp1", "rotate", False)
    assert shown["commands"][0][:5] == ["set", "account", "permission", "bp1", "rotate"]
    found = {each["name"]: each["verdict"] for each in shown["checks"]}
    assert (found["permission"], found["block-keys-anywhere"]) == ("failure", "unknown")
    assert "one key" in shown["too_few_keys"]


def test_a_silent_chain_is_503(site: Site) -> None:
    """And one that is not configured is 409."""
    site.chain.seen = False
    is_problem(site.ask("/v1/permissions/eos", token=site.person("alice")), 503, "chain")
    is_problem(site.ask("/v1/permissions/bare", token=site.person("alice")), 409, "not-configured")
