"""The guards: which are on, and who holds the lease."""

from __future__ import annotations

import pytest
from doctor.verdicts import only, verdicts
from rig import two_nodes

from signer.doctor import guards

CONFIG = two_nodes.config()


def test_guards_that_are_on_and_the_holder_of_the_lease() -> None:
    """As they are by default where a producer is configured."""
    held = only(guards.check(CONFIG, ["local"], {"local": {"holder": "a"}}, production=True), "guards")
    free = only(guards.check(CONFIG, ["local"], {"local": {"holder": ""}}, production=True), "guards")
    down = only(guards.check(CONFIG, ["local"], None, production=True), "guards")

    assert {each.verdict.value for each in (held, free, down)} == {"ok"}
    assert "node a has the lease" in held.text
    assert "nobody has the lease yet" in free.text
    assert "has the lease" not in down.text


@pytest.mark.parametrize(("production", "verdict"), [(False, "warning"), (True, "failure")])
@pytest.mark.parametrize("name", ["lease", "rate", "repeat"])
def test_a_guard_that_is_off(name: str, production: bool, verdict: str) -> None:  # noqa: FBT001
    config = CONFIG.model_copy(update={"guards": CONFIG.guards.model_copy(update={name: "off"})})

    found = list(guards.check(config, ["local"], {}, production=production))

    assert verdicts(found) == {("guards", f"local {name}"): verdict}
    assert f'[guards] {name} = "enforce"' in found[0].remedy


def test_a_chain_without_a_producer_has_no_guards() -> None:
    """Nobody said that its nodes are of one producer."""
    bare = CONFIG.chains["local"].model_copy(update={"producer": None})

    assert (
        list(
            guards.check(
                CONFIG.model_copy(update={"chains": {"local": bare}}), ["local"], {}, production=True
            )
        )
        == []
    )
