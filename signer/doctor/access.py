"""The access tokens of the control API: whose ends soon, or never. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from signer.doctor.finding import Finding, ok, unless, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: As the alert SignerAccessTokenEnds.
SOON: Final = timedelta(days=14)
#: Whose token deploy/quickstart makes and keeps.
TRIAL: Final = "quickstart"


def check(tokens: Mapping[str, float | None], now: datetime) -> Iterator[Finding]:
    """Yield which access tokens want another one.

    Args:
        tokens: when the token of each person ends, in s since 1970; None: never.
        now: the time of day (UTC).
    """
    faults = [
        _finding(person, ends, now)
        for person, ends in sorted(tokens.items())
        if ends is None or ends < (now + SOON).timestamp()
    ]
    yield from unless(faults, ok("access", "", f"{len(tokens)} access tokens, none of which ends soon"))


def _finding(person: str, ends: float | None, now: datetime) -> Finding:
    if ends is None:
        text = "this access token never ends"
    else:
        tense = "ended" if ends <= now.timestamp() else "ends"
        text = f"this access token {tense} on {datetime.fromtimestamp(ends, UTC):%Y-%m-%d}"
    return warning("access", person, text, _remedy(person))


def _remedy(person: str) -> str:
    if person == TRIAL:
        return "run deploy/quickstart on this folder again: it makes another"
    return (
        f"signer token list (it has the scopes), signer token revoke {person}, "
        f"signer token create {person} --scope SCOPE --out FILE; runbook, Access token ends"
    )
