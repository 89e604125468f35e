"""`/audit`: what was signed and done, as the audit log has it. The newest lines that fit, looked for in a thread."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from signer.antelope.keys import PublicKey
from signer.control.auth import Scope
from signer.control.pages import page
from signer.control.pages.visit import Looking
from signer.control.problem import ProblemError
from signer.control.services import Given
from signer.errors import AuditError, FormatError
from signer.signing import audit, audit_search
from signer.signing.audit_search import Found

router = APIRouter(route_class=page.PageRoute, include_in_schema=False)

_DIGEST = re.compile(r"[0-9a-f]{0,64}", re.ASCII)
#: What a browser sends of <input type="datetime-local">, and what people type.
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?", re.ASCII)

Text = Annotated[str, Query(max_length=100)]


@router.get("/audit")
async def search(
    request: Request,
    looking: Looking,
    services: Given,
    *,
    key: Text = "",
    node: Text = "",
    verdict: Text = "",
    rule: Text = "",
    digest: Text = "",
    since: Text = "",
    until: Text = "",
) -> Response:
    """Search the log."""
    looking.must(Scope.VIEW)
    config = services.config
    given = {
        name: text.strip()
        for name, text in {
            "key": key,
            "node": node,
            "verdict": verdict,
            "rule": rule,
            "digest": digest.lower(),
            "since": since,
            "until": until,
        }.items()
    }
    refusal: ProblemError | None = None
    found: Found | None = None
    try:
        query = _query(given)
        # One at a time: a search takes the processor of this process, and people can wait.
        async with request.app.state.searching:
            found = await asyncio.to_thread(audit_search.search, config.audit_log, query)
    except ProblemError as problem:
        refusal = problem
    except AuditError as error:
        refusal = ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "audit", f"{error}.")
    return page.show(
        request,
        "audit",
        looking,
        status=HTTPStatus.OK if refusal is None else refusal.status,
        given=given,
        found=found,
        nodes=list(config.nodes),
        keys=[each for each in config.keys if each.role != "probe"],
        verdicts=list(audit.Verdict),
        labels={str(each.public_key): each.label for each in config.keys},
        refusal=refusal,
        most=audit_search.MAX_FOUND,
    )


def _query(given: dict[str, str]) -> audit_search.Query:
    key = given["key"]
    if key:
        try:
            key = str(PublicKey.parse(key))
        except FormatError:
            raise _invalid("The key is not a public key: EOS..., PUB_K1_... or PUB_R1_...") from None
    if given["verdict"] and given["verdict"] not in tuple(audit.Verdict):
        raise _invalid(f"A verdict is one of: {', '.join(audit.Verdict)}.")
    if _DIGEST.fullmatch(given["digest"]) is None:
        raise _invalid("A digest begins with up to 64 hex digits.")
    return audit_search.Query(
        key=key,
        node=given["node"],
        verdict=given["verdict"],
        rule=given["rule"],
        digest=given["digest"],
        since=_moment("From", given["since"]),
        until=_moment("Until", given["until"]),
    )


def _moment(name: str, text: str) -> str:
    if not text:
        return ""
    try:
        if _MOMENT.fullmatch(text) is None:
            raise ValueError
        return audit.timestamp(datetime.fromisoformat(text).replace(tzinfo=UTC))
    except ValueError:
        raise _invalid(f"{name} is a time in UTC, as 2026-11-27 03:00.") from None


def _invalid(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail)
