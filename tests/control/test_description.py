"""The laws of the API as a whole: every route described, every route behind its scope, every field explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fastapi.routing import APIRoute
from rig.control_site import is_problem

from signer.control import app as control

if TYPE_CHECKING:
    from rig.control_site import Site

SCOPES = frozenset({"view", "operate", "approve", "admin"})
#: What each route asks for: a scope, any token, or nothing.
NEEDS = {
    ("GET", "/v1/health"): "view",
    ("GET", "/metrics"): "view",
    ("GET", "/v1/health/live"): None,
    ("GET", "/v1/health/ready"): None,
    ("GET", "/v1/whoami"): "any",
    ("GET", "/v1/status"): "view",
    ("GET", "/v1/rotations"): "view",
    ("POST", "/v1/rotations"): "operate",
    ("POST", "/v1/rotations/dry-run"): "view",
    ("GET", "/v1/rotations/{rotation_id}"): "view",
    ("GET", "/v1/rotations/{rotation_id}/events"): "view",
    ("POST", "/v1/rotations/{rotation_id}/abort"): "operate",
    ("POST", "/v1/rotations/{rotation_id}/approve"): "approve",
    ("GET", "/v1/producers"): "view",
    ("GET", "/v1/producers/{chain}"): "view",
    ("GET", "/v1/producers/{chain}/slots"): "view",
    ("GET", "/v1/leases"): "view",
    ("POST", "/v1/leases/{chain}"): "operate",
    ("GET", "/v1/permissions/{chain}"): "view",
    ("GET", "/v1/rings"): "view",
    ("POST", "/v1/keys/{key}/destroy"): "admin",
    ("GET", "/v1/nodes"): "view",
    ("POST", "/v1/nodes/{name}/evidence"): "operate",
    ("POST", "/v1/freeze"): "operate",
    ("POST", "/v1/unfreeze"): "admin",
    ("GET", "/v1/tokens"): "admin",
    ("POST", "/v1/tokens"): "admin",
    ("DELETE", "/v1/tokens/{name}"): "admin",
}
PRIVATE = sorted((route, scope) for route, scope in NEEDS.items() if scope is not None)


def described(site: Site) -> dict[str, Any]:
    """Return the description, as somebody with a token gets it."""
    answer: dict[str, Any] = site.ask("/v1/openapi.json", token=site.token()).json()
    return answer


def test_every_route_is_described_and_known_here(site: Site) -> None:
    """But the description itself."""
    routes = {
        (method, route.path)
        for each in (control.router, *(module.router for module in control._ROUTED))  # noqa: SLF001 - all there are
        for route in each.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    found = {
        (method.upper(), path) for path, methods in described(site)["paths"].items() for method in methods
    }

    assert found == set(NEEDS)
    assert routes - found == {("GET", "/v1/openapi.json")}


@pytest.mark.parametrize(("route", "scope"), PRIVATE)
def test_every_route_asks_for_its_scope_first(route: tuple[str, str], scope: str, site: Site) -> None:
    """Whatever the body: 401 without a token, 403 with every other scope, neither of both with the right one."""
    method, path = route
    path = path.format(rotation_id=1, chain="eos", name="a", key="k")
    is_problem(site.ask(path, method=method), 401, "token")
    if scope != "any":
        wrong = site.ask(path, method=method, token=site.token(*(SCOPES - {scope}), name="wrong"))
        is_problem(wrong, 403, "scope")
    right = site.ask(path, method=method, token=site.token(*(SCOPES if scope == "any" else {scope})))
    assert right.status_code not in (401, 403), right.text


def test_every_route_says_what_it_asks_for_and_how_it_refuses(site: Site) -> None:
    """The token, and the form of problems."""
    paths = described(site)["paths"]
    for (method, path), scope in NEEDS.items():
        route = paths[path][method.lower()]
        assert route.get("security", []) == ([] if scope is None else [{"HTTPBearer": []}]), path
        assert list(route["responses"]["default"]["content"]) == ["application/problem+json"], path
        assert route["description"], path


def test_every_field_is_explained(site: Site) -> None:
    """Of all that is taken and shown; fastapi's own models are not ours."""
    schemas = described(site)["components"]["schemas"]
    own = {
        name: each for name, each in schemas.items() if name not in ("HTTPValidationError", "ValidationError")
    }
    silent = [
        f"{name}.{field}"
        for name, schema in own.items()
        for field, about in schema.get("properties", {}).items()
        if not about.get("description")
    ]
    assert silent == []
    assert {"RotationView", "RotationDetail", "ProducerDetail", "NodeView", "TokenView"} <= set(own)


def test_every_reference_in_the_description_leads_somewhere(site: Site) -> None:
    """It is valid as a whole: each $ref has a target."""
    text = described(site)

    def references(part: object) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [each for value in part.values() for each in references(value)]
        return [each for value in part for each in references(value)] if isinstance(part, list) else []

    found = references(text["paths"]) + references(text["components"])
    assert found
    assert text["openapi"].startswith("3.1")
    for reference in found:
        target: Any = text
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
