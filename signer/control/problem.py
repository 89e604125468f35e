"""Answers that say no, as RFC 9457 problem details: what happened and what to do, no trace, no secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from http import HTTPStatus

MEDIA_TYPE: Final = "application/problem+json"
#: For the description of every route.
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "A problem (RFC 9457).",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail", "code"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string", "description": "What happened and what to do."},
                        "code": {"type": "string", "description": "The problem's stable name."},
                        "errors": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["at", "kind"],
                                "properties": {
                                    "at": {
                                        "type": "array",
                                        "items": {"type": "string"},
                                        "description": "The place in the request or in the configuration.",
                                    },
                                    "kind": {"type": "string", "description": "What is wrong there."},
                                },
                            },
                        },
                    },
                }
            }
        },
    }
}


class ProblemError(Exception):
    """Ends a request with a problem.

    Attributes:
        status: the HTTP status.
        code: the problem's stable name.
        detail: one sentence for a person.
        headers: more headers of the answer.
        errors: places in the request or in the configuration, and what is wrong there.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, object]] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = tuple(errors)


def body(status: HTTPStatus, code: str, detail: str, errors: Sequence[Mapping[str, object]] = ()) -> bytes:
    """Return the problem as JSON. `errors` name places in the request and what is wrong there."""
    content: dict[str, object] = {
        "type": "about:blank",  # RFC 9457 section 4.2.1: no more than the status and the members here
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": code,
    }
    if errors:
        content["errors"] = list(errors)
    return json.dumps(content, ensure_ascii=True).encode("ascii")
