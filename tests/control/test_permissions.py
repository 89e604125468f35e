"""The laws of /v1/permissions: the lines that make it, and what is found of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rig.control_site import is_problem
from rig.two_nodes import ROTATION as ROTATED

from signer.config import Key, Policy, Rule

if TYPE_CHECKING:
    from rig.control_site import Site

    from signer.control.services import Services


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


def test_a_policy_that_leads_around_a_rotation_is_named(site: Site) -> None:
    """The chain does not know it: the account key signs what the signer's own policy allows."""
    fine = site.ask("/v1/permissions/eos", token=site.person("alice")).json()["checks"][-1]
    rule = Rule(name="r", contract="eosio", action="regproducer", authorization="bp1@active")
    services: Services = site.app.state.services
    config = services.config
    account = Key(public_key=ROTATED, role="account", chain="eos", token="primary", label="wallet-1")
    changed = config.model_copy(
        update={"keys": (*config.keys, account), "policies": (Policy(key="wallet-1", rules=(rule,)),)}
    )
    site.app.state.services = replace(services, config=changed)

    shown = site.ask("/v1/permissions/eos", token=site.person("alice")).json()

    found = shown["checks"][-1]
    assert (fine["name"], fine["verdict"]) == ("bypass", "ok")
    assert (found["name"], found["verdict"], shown["good"]) == ("bypass", "failure", False)
    assert "wallet-1" in found["text"]
    assert "regproducer" in found["text"]
    assert "[[policies]]" in found["remedy"]
