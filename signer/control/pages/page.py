"""Every page: its frame, its headers, and what a refusal looks like to a person.

A page has no script or style of its own: the policy below allows files of this server and nothing else.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import jinja2
import markupsafe
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

import signer
from signer.control import refusal
from signer.control.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi import Request, Response
    from pydantic import ValidationError

    from signer.control.pages.visit import Visit

_FOLDER: Final = Path(__file__).parent
#: name -> content and media type.
STATIC: Final = {
    "pages.css": ((_FOLDER / "static/pages.css").read_bytes(), "text/css; charset=utf-8"),
    "pages.js": ((_FOLDER / "static/pages.js").read_bytes(), "text/javascript; charset=utf-8"),
}
#: In the addresses of static files, so that a browser may keep them for ever.
_VERSION: Final = hashlib.sha256(b"".join(content for content, _ in STATIC.values())).hexdigest()[:16]
#: `same-origin`: with `no-referrer` a browser sends the Origin `null` with a form (Fetch standard, "append a request
#: `Origin` header").
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "same-origin",
}
#: What a browser may be told to use; empty: what the system has.
THEMES: Final = ("light", "dark", "")
#: Characters of a way back: a page's path with its query. Anybody may send one, and a page repeats it.
MAX_PATH: Final = 500
THEME_COOKIE: Final = "theme"
_SHORT_KEY: Final = (12, 6)


def _time(moment: datetime | float | str | None) -> str:
    """Return a moment as people compare it: UTC, to the second."""
    if moment is None:
        return "never"
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    elif not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(moment, UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _short(key: object) -> str:
    """Return a key so that two can be told apart by their ends."""
    text, (head, tail) = str(key), _SHORT_KEY
    return text if len(text) <= head + tail else f"{text[:head]}…{text[-tail:]}"


def _commands(text: str) -> markupsafe.Markup:
    """Return a sentence whose commands stand between backticks, for a page."""
    parts = [str(markupsafe.escape(part)) for part in text.split("`")]
    return markupsafe.Markup(  # noqa: S704 - every part is escaped
        "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
    )


_ENVIRONMENT: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.filters |= {"utc": _time, "short": _short, "commands": _commands}
_ENVIRONMENT.globals |= {"static_version": _VERSION, "version": signer.__version__}


def fragment(name: str, **values: Any) -> str:  # noqa: ANN401 - whatever the template shows
    """Return a part of a page."""
    return _ENVIRONMENT.get_template(f"parts/{name}.html").render(values)


def show(
    request: Request,
    template: str,
    visit: Visit | None,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
    **values: Any,  # noqa: ANN401 - whatever the template shows
) -> HTMLResponse:
    """Return a whole page.

    Args:
        request: what asks for it.
        template: its name.
        visit: who looks; None: nobody is logged in.
        status: of the answer.
        headers: more headers.
        values: for the template.
    """
    theme = request.cookies.get(THEME_COOKIE, "")
    text = _ENVIRONMENT.get_template(f"{template}.html").render(
        values,
        visit=visit,
        path=request.url.path,
        theme=theme if theme in THEMES else "",
    )
    return HTMLResponse(text, status.value, HEADERS | (headers or {}))


def go(path: str) -> RedirectResponse:
    """Return the answer that has the browser ask for another page of ours."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER.value, HEADERS)


def inside(path: str) -> str:
    """Return `path` if it is one of this server, else the dashboard's. A link must not lead elsewhere after a login."""
    ours = (
        len(path) <= MAX_PATH
        and path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and path.isascii()
        and path.isprintable()
    )
    return path if ours and "\\" not in path else "/dashboard"


class PageRoute(APIRoute):
    """A route whose refusals are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, which raises nothing that has an answer."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except SignInError:
                return go(f"/login?next={_quoted(request)}")
            except refusal.KINDS as error:
                return refused(request, refusal.of(error))

        return handle


class SignInError(Exception):
    """Nobody is logged in."""


def refused(request: Request, found: ProblemError) -> HTMLResponse:
    """Return the page that says no, why, and what to do."""
    visit: Visit | None = getattr(request.state, "visit", None)
    return show(request, "refused", visit, status=found.status, headers=dict(found.headers), refusal=found)


def invalid(error: ValidationError) -> ProblemError:
    """Return the refusal of a form, in words. Nothing of what was sent is repeated."""
    words = [
        f"{' '.join(map(str, each['loc']))}: {each['msg']}"
        if each["loc"]
        else str(each["msg"]).partition(", ")[2]
        for each in error.errors(include_input=False, include_url=False)
    ]
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "; ".join(words) + ".")


def _quoted(request: Request) -> str:
    target = request.url.path if request.method == "GET" else "/dashboard"
    return quote(target, safe="/")
