"""The pages without a browser: who gets in, what a form needs, what is refused and in which words."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.routing import APIRoute
from rig.fake_rotations import KEY_A, KEY_B
from rig.visitor import Visitor

import signer.control.pages
from signer.control.attempts import BURST
from signer.control.pages import page, pages
from signer.control.pages.sessions import IDLE_S, LONGEST_S, Sessions
from signer.rotation.finding import Finding, Level
from signer.rotation.rotation import State

if TYPE_CHECKING:
    from rig.control_site import Site

_FOLDER = Path(signer.control.pages.__file__).parent
#: What anybody may have: nothing of it says anything.
_OPEN = {"/", "/login", "/static/{name}", "/favicon.ico", "/theme"}
_NAMES = {"act": "promote", "rotation_id": "1", "key": str(KEY_A), "name": "pages.css"}


def routes(method: str) -> list[str]:
    """Return the paths of every page that takes this method, with something in each place."""
    found = []
    for module in pages.ROUTED:
        for route in module.router.routes:
            assert isinstance(route, APIRoute)
            if method in (route.methods or ()) and route.path not in _OPEN:
                found.append(re.sub(r"\{(\w+)\}", lambda match: _NAMES[match[1]], route.path))
    return sorted({each.replace("/rotations/1/promote", "/rotations/1/abort") for each in found})


def _key(key: object, role: str, node: str | None, label: str) -> dict[str, Any]:
    base = {"public_key": str(key), "role": role, "node": node, "token": "primary", "label": label}
    return base | {"state": "active", "reason": "", "signatures": 3, "last_signature_at": None}


@pytest.fixture
def visitor(site: Site) -> Visitor:
    """Somebody who is not logged in, at a signer whose status is whole."""
    lane = {"id": 1, "pid": 7, "state": "idle"}
    site.status.update(
        {
            "problems": [],
            "alarms": [],
            "frozen": [],
            "restarts": 0,
            "latency": {},
            "tokens": {"primary": {"purpose": "block", "state": "logged-in", "reason": "", "lanes": [lane]}},
            "keys": [_key(KEY_A, "block", "a", "a-1"), _key(KEY_B, "block", "b", "b-1")],
        }
    )
    site.app.state.sessions = Sessions(lambda: site.clock.monotonic_s)
    return Visitor(site)


@pytest.fixture
def alice(site: Site, visitor: Visitor) -> Visitor:
    """Somebody who is logged in and may do everything."""
    assert visitor.log_in(site.person("alice")).status_code == HTTPStatus.SEE_OTHER
    return visitor


# -- the door: logging in and out --------------------------------------------------------------------------


def test_a_token_becomes_a_session_that_scripts_and_other_sites_cannot_use(site: Site) -> None:
    visitor = Visitor(site)

    answer = visitor.log_in(site.token())

    cookie = answer.headers["set-cookie"].lower()
    assert answer.headers["location"] == "/dashboard"
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    assert site.known.get("alice", "sgn_") not in cookie


def test_over_tls_the_cookie_is_for_tls_alone(site: Site) -> None:
    answer = Visitor(site, "https://localhost").log_in(site.token())

    assert answer.headers["set-cookie"].startswith("__Host-signer-")
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("token", ["", "sgn_" + "a" * 43, "x" * 5000, "sgn_\u00e4"])
def test_what_is_no_token_is_refused_in_words(visitor: Visitor, token: str) -> None:
    answer = visitor.log_in(token)

    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert "The token is not valid" in answer.text
    assert token == "" or token not in answer.text
    assert visitor.get("/dashboard").status_code == HTTPStatus.SEE_OTHER


def test_too_many_failures_are_told_to_wait(visitor: Visitor) -> None:
    answers = [visitor.log_in("sgn_wrong") for _ in range(BURST + 1)]

    assert answers[-1].status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "Too many requests" in answers[-1].text


def test_a_login_form_of_another_site_is_refused(site: Site, visitor: Visitor) -> None:
    visitor.get("/login")
    for origin in ("http://evil.example", "null", None):
        answer = visitor.post(
            "/login", {"token": site.token(name=f"n{origin}".replace("://", ".")[:9])}, origin=origin
        )
        assert answer.status_code == HTTPStatus.FORBIDDEN
        visitor.get("/login")


def test_a_login_form_without_its_cookie_is_refused(site: Site, visitor: Visitor) -> None:
    visitor.get("/login")
    visitor.cookies.clear()

    assert visitor.post("/login", {"token": site.token()}).status_code == HTTPStatus.FORBIDDEN


def test_a_form_of_another_kind_is_refused(visitor: Visitor) -> None:
    """It may name a character set, and in some of them there is text that no other has."""
    visitor.get("/login")
    part = '--x\r\ncontent-disposition: form-data; name="csrf"\r\n\r\n+2AA-\r\n--x--\r\n'
    kind = "multipart/form-data; boundary=x; charset=utf-7"
    answer = visitor.send("/login", part, kind)
    assert answer.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def test_after_the_login_comes_the_page_that_was_wanted(site: Site, visitor: Visitor) -> None:
    there = visitor.get("/keys").headers["location"]
    assert there == "/login?next=/keys"
    visitor.get(there)

    assert visitor.post("/login", {"token": site.person("alice")}).headers["location"] == "/keys"


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/a\\b", "javascript:1", "/\n"],
)
def test_but_no_page_of_somebody_else(wanted: str) -> None:
    assert page.inside(wanted) == "/dashboard"


def test_logging_out_ends_the_session(alice: Visitor) -> None:
    alice.get("/freeze")
    kept = dict(alice.cookies)
    alice.post("/logout")
    alice.cookies.update(kept)

    assert alice.get("/dashboard").headers["location"].startswith("/login")


def test_an_idle_session_ends(site: Site, alice: Visitor) -> None:
    site.clock.pass_(IDLE_S - 1)
    assert alice.get("/keys").status_code == HTTPStatus.OK
    site.clock.pass_(IDLE_S)

    assert alice.get("/keys").headers["location"] == "/login?next=/keys"


def test_a_session_that_is_used_ends_too(site: Site, alice: Visitor) -> None:
    for _ in range(int(LONGEST_S / (IDLE_S - 1))):
        site.clock.pass_(IDLE_S - 1)
        alice.get("/keys")
    site.clock.pass_(IDLE_S - 1)

    assert alice.get("/keys").status_code == HTTPStatus.SEE_OTHER


def test_a_revoked_token_ends_its_sessions(site: Site, alice: Visitor) -> None:
    site.tokens.revoke("alice", site.clock.now)
    site.token(name="alice")

    assert alice.get("/keys").status_code == HTTPStatus.SEE_OTHER


def test_an_expired_token_ends_its_sessions(site: Site, visitor: Visitor) -> None:
    visitor.log_in(site.token(seconds=100))
    assert visitor.get("/keys").status_code == HTTPStatus.OK
    site.clock.pass_(101)

    assert visitor.get("/keys").status_code == HTTPStatus.SEE_OTHER


def test_a_session_is_no_token_for_the_api(alice: Visitor) -> None:
    assert alice.get("/v1/whoami").status_code == HTTPStatus.UNAUTHORIZED


# -- every page: what holds for all of them ----------------------------------------------------------------


@pytest.mark.parametrize("path", routes("GET"))
def test_it_is_for_those_who_are_logged_in(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)

    assert answer.status_code == HTTPStatus.SEE_OTHER
    assert answer.headers["location"].startswith("/login?next=/")


@pytest.mark.parametrize("path", routes("POST"))
def test_so_is_what_it_sends(visitor: Visitor, path: str) -> None:
    assert visitor.post(path).headers["location"] == "/login?next=/dashboard"


@pytest.mark.parametrize("path", routes("POST"))
def test_a_form_of_another_site_is_refused(alice: Visitor, path: str) -> None:
    alice.get("/freeze")
    for origin in ("http://evil.example", "https://localhost", "null", None):
        answer = alice.post(path, origin=origin)
        assert answer.status_code == HTTPStatus.FORBIDDEN
        assert "not sent by a page of this signer" in answer.text
        alice.get("/freeze")


@pytest.mark.parametrize("path", routes("POST"))
def test_a_form_without_the_sessions_word_is_refused(alice: Visitor, path: str) -> None:
    alice.get("/freeze")

    answer = alice.post(path, csrf=False)

    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert "form is of another session" in answer.text


@pytest.mark.parametrize("path", ["/login", "/dashboard", "/rotations", "/move/promote", "/freeze", "/keys"])
def test_its_policy_allows_files_of_this_server_and_nothing_else(alice: Visitor, path: str) -> None:
    headers = alice.get(path).headers

    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_none_has_a_script_a_style_or_an_address_of_its_own() -> None:
    for path in [*_FOLDER.rglob("*.html"), *_FOLDER.rglob("*.js"), *_FOLDER.rglob("*.css")]:
        text = path.read_text()
        assert re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?! src=)", text) is None, path
        assert re.search(r"https?://|@import|url\(", text) is None, path


def test_a_theme_is_kept(visitor: Visitor) -> None:
    visitor.get("/login")
    assert visitor.post("/theme", {"theme": "dark", "back": "/login"}).headers["location"] == "/login"
    assert '<html lang="en" data-theme="dark">' in visitor.get("/login").text
    visitor.post("/theme", {"theme": '"><script>'})
    assert '<html lang="en" data-theme="dark">' in visitor.get("/login").text


def test_files_are_kept_by_the_browser(visitor: Visitor) -> None:
    answer = visitor.get("/static/pages.css")
    assert "immutable" in answer.headers["cache-control"]
    assert visitor.get("/static/../auth.py").status_code == HTTPStatus.NOT_FOUND
    assert visitor.get("/static/auth.py").status_code == HTTPStatus.UNPROCESSABLE_ENTITY


# -- scopes: what is offered, and what a refusal says ------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/move/promote", "operate"),
        ("/rotations/1/approve", "approve"),
        ("/rotations/1/abort", "operate"),
        ("/unfreeze?scope=all", "admin"),
        (f"/keys/{KEY_A}/destroy", "admin"),
    ],
)
def test_a_page_beyond_them_says_which_is_missing(
    site: Site, visitor: Visitor, path: str, scope: str
) -> None:
    visitor.log_in(site.token("view"))

    answer = visitor.get(path)

    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert f"This needs a token with the scope {scope}." in answer.text


def test_who_may_only_look_is_offered_nothing_to_do(site: Site, visitor: Visitor) -> None:
    visitor.log_in(site.token("view"))

    for path in ("/dashboard", "/rotations", "/freeze", "/keys"):
        text = visitor.get(path).text
        assert not re.search(r"/move/|/unfreeze|/destroy|action=\"/freeze", text), path


def test_who_may_not_even_look_sees_nothing(site: Site, visitor: Visitor) -> None:
    visitor.log_in(site.token("approve"))

    assert visitor.get("/dashboard").status_code == HTTPStatus.FORBIDDEN


# -- acts: what people do. The routes of the API do it, and their tests say how ----------------------------


def test_a_freeze(site: Site, alice: Visitor) -> None:
    alice.get("/freeze")
    answer = alice.post("/freeze", {"what": f"key {KEY_A}", "reason": "two nodes have it"})

    assert answer.headers["location"] == "/freeze"
    assert site.supervisor.freezes == {("key", str(KEY_A)): ("alice", "two nodes have it")}


def test_a_freeze_without_a_reason_says_so_and_keeps_what_was_given(site: Site, alice: Visitor) -> None:
    alice.get("/freeze")
    answer = alice.post("/freeze", {"what": "node a", "reason": ""})

    assert answer.status_code == HTTPStatus.OK
    assert "reason: String should have at least 1 character" in answer.text
    assert '<option value="node a" selected>' in answer.text
    assert site.supervisor.freezes == {}


def test_an_unfreeze_needs_the_token_again_and_the_same_persons(site: Site, alice: Visitor) -> None:
    site.supervisor.freezes["all", ""] = ("bob", "why")
    for token, word in (
        ("", "Give your access token again"),
        ("sgn_wrong", "The token is not valid"),
        (site.person("bob"), "not a token of alice"),
    ):
        alice.get("/unfreeze?scope=all")
        assert word in alice.post("/unfreeze", {"token": token}).text
        assert site.supervisor.freezes

    alice.get("/unfreeze?scope=all")
    assert alice.post("/unfreeze", {"token": site.person("alice")}).headers["location"] == "/freeze"
    assert site.supervisor.freezes == {}


def test_a_promotion_is_shown_first_and_made_once(site: Site, alice: Visitor) -> None:
    site.rotations.findings = (Finding("behind", Level.WARNING, "b is behind", "wait, or `signer watch`"),)
    alice.get("/move/promote")
    shown = alice.post("/move/promote", {"node": "b"})
    assert "b is behind" in shown.text
    assert "<code>signer watch</code>" in shown.text
    assert site.rotations.rotations == {}

    refused = alice.post("/move/promote/go", {"token": "sgn_wrong", "accept_warnings": "yes"})
    assert "The token is not valid" in refused.text
    assert site.rotations.rotations == {}

    for _ in range(2):  # a double click
        answer = alice.post("/move/promote/go", {"token": site.person("alice"), "accept_warnings": "yes"})
        assert answer.headers["location"] == "/rotations/1"
    request = site.rotations.rotations[1].request
    assert (request.node, request.requested_by, request.accept_warnings) == ("b", "alice", True)
    assert "Rotation 1" in alice.get("/rotations/1").text


def test_a_blocked_promotion_cannot_be_asked_for(site: Site, alice: Visitor) -> None:
    site.rotations.findings = (Finding("probe", Level.BLOCKER, "b-1 cannot sign", "look"),)
    alice.get("/move/promote")

    shown = alice.post("/move/promote", {"node": "b"})

    assert "A blocker stops this" in shown.text
    assert "/go" not in shown.text


def test_an_emergency_needs_a_reason(alice: Visitor) -> None:
    alice.get("/move/emergency")

    answer = alice.post("/move/emergency", {"node": "b", "reason": " "})

    assert "an emergency needs a reason" in answer.text
    assert "<option selected>b</option>" in answer.text


def test_approving_and_ending(site: Site, alice: Visitor) -> None:
    site.rotations.needs_approval = True
    alice.get("/move/promote")
    alice.post("/move/promote", {"node": "b"})
    alice.post("/move/promote/go", {"token": site.person("alice")})
    site.rotations.move(1, State.APPROVAL, next(iter(site.rotations.history[1])).event)

    alice.get("/rotations/1/approve")
    own = alice.post("/rotations/1/approve")
    assert "alice asked for rotation 1; somebody else has to approve it." in own.text

    bob = Visitor(site)
    bob.log_in(site.person("bob"))
    bob.get("/rotations/1/approve")
    assert bob.post("/rotations/1/approve").headers["location"] == "/rotations/1"
    assert site.rotations.rotations[1].approved_by == "bob"
    bob.get("/rotations/1/abort")
    assert bob.post("/rotations/1/abort").headers["location"] == "/rotations/1"
    assert site.rotations.rotations[1].abort_by == "bob" or not site.rotations.rotations[1].live


def test_a_key_in_use_is_not_destroyed_and_the_reasons_are_listed(site: Site, alice: Visitor) -> None:
    shown = alice.get(f"/keys/{KEY_A}/destroy")
    assert "must not be destroyed" in shown.text
    assert "lists it: remove its" in shown.text

    alice.get("/freeze")
    answer = alice.post(f"/keys/{KEY_A}/destroy", {"token": site.person("alice")})
    assert f"{KEY_A} must not be destroyed" in answer.text
    assert site.supervisor.acts == []


def test_what_does_not_exist_is_refused_in_words(alice: Visitor) -> None:
    assert "there is no rotation 9" in alice.get("/rotations/9").text
    assert "does not name a public key" in alice.get("/keys/rubbish/destroy").text
    assert "wrong form" in alice.get("/rotations/none").text


# -- audit search: the search, as a form. What is found, tests/audit says ----------------------------------


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("key=rubbish", "not a public key"),
        ("verdict=maybe", "A verdict is one of"),
        ("digest=xyz", "64 hex digits"),
        ("since=yesterday", "is a time in UTC"),
        ("until=2026-13-40+00:00", "is a time in UTC"),
    ],
)
def test_a_wrong_question_is_refused_in_words(alice: Visitor, query: str, word: str) -> None:
    answer = alice.get(f"/audit?{query}")

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert word in answer.text


def test_a_log_that_cannot_be_read_is_no_empty_one(alice: Visitor) -> None:
    answer = alice.get("/audit")

    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "cannot be read" in answer.text
