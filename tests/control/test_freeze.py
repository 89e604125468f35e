"""The laws of freezing over the API: in the name of a person, only what is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rig.control_site import is_problem
from rig.fake_rotations import KEY_A, KEY_B

from signer.errors import AdminRefusedError, AdminUnreachableError

if TYPE_CHECKING:
    import httpx
    from rig.control_site import Site


def post(site: Site, path: str, **body: object) -> httpx.Response:
    """Post as alice."""
    return site.ask(path, method="POST", token=site.person("alice"), json=body)


@pytest.mark.parametrize(
    ("scope", "given", "name"),
    [
        ("all", "", ""),
        ("node", "a", "a"),
        ("key", str(KEY_A), str(KEY_A)),
        ("key", KEY_B.legacy, str(KEY_B)),
    ],
)
def test_a_freeze_has_a_person_and_a_reason(scope: str, given: str, name: str, site: Site) -> None:
    """Keys are named in one form; a freeze is ended, and then there is none."""
    assert post(site, "/v1/freeze", scope=scope, name=given, reason="drill").json() == {
        "scope": scope,
        "name": name,
        "durable": True,
    }
    assert site.supervisor.freezes == {(scope, name): ("alice", "drill")}
    assert post(site, "/v1/unfreeze", scope=scope, name=given).json()["was_frozen"] is True
    assert post(site, "/v1/unfreeze", scope=scope, name=given).json()["was_frozen"] is False


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"scope": "all"}, 422, "invalid"),
        ({"scope": "all", "reason": ""}, 422, "invalid"),
        ({"scope": "all", "name": "a", "reason": "x"}, 422, "invalid"),
        ({"scope": "world", "reason": "x"}, 422, "invalid"),
        ({"scope": "node", "name": "x", "reason": "x"}, 404, "unknown-node"),
        ({"scope": "key", "name": "hush", "reason": "x"}, 422, "invalid"),
        ({"scope": "key", "name": "PUB_R1_" + "1" * 50, "reason": "x"}, 422, "invalid"),
    ],
)
def test_a_freeze_that_would_stop_nothing_is_refused(
    body: dict[str, Any], status: int, code: str, site: Site
) -> None:
    """So that nobody believes in it."""
    answer = post(site, "/v1/freeze", **body)
    is_problem(answer, status, code)
    assert "hush" not in answer.text
    assert site.supervisor.freezes == {}


def test_what_is_configured_no_more_can_be_unfrozen(site: Site) -> None:
    """A marker may outlive its key."""
    assert post(site, "/v1/unfreeze", scope="node", name="gone").status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (AdminUnreachableError("x", running=True), 503, "supervisor"),
        (
            AdminRefusedError(409, "freeze-failed", "the marker cannot be written", "free the disk"),
            409,
            "freeze-failed",
        ),
    ],
)
def test_a_supervisor_that_cannot(
    error: Exception, status: int, code: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is a problem, and no freeze is claimed."""

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(site.supervisor, "freeze", fail)
    is_problem(post(site, "/v1/freeze", scope="all", reason="drill"), status, code)
