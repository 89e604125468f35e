"""The laws of the control API: who gets in, what every answer carries, what no answer or log shows."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from rig.control_site import is_problem
from rig.tracer_provider import Provider

from signer.control.border import HEADERS
from signer.errors import AdminError

if TYPE_CHECKING:
    from rig.control_site import Site

LIVE = "/v1/health/live"
PRIVATE = ("/v1/whoami", "/v1/status", "/v1/openapi.json")
WRONG = "sgn_" + "A" * 43


def test_health_needs_no_token_and_says_nothing(site: Site) -> None:
    """Live and ready: one word."""
    for path in (LIVE, "/v1/health/ready"):
        answer = site.ask(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_no_telemetry_sees_a_request(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment has configured: a request has a token in it."""
    provider = Provider.install(monkeypatch)
    assert site.ask("/v1/whoami", token=site.token("view")).status_code == 200
    assert provider.asked == 0


def test_a_broken_store_is_alive_but_not_ready(site: Site) -> None:
    """And nobody is let in."""
    token = site.token()
    site.tokens._database._connection.execute("DROP TABLE tokens")  # noqa: SLF001 - a fault from outside
    assert site.ask(LIVE).status_code == 200
    is_problem(site.ask("/v1/health/ready"), 503, "store")
    is_problem(site.ask("/v1/whoami", token=token), 503, "store")


def test_whoami_names_the_person_and_the_scopes(site: Site) -> None:
    """As the token was made."""
    answer = site.ask("/v1/whoami", token=site.token("view", "admin"))
    assert answer.json() == {"name": "alice", "scopes": ["admin", "view"]}


def test_status_is_the_supervisors(site: Site) -> None:
    """For those who may view."""
    assert site.ask("/v1/status", token=site.token("view")).json() == site.status


@pytest.mark.parametrize("scope", ["operate", "approve", "admin"])
def test_no_scope_implies_another(site: Site, scope: str) -> None:
    """Also admin does not view."""
    answer = site.ask("/v1/status", token=site.token(scope))
    is_problem(answer, 403, "scope")
    assert 'scope="view"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("path", PRIVATE)
def test_without_a_token_nothing_private(site: Site, path: str) -> None:
    """401 with a challenge, for none, a wrong, an expired and a revoked one."""
    missing = site.ask(path)
    is_problem(missing, 401, "token")
    assert missing.headers["www-authenticate"] == 'Bearer realm="signer"'
    expiring, revoked = site.token(seconds=10), site.token(name="bob")
    site.tokens.revoke("bob", site.clock.now)
    site.clock.pass_(10)
    for token in (WRONG, expiring, revoked, ""):
        wrong = site.ask(path, token=token)
        is_problem(wrong, 401, "token")
        assert 'error="invalid_token"' in wrong.headers["www-authenticate"]


def test_a_token_counts_only_in_the_authorization_header(site: Site) -> None:
    """Not in the query, a cookie, Basic, or one of two headers."""
    token = site.token()
    for path, headers in (
        (f"/v1/whoami?access_token={token}&token={token}", []),
        ("/v1/whoami", [("cookie", f"token={token}")]),
        ("/v1/whoami", [("authorization", f"Basic {token}")]),
        ("/v1/whoami", [("authorization", token)]),
        ("/v1/whoami", [("x-authorization", f"Bearer {token}")]),
        ("/v1/whoami", [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")]),
    ):
        is_problem(site.ask(path, headers=list(headers)), 401, "token")
    assert site.ask("/v1/whoami", headers=[("authorization", f"bearer {token}")]).status_code == 200


def test_failed_authentications_are_limited(site: Site) -> None:
    """Five, then one each five seconds, with the time to wait; a valid token passes all the same."""
    token = site.token()
    for _ in range(5):
        is_problem(site.ask("/v1/whoami", token=WRONG), 401, "token")
    limited = site.ask("/v1/whoami", token=WRONG)
    is_problem(limited, 429, "attempts")
    assert limited.headers["retry-after"] == "5"
    assert site.ask("/v1/whoami", token=WRONG, client=("192.0.2.1", 1)).status_code == 401
    assert site.ask("/v1/whoami", token=token).status_code == 200
    site.clock.pass_(5)
    assert site.ask("/v1/whoami", token=WRONG, client=("127.0.0.1", 5)).status_code == 401
    assert site.ask("/v1/whoami", token=WRONG).status_code == 429


def test_a_forwarded_address_is_not_believed(site: Site) -> None:
    """The limit counts the connection's own address."""
    for number in range(6):
        answer = site.ask("/v1/whoami", token=WRONG, headers=[("x-forwarded-for", f"9.9.9.{number}")])
    assert answer.status_code == 429


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8902", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8902", "192.0.2.7:8902"],
)
def test_our_own_names_are_served(site: Site, host: str) -> None:
    """Localhost, loopback addresses and the configured one, with any port."""
    assert site.ask(LIVE, host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8902",
        "localhost.evil.example",
        "localhost.",
        "127.0.0.1.evil.example",
        "127.0.0.1:80:80",
        "127.1",
        "0x7f000001",
        "[::1",
        "[::1]x",
        "::1",
        "192.0.2.8",
        "user@localhost",
        "localhost:x",
        "localhost, evil.example",
        " ",
        "",
    ],
)
def test_a_rebound_host_is_refused(site: Site, host: str) -> None:
    """With a valid token too, before anything else is looked at."""
    token = site.token()
    for path in (LIVE, "/v1/whoami", "/nothing"):
        is_problem(site.ask(path, host=host, token=token), 421, "host")


def test_two_host_headers_are_refused(site: Site) -> None:
    """Two readers could choose differently."""
    is_problem(site.ask(LIVE, headers=[("host", "localhost")]), 421, "host")


def test_every_answer_carries_the_strict_headers(site: Site) -> None:
    """Good, refused, unknown, failed."""
    for path, method, host in (
        (LIVE, "GET", "localhost"),
        ("/v1/whoami", "GET", "localhost"),
        ("/nothing", "GET", "localhost"),
        (LIVE, "POST", "localhost"),
        (LIVE, "GET", "evil.example"),
    ):
        answer = site.ask(path, method=method, host=host)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert HEADERS["x-content-type-options"] == "nosniff"
    assert HEADERS["cache-control"] == "no-store"
    assert HEADERS["content-security-policy"].startswith("default-src 'none'")
    assert HEADERS["x-frame-options"] == "DENY"


def test_unknown_paths_and_methods_are_problems(site: Site) -> None:
    """404, and 405 with Allow; no redirect to guess a path, no documentation pages."""
    for path in ("/v1", "/v1/", "/v1/whoami/", "/docs", "/redoc", "/openapi.json", "/v1/%00"):
        is_problem(site.ask(path), 404, "not-found")
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = site.ask(LIVE, method=method)
        is_problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == "GET"


def test_a_validation_error_repeats_nothing(site: Site) -> None:
    """What was sent may be a secret in the wrong place."""

    @site.app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    answer = site.ask("/number/hush")
    is_problem(answer, 422, "invalid")
    assert answer.json()["errors"] == [{"at": ["path", "number"], "kind": "int_parsing"}]
    assert "hush" not in answer.text


def test_an_unknown_parameter_is_refused_and_not_repeated(site: Site) -> None:
    """A slip would ask another question than was meant."""
    token = site.token()
    for query in ("?hush=1", "?=1", "?limit=1&hush=2"):
        answer = site.ask(f"/v1/rotations{query}", token=token)
        is_problem(answer, 422, "invalid")
        assert "hush" not in answer.text
        assert "limit" in answer.json()["detail"]
    assert site.ask("/v1/rotations?limit=1", token=token).status_code == 200
    is_problem(site.ask("/v1/whoami?x=1", token=token), 422, "invalid")


def test_a_bug_is_a_problem_without_a_trace(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """The caller learns nothing of it, the log learns where."""

    @site.app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("hush")

    answer = site.ask("/bug")
    is_problem(answer, 500, "internal")
    assert "hush" not in answer.text
    assert [record.getMessage() for record in caplog.records] == ["request failed"]


def test_a_silent_supervisor_is_a_problem(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that signing goes on."""

    async def silent() -> dict[str, Any]:
        raise AdminError("no answer")

    monkeypatch.setattr(site.supervisor, "status", silent)
    is_problem(site.ask("/v1/status", token=site.token()), 503, "supervisor")


def test_no_secret_in_answers_or_logs(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Valid and wrong tokens, whole or in part, in headers, query and path."""
    caplog.set_level(logging.DEBUG)
    token = site.token()
    text = ""
    for given in (token, WRONG, "sgn_hunter2", token[:-1]):
        for path in (*PRIVATE, "/nothing", f"/{given}", f"/v1/status?token={given}"):
            for host in ("localhost", "evil.example"):
                text += site.ask(path, token=given, host=host).text
    text += "".join(
        json.dumps(record.__dict__, default=repr) for record in caplog.records if record.name != "httpx"
    )
    for secret in (token[4:-1], WRONG[4:], "hunter2"):
        assert secret not in text


def test_a_wildcard_listener_takes_the_address_that_was_called(site: Site) -> None:
    """An address cannot be rebound; another address is still refused."""
    assert site.ask(LIVE, host="192.0.2.9").status_code == 421
    asked: list[int] = []

    async def call(server: str) -> None:
        async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
            if message["type"] == "http.response.start":
                asked.append(message["status"])

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "method": "GET",
            "path": LIVE,
            "raw_path": LIVE.encode(),
            "query_string": b"",
            "headers": [(b"host", b"192.0.2.9:8902")],
            "server": (server, 8902),
            "client": ("192.0.2.50", 1),
            "scheme": "http",
            "http_version": "1.1",
            "root_path": "",
        }
        await site.app(scope, receive, send)

    asyncio.run(call("192.0.2.9"))
    asyncio.run(call("192.0.2.10"))
    assert asked == [200, 421]
