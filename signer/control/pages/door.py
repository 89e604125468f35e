"""`/login`, `/logout`, `/theme` and the files that every page needs."""

from __future__ import annotations

import hmac
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response

from signer.control.access import caller
from signer.control.auth import fingerprint
from signer.control.pages import page, visit
from signer.control.pages.visit import Form
from signer.control.problem import ProblemError

if TYPE_CHECKING:
    from signer.control.gate import Gate
    from signer.control.pages.sessions import Sessions

router = APIRouter(route_class=page.PageRoute, include_in_schema=False)

#: A form that somebody sends who is not logged in yet carries this cookie's value.
_LOGIN_COOKIE: Final = "signer-login"
_MAX_TOKEN: Final = 200
#: The year that RFC 9111 has for "for ever"; the address changes with the content.
_KEEP: Final = "public, max-age=31536000, immutable"

Next = Annotated[str, Query(alias="next", max_length=page.MAX_PATH)]


@router.get("/")
async def root() -> Response:
    """Go to the dashboard."""
    return page.go("/dashboard")


@router.get("/static/{name}")
async def static(name: Literal["pages.css", "pages.js"]) -> Response:
    """Return a file."""
    content, media_type = page.STATIC[name]
    return Response(content, media_type=media_type, headers={"cache-control": _KEEP})


@router.get("/favicon.ico")
async def favicon() -> Response:
    """Say that there is none, which is no error."""
    return Response(status_code=HTTPStatus.NO_CONTENT.value)


@router.get("/login")
async def ask(request: Request, wanted: Next = "/dashboard") -> Response:
    """Ask for a token."""
    if await visit.find(request) is not None:
        return page.go(page.inside(wanted))
    return _ask(request, wanted, None)


@router.post("/login")
async def login(request: Request) -> Response:
    """Exchange a token for a session."""
    fields = await visit.form(request)
    wanted = page.inside(fields.get("next", ""))
    known = request.cookies.get(_LOGIN_COOKIE, "")
    if not known or not hmac.compare_digest(known.encode(), fields.get("csrf", "").encode()):
        return _ask(
            request,
            wanted,
            ProblemError(HTTPStatus.FORBIDDEN, "form", "The page was too old. Please give the token again."),
        )
    gate: Gate = request.app.state.gate
    token = fields.get("token", "").strip()[:_MAX_TOKEN]
    try:
        gate.admit([f"Bearer {token}"], caller(request))
    except ProblemError as refusal:
        return _ask(request, wanted, refusal)
    sessions: Sessions = request.app.state.sessions
    answer = page.go(wanted)
    visit.set_cookie(answer, request, sessions.begin(fingerprint(token)))
    answer.delete_cookie(_LOGIN_COOKIE, path="/login")
    return answer


@router.post("/logout")
async def logout(request: Request, _: Form) -> Response:
    """End the session."""
    sessions: Sessions = request.app.state.sessions
    sessions.end(request.cookies.get(visit.cookie_name(request), ""))
    answer = page.go("/login")
    visit.set_cookie(answer, request, None)
    return answer


@router.post("/theme")
async def theme(request: Request) -> Response:
    """Keep whether pages are light or dark, or as the system has it. It is nobody's secret, so anybody may."""
    fields = await visit.form(request)
    answer = page.go(page.inside(fields.get("back", "")))
    if (chosen := fields.get("theme")) in page.THEMES and chosen is not None:
        answer.set_cookie(
            page.THEME_COOKIE,
            chosen,
            max_age=31536000,
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
    return answer


def _ask(request: Request, wanted: str, refusal: ProblemError | None) -> Response:
    csrf = secrets.token_urlsafe(16)
    status = HTTPStatus.OK if refusal is None else refusal.status
    # A link from another site brings no cookie along (SameSite=Strict); a link of ours does.
    elsewhere = request.headers.get("sec-fetch-site") == "cross-site"
    answer = page.show(
        request,
        "login",
        None,
        status=status,
        headers=None if refusal is None else refusal.headers,
        wanted=page.inside(wanted),
        csrf=csrf,
        refusal=refusal,
        elsewhere=elsewhere,
    )
    answer.set_cookie(
        _LOGIN_COOKIE,
        csrf,
        path="/login",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer
