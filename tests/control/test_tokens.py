"""The laws of /v1/tokens: shown once, listed without their texts, ended at once, each act with a name."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rig.control_site import is_problem

if TYPE_CHECKING:
    import httpx
    from rig.control_site import Site


def create(site: Site, **body: object) -> httpx.Response:
    """Make a token as alice."""
    return site.ask("/v1/tokens", method="POST", token=site.person("alice"), json=body)


def test_a_token_is_made_used_listed_and_ended(site: Site) -> None:
    """Its text is in one answer only."""
    made = create(site, name="bob", scopes=["view", "view"], days=1)
    token = made.json()["token"]

    assert made.status_code == 201
    assert site.ask("/v1/whoami", token=token).json() == {"name": "bob", "scopes": ["view"]}
    listed = site.ask("/v1/tokens", token=site.person("alice"))
    assert token not in listed.text
    assert listed.json()["tokens"][-1] == {
        "name": "bob",
        "scopes": ["view"],
        "created_at": "2026-01-02T03:04:05Z",
        "expires_at": "2026-01-03T03:04:05Z",
        "revoked_at": None,
    }
    ended = site.ask("/v1/tokens/bob", method="DELETE", token=site.person("alice"))
    assert ended.json() == {"revoked": "bob"}
    is_problem(site.ask("/v1/whoami", token=token), 401, "token")
    assert site.supervisor.acts == [
        ("token-create", "alice", "for 'bob', scopes view"),
        ("token-revoke", "alice", "of 'bob'"),
    ]


def test_a_token_without_days_ends_all_the_same(site: Site) -> None:
    """Nobody remembers what never ends."""
    made = create(site, name="bob", scopes=["view"])
    assert made.json()["expires_at"] == "2026-04-02T03:04:05Z"
    assert site.tokens.list()[-1].expires_at == site.clock.now + timedelta(days=90)


def test_one_token_for_each_person(site: Site) -> None:
    """A second one is a conflict, and so is ending one that is not there."""
    assert create(site, name="bob", scopes=["view"]).status_code == 201
    is_problem(create(site, name="bob", scopes=["view"]), 409, "token")
    is_problem(site.ask("/v1/tokens/carol", method="DELETE", token=site.person("alice")), 409, "token")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "bob"},
        {"name": "bob", "scopes": []},
        {"name": "bob", "scopes": ["everything"]},
        {"name": "", "scopes": ["view"]},
        {"name": "a b", "scopes": ["view"]},
        {"name": "bob", "scopes": ["view"], "days": 0},
        {"name": "bob", "scopes": ["view"], "days": 3651},
        {"name": "bob", "scopes": ["view"], "days": None},
        {"name": "bob", "scopes": ["view"], "token": "sgn_mine"},
    ],
)
def test_what_is_no_token(body: dict[str, Any], site: Site) -> None:
    """Nothing is made."""
    is_problem(create(site, **body), 422, "invalid")
    assert [each.name for each in site.tokens.list()] == ["alice"]
