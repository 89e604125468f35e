"""Ready: every node has a key that can sign, in a token that proved it lately where it could."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from rig.site import CONTROL

from signer import config_file
from signer.signing.proofs import EVERY_S
from signer.supervisor.readiness import FRESH_S, obstacles

if TYPE_CHECKING:
    from rig.site import Site

    from signer.config import Config

_NOW = 1_700_000_000.0


@pytest.fixture
def config(site: Site) -> Config:
    """Two nodes, a token each; each token has a probe key."""
    site.write()
    return config_file.load(site.config)


def _judge(config: Config, silence: str = "", age_s: float = 0.0, state: str = "active") -> list[str]:
    """Judge a signer whose keys are in `state` and whose tokens proved themselves `age_s` ago."""
    keys = [{"node": key.node, "role": key.role, "state": state, "token": key.token} for key in config.keys]
    tokens = {name: {"purpose": "block", "proved_at": _NOW - age_s} for name in config.tokens}
    return obstacles(config, keys, tokens, silence, _NOW)


def test_all_is_well(config: Config) -> None:
    assert _judge(config, age_s=FRESH_S) == []


def test_a_signing_process_that_is_silent_is_the_only_reason(config: Config) -> None:
    assert _judge(config, "it does not answer", state="unavailable") == ["it does not answer"]


def test_each_node_needs_a_key(config: Config) -> None:
    expected = [f"node {name} has no key that can sign" for name in ("primary", "standby")]
    assert _judge(config, state="quarantined") == expected


def test_a_token_that_was_not_proved_lately_is_not_believed(config: Config) -> None:
    found = _judge(config, age_s=FRESH_S + 1)
    assert found == [
        f"node {name}: no signature and no probe of token {name} for 60 s" for name in ("primary", "standby")
    ]


def test_a_token_without_a_probe_key_cannot_be_stale(site: Site) -> None:
    """Nothing can prove it while its node does not produce."""
    site.keys = [key for key in site.keys if key.role != "probe"]
    site.write()
    assert _judge(config_file.load(site.config), age_s=1e6) == []


def test_a_second_token_that_is_fresh_will_do(site: Site) -> None:
    """The node's keys are in two tokens, of which one hangs."""
    moved = next(key for key in site.keys if (key.store, key.label) == ("standby", "r1-1"))
    site.write()
    text = site.config.read_text().replace(
        f'public_key = "{moved.public_key}"\nrole = "block"\ntoken = "standby"\nlabel = "r1-1"\nnode = "standby"',
        f'public_key = "{moved.public_key}"\nrole = "block"\ntoken = "standby"\nlabel = "r1-1"\nnode = "primary"',
    )
    site.config.write_text(text)
    config = config_file.load(site.config)
    keys = [
        {"node": key.node, "role": key.role, "state": "active", "token": key.token} for key in config.keys
    ]
    tokens: dict[str, Any] = {
        "primary": {"purpose": "block", "proved_at": None},
        "standby": {"purpose": "block", "proved_at": _NOW},
    }
    assert obstacles(config, keys, tokens, "", _NOW) == []


def _get(site: Site, path: str) -> httpx.Response:
    transport = httpx.HTTPTransport(uds=str(site.folder / "run/admin/admin.sock"))
    with httpx.Client(transport=transport, base_url="http://localhost") as client:
        return client.get(path)


def test_the_admin_socket_says_200_or_503_and_why(site: Site) -> None:
    shim = site.shim("standby")
    site.start().wait(lambda status: status["ready"], "it is ready")
    ready = _get(site, "/v1/health/ready")
    assert (ready.status_code, ready.json()["obstacles"]) == (200, [])
    assert ready.json()["proved_at"].keys() == {"primary", "standby"}
    assert all(ready.json()["proved_at"].values())

    shim.tell("segv")
    site.wait(lambda status: status["tokens"]["standby"]["state"] == "away", "the token is away")
    away = _get(site, "/v1/health/ready")
    assert away.status_code == 503
    assert away.json()["obstacles"] == ["node standby has no key that can sign"]
    assert _get(site, "/v1/health/live").json() == {"status": "ok"}
    shim.tell("ok")
    site.wait(lambda status: status["ready"], "it is ready again")
    assert _get(site, "/v1/health").status_code == 200


def test_nobody_who_asks_makes_a_token_work(site: Site) -> None:
    site.tables = ["[warmth]", "enabled = false"]
    site.start().wait(lambda status: status["ready"], "it is ready")
    proved = {name: site.status()["tokens"][name]["proved_at"] for name in ("primary", "standby")}
    for _ in range(20):
        assert _get(site, "/v1/health/ready").json()["proved_at"] == proved


def test_rehearsals_prove_every_software_token(site: Site) -> None:
    """They take turns: far more often than each token would be proved without them."""
    site.start().wait(lambda status: status["ready"], "it is ready")
    seen: dict[str, set[float]] = {"primary": set(), "standby": set()}

    def look(status: dict[str, Any]) -> bool:
        for name, moments in seen.items():
            moments.add(status["tokens"][name]["proved_at"])
        return all(len(moments) >= 4 for moments in seen.values())

    site.wait(look, "both were proved again and again", timeout_s=EVERY_S)


def test_a_control_token_is_no_part_of_it(whole: Site) -> None:
    status = whole.start().wait(lambda status: status["ready"], "it is ready")
    assert status["tokens"][CONTROL]["state"] in ("logged-in", "starting", "closed")
    assert CONTROL not in _get(whole, "/v1/health").json()["proved_at"]
