"""Where a token is looked at: the Authorization header in, a person out.

Failures are limited for each caller, but a valid token passes always. Guessing 256 bits needs no limit; on
loopback all callers are one, and a forgotten program with an old token must not lock out the person on call.
The limit tells such a program to wait. The log has a line each second of all callers together: who has many addresses
must not fill the disk.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from signer.control.attempts import Attempts
from signer.control.auth import TokenStoreError
from signer.control.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from signer.control.auth import Person, TokenStore

log = logging.getLogger("signer.control")

_REALM = 'Bearer realm="signer"'
_INVALID = f'{_REALM}, error="invalid_token"'  # RFC 6750 section 3.1
#: Lines in the log at once, and the seconds for each one after them. Each says how many refusals it stands for.
_LINES: Final = 60
_LINE_S: Final = 1.0


class Gate:
    """Admits persons.

    Args:
        tokens: whom it knows.
        clock: the time of day, for expiry.
        monotonic: seconds that only grow, for the limit.
    """

    def __init__(
        self,
        tokens: TokenStore,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._monotonic = monotonic
        self._attempts = Attempts()
        self._lines = Attempts(_LINES, _LINE_S)
        self._unsaid = 0

    def admit(self, authorization: Sequence[str], caller: str) -> Person:
        """Return whose token the Authorization headers carry.

        Raises:
            ProblemError: 401 without a valid token, 429 after too many of those from `caller`.
            TokenStoreError: the store failed.
        """
        if not authorization:
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                "token",
                "This needs a token: Authorization: Bearer sgn_...",
                {"www-authenticate": _REALM},
            )
        try:
            token = _bearer(authorization)
            person = None if token is None else self._tokens.authenticate(token, self._clock())
        except TokenStoreError as error:
            log.error("token store unusable", extra={"reason": str(error)})
            raise
        if person is None:
            raise self._refusal(caller)
        return person

    def holder(self, fingerprint: bytes) -> Person | None:
        """Return whose token has this fingerprint (signer.control.auth) now, None if it is expired or revoked.

        Raises:
            TokenStoreError: the store failed.
        """
        return self._tokens.holder(fingerprint, self._clock())

    def check(self) -> None:
        """Find out whether persons could be admitted.

        Raises:
            TokenStoreError: the store failed.
        """
        self._tokens.check()

    def _refusal(self, caller: str) -> ProblemError:
        now_s = self._monotonic()
        wait_s = self._attempts.fail(caller, now_s)
        if wait_s:
            return ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "attempts",
                f"Too many requests from {caller} without a valid token.",
                {"retry-after": str(wait_s)},
            )
        self._unsaid += 1
        if not self._lines.fail("", now_s):
            log.warning("authentication refused", extra={"caller": caller, "count": self._unsaid})
            self._unsaid = 0
        return ProblemError(
            HTTPStatus.UNAUTHORIZED,
            "token",
            "The token is not valid: unknown, expired or revoked.",
            {"www-authenticate": _INVALID},
        )


def _bearer(authorization: Sequence[str]) -> str | None:
    """Return the token of exactly one Authorization header of the scheme Bearer, None for anything else."""
    if len(authorization) != 1:
        return None
    scheme, _, token = authorization[0].partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None
