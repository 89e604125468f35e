"""Tokens: is each there and open, with all its lanes, and is it one for production. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from signer.doctor.finding import Finding, failure, ok, unfit, unknown, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from signer.config import Config, Token
    from signer.doctor.facts import TokenFact

#: The states of a lane with a logged-in session (signer.signing.tokens).
_OPEN: Final = ("idle", "busy")
#: Who works with tokens, as the reason of a token names them (signer.supervisor.run).
_WORKERS: Final = {
    "signing process": "runbook, The signing process restarts",
    "control process": "runbook, The control process restarts",
}
_LOCKED: Final = "CKF_USER_PIN_LOCKED"
_FINAL: Final = "CKF_USER_PIN_FINAL_TRY"
_LOW: Final = "CKF_USER_PIN_COUNT_LOW"


def check(
    config: Config,
    states: Mapping[str, Mapping[str, Any]] | None,
    seen: Mapping[str, TokenFact],
    *,
    production: bool,
) -> Iterator[Finding]:
    """Yield what is known of each token.

    Args:
        config: the configuration.
        states: the tokens of `signer status`; None while the signer does not answer.
        seen: what modules showed of tokens without a PIN, for those that were looked at.
        production: whether software tokens will not do.
    """
    for name, token in config.tokens.items():
        fact = seen.get(name)
        if states is None:
            yield _present(name, fact)
        else:
            yield _opened(name, token, states.get(name), fact)
        yield from _tries(name, fact)
        if token.software:
            yield unfit(
                "software",
                name,
                "a software token: whoever can read its folder has the keys",
                "for tests and trials only; blocks of a real chain need a hardware token",
                production=production,
            )
    if config.allow_shared_token:
        yield unfit(
            "shared",
            "",
            "allow_shared_token = true: who can have blocks signed is one step from moving production",
            "give the rotation keys a token of their own with another PIN, and remove allow_shared_token",
            production=production,
        )


def _present(name: str, fact: TokenFact | None) -> Finding:
    """A token while no signer runs."""
    if fact is None:
        return unknown("token", name, "nobody asked its module", "start the signer, or run this as its user")
    if fact.problem:
        return failure("token", name, fact.problem, "bring the token back; runbook, Token away")
    return ok("token", name, "the token is there; whether it opens shows when the signer runs")


def _opened(name: str, token: Token, state: Mapping[str, Any] | None, fact: TokenFact | None) -> Finding:
    if state is None:
        return failure("token", name, "the running signer does not have it", "signer reload")
    word, reason = str(state.get("state", "?")), str(state.get("reason") or "")
    lanes = state.get("lanes") or []
    alive = sum(lane.get("state") in _OPEN for lane in lanes)
    if word == "logged-in" and alive >= token.lanes:
        return ok("token", name, f"logged in, {alive} of {token.lanes} lanes alive")
    if word == "logged-in":
        what = f"{alive} of {token.lanes} lanes alive" + (f": {reason}" if reason else "")
        remedy = "it starts again by itself within 2 s; if this stays: runbook, A lane restarts"
        # Without the process that works with it, its sessions may be open, and nobody tells.
        remedy = next((section for each, section in _WORKERS.items() if each in reason), remedy)
        # A control token is in this state for seconds after a reload; blocks are signed all the same.
        short = alive or token.purpose == "control"
        return (warning if short else failure)("token", name, what, remedy)
    if word == "starting" or (word == "closed" and token.purpose == "control"):
        short = token.purpose == "control"
        text, remedy = f"{word}: {reason or 'it is being opened'}", "wait a few seconds and look again"
        return (warning if short else failure)("token", name, text, remedy)
    seen = ""
    if fact is not None and fact.problem and fact.problem not in reason:
        seen = f"; without a PIN: {fact.problem}"
    return failure("token", name, f"{word}: {reason}{seen}", _remedy(name, token, word))


def _remedy(name: str, token: Token, state: str) -> str:
    source = token.pin_file or (
        f"the credential {token.pin_credential}" if token.pin_credential else "cleos unlock"
    )
    return {
        "pin-refused": f"put the right PIN into its source, {source}; if it is right: "
        f"signer token retry {name}; runbook, PIN refused",
        "pin-unreadable": "see the line of its PIN; runbook, PIN refused",
        "locked": f"cleos --wallet-url unix://SOCKET wallet unlock -n {name}; runbook, Token locked",
        "closed": "see the lines of the signer and of the control process",
    }.get(state, "bring the token back, the signer tries by itself; runbook, Token away")


def _tries(name: str, fact: TokenFact | None) -> Iterator[Finding]:
    if fact is None:
        return
    if _LOCKED in fact.flags:
        yield failure(
            "pin-tries",
            name,
            f"the token is locked after wrong PINs ({_LOCKED})",
            "reset the PIN with the SO PIN, by the token's own tool",
        )
    elif _FINAL in fact.flags:
        yield failure(
            "pin-tries",
            name,
            f"one more wrong PIN locks the token ({_FINAL})",
            "log in once with the token's own tool, then: signer token retry " + name,
        )
    elif _LOW in fact.flags:
        yield warning(
            "pin-tries",
            name,
            f"somebody gave the token a wrong PIN ({_LOW})",
            "the signer itself, if its PIN was refused; else find out who: "
            "signer audit export | grep -e pin-refused -e wrong-pin",
        )
