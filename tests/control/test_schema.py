"""The control API against its own description: well-formed and malformed data, with a token of each scope.

Schemathesis makes the data. A short run here; CONTROL_API_EXAMPLES=500 gives that many for each route and kind.
"""

from __future__ import annotations

import itertools
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import pytest
import schemathesis
from fuzz.outcome import SECRET, check_answer
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
)

if TYPE_CHECKING:
    from rig.control_site import Site
    from schemathesis import Case

_EXAMPLES: Final = int(os.environ.get("CONTROL_API_EXAMPLES", "6"))
_SCOPES: Final = ("view", "operate", "approve", "admin")
#: A stream has no end that could be waited for; tests/control/test_events.py has its laws.
_STREAMS: Final = "/v1/rotations/{rotation_id}/events"


@pytest.fixture
def people(site: Site) -> dict[str, str]:
    """A token of each scope, and one of all."""
    return {scope: site.token(scope, name=scope) for scope in _SCOPES} | {"all": site.person("everybody")}


def _described(site: Site, token: str) -> dict[str, Any]:
    description: dict[str, Any] = site.ask("/v1/openapi.json", token=token).json()
    return description


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_data_breaks_the_api(
    site: Site,
    people: dict[str, str],
    mode: GenerationMode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No 5xx, no 2xx for what is malformed, every answer as described, no trace and no token in any of them."""
    schema = schemathesis.openapi.from_dict(_described(site, people["all"]))
    schema.app = site.app
    asked = 0
    some = itertools.cycle(_SCOPES)
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        if operation.path == _STREAMS:
            continue

        @settings(
            max_examples=_EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: Case[Any]) -> None:
            nonlocal asked
            asked += 1
            for who in (next(some), "all"):
                headers = {"authorization": f"Bearer {people[who]}", "host": "localhost"}
                response = case.call(base_url="http://localhost", headers=headers)
                issued = case.path == "/v1/tokens" and response.status_code == HTTPStatus.CREATED
                check_answer(b"" if issued else response.content)
                assert issued or people[who] not in response.text
                checks = [not_a_server_error, content_type_conformance, response_schema_conformance]
                if mode is GenerationMode.NEGATIVE:
                    checks.append(negative_data_rejection)
                case.validate_response(response, checks=checks)

        try:
            holds()
        except Unsatisfiable:
            continue  # it takes nothing that could be malformed
        except Exception as error:
            error.add_note(f"{operation.method} {operation.path}")
            raise
    assert asked > 20
    text = caplog.text
    assert "Traceback" not in text
    assert SECRET not in text
    assert all(token not in text for token in people.values())
