"""Who looks at a page, and whether a form that came in is one of ours.

A form counts if the browser says that it comes from this server (Origin), it carries the session's own word (CSRF
token), and its cookie came along, which SameSite=Strict keeps from any other site.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request

from signer.control.access import caller, must
from signer.control.auth import Person, Scope
from signer.control.pages.page import SignInError
from signer.control.problem import ProblemError

if TYPE_CHECKING:
    from fastapi import Response

    from signer.control.gate import Gate
    from signer.control.pages.sessions import Session, Sessions

#: What a browser sends, as no form of ours has files. The other kind lets a sender choose the character set, and so
#: text that is none.
_FORM: Final = "application/x-www-form-urlencoded"
_MAX_TOKEN: Final = 200


@dataclass(frozen=True, slots=True)
class Visit:
    """A person, and the session through which they look."""

    person: Person
    session: Session

    def may(self, scope: str) -> bool:
        """Tell whether the person's token has this scope."""
        return scope in self.person.scopes

    def must(self, scope: Scope) -> None:
        """Raise a ProblemError, 403 `scope`, if it has not."""
        must(self.person, scope)


@dataclass(frozen=True, slots=True)
class Sent:
    """A form that a person sent."""

    visit: Visit
    fields: dict[str, str]

    def text(self, name: str) -> str:
        """Return a field without the blanks around it; empty if there is none."""
        return self.fields.get(name, "").strip()

    def ticked(self, name: str) -> bool:
        """Tell whether a box was ticked."""
        return name in self.fields


def cookie_name(request: Request) -> str:
    """Return the name of the session's cookie: cookies do not know ports, and one host may have two signers.

    Over TLS the prefix has the browser refuse it from anybody but this host (RFC 6265bis, section 4.1.3.2).
    """
    port = request.url.port or ""
    return f"__Host-signer-{port}" if request.url.scheme == "https" else f"signer-{port}"


def set_cookie(response: Response, request: Request, session_id: str | None) -> None:
    """Give the browser its session's id, or take it away."""
    secure = request.url.scheme == "https"
    if session_id is None:
        response.delete_cookie(
            cookie_name(request), path="/", secure=secure, httponly=True, samesite="strict"
        )
    else:
        response.set_cookie(
            cookie_name(request), session_id, path="/", secure=secure, httponly=True, samesite="strict"
        )


async def find(request: Request) -> Visit | None:
    """Return who is logged in, None if nobody is.

    Raises:
        TokenStoreError: the store failed.
    """
    sessions: Sessions = request.app.state.sessions
    gate: Gate = request.app.state.gate
    session_id = request.cookies.get(cookie_name(request))
    session = None if session_id is None else sessions.use(session_id)
    if session is None or session_id is None:
        return None
    person = gate.holder(session.fingerprint)
    if person is None:
        sessions.end(session_id)
        return None
    request.state.visit = Visit(person, session)
    return Visit(person, session)


async def _visit(request: Request) -> Visit:
    found = await find(request)
    if found is None:
        raise SignInError
    return found


async def form(request: Request) -> dict[str, str]:
    """Return the text fields of a form that comes from this server's own pages.

    Raises:
        ProblemError: 403 `origin`: it does not; 415 `form`: it is of another kind.
    """
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    if origin != own:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "origin",
            "This form was not sent by a page of this signer; open the page again.",
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("", _FORM):  # nothing has no kind
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "form", f"A form of this signer is sent as {_FORM}."
        )
    fields = await request.form()
    return {name: value for name, value in fields.items() if isinstance(value, str)}


async def _sent(request: Request, visit: Annotated[Visit, Depends(_visit)]) -> Sent:
    fields = await form(request)
    if not _same(fields.pop("csrf", ""), visit.session.csrf):
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "form",
            "This form is of another session; open the page again and repeat it.",
        )
    return Sent(visit, fields)


def confirm(request: Request, sent: Sent) -> None:
    """Have the person show their token once more.

    Raises:
        ProblemError: 401 it is no token, 403 it is somebody else's, 429 too many tries.
        TokenStoreError: the store failed.
    """
    gate: Gate = request.app.state.gate
    token = sent.text("token")
    if not token:
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "token", "Give your access token again to confirm this.")
    person = gate.admit([f"Bearer {token[:_MAX_TOKEN]}"], caller(request))
    if person.name != sent.visit.person.name:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "other-person",
            f"This is not a token of {sent.visit.person.name}, who is logged in here.",
        )


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())


#: Somebody who is logged in.
Looking = Annotated[Visit, Depends(_visit)]
#: A form that a person sent who is logged in.
Form = Annotated[Sent, Depends(_sent)]
