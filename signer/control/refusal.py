"""What each error of the inside is to the one who asked: status, code and words. The one table."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from signer.control.auth import TokenConflictError, TokenStoreError
from signer.control.problem import ProblemError
from signer.errors import AdminError, AdminRefusedError, JournalError, RotationError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("signer.control")

#: Of the codes of a RotationError; any other is a conflict with how things are.
_ROTATION_STATUS: Final = {
    "same-person": HTTPStatus.FORBIDDEN,
    "unknown": HTTPStatus.NOT_FOUND,
    "unknown-node": HTTPStatus.NOT_FOUND,
    "supervisor": HTTPStatus.SERVICE_UNAVAILABLE,
    "key": HTTPStatus.UNPROCESSABLE_ENTITY,
    "reason": HTTPStatus.UNPROCESSABLE_ENTITY,
}


def of(error: Exception) -> ProblemError:
    """Return the problem that an error of one of KINDS is."""
    return next(make(error) for kind, make in _TABLE.items() if isinstance(error, kind))


def _http(error: HTTPException) -> ProblemError:
    status = HTTPStatus(error.status_code)
    detail = {
        HTTPStatus.NOT_FOUND: "There is nothing at this path.",
        HTTPStatus.METHOD_NOT_ALLOWED: "This path does not take this method; see the Allow header.",
    }.get(status, "The request cannot be served as it is.")
    return ProblemError(status, status.phrase.lower().replace(" ", "-"), detail, dict(error.headers or {}))


def _invalid(error: RequestValidationError) -> ProblemError:
    # Place and kind only: what was sent may hold a secret in the wrong place.
    errors = [{"at": [str(part) for part in each["loc"]], "kind": each["type"]} for each in error.errors()]
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return ProblemError(status, "invalid", "A part of the request has the wrong form.", errors=errors)


def _store(error: TokenStoreError | JournalError) -> ProblemError:
    log.error("store unusable", extra={"reason": str(error)})
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "store",
        "The control process' database cannot be used; see the signer's log.",
        {"retry-after": "5"},
    )


def _rotation(error: RotationError) -> ProblemError:
    return ProblemError(_ROTATION_STATUS.get(error.code, HTTPStatus.CONFLICT), error.code, f"{error}.")


def _supervisor(_: AdminError) -> ProblemError:
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "supervisor",
        "The signer's supervisor does not answer; signing does not depend on it.",
        {"retry-after": "1"},
    )


#: A special error stands before the general one.
_TABLE: Final[dict[type[Exception], Callable[[Any], ProblemError]]] = {
    ProblemError: lambda error: error,
    HTTPException: _http,
    RequestValidationError: _invalid,
    TokenConflictError: lambda error: ProblemError(HTTPStatus.CONFLICT, "token", f"{error}."),
    TokenStoreError: _store,
    JournalError: _store,
    RotationError: _rotation,
    AdminRefusedError: lambda error: ProblemError(HTTPStatus.CONFLICT, error.code, f"{error}."),
    AdminError: _supervisor,
}
#: Every error that has an answer.
KINDS: Final = tuple(_TABLE)
