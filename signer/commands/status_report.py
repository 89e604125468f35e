"""What `signer status` shows to a person: what is wrong first, then what runs. Values in, lines out."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from signer.commands.moment import readable
from signer.commands.table import lines, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from signer.commands.colour import Colour, Palette

#: The states of a lane with a logged-in session.
_OPEN: Final = ("idle", "busy")
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
#: From then on the date says more.
_LONG_S: Final = 48 * _HOUR_S
#: Probe keys are of interest when they fail.
_ROLES: Final = ("block", "rotation", "account", "audit", "probe")
_TOKENS: Final = ("TOKEN", "STATE", "LANES", "REASON")
_KEYS: Final = ("KEY", "LABEL", "ROLE", "NODE", "TOKEN", "STATE", "SIGNED SINCE START", "LAST", "REASON")


def report(state: Mapping[str, Any], palette: Palette, width: int | None, now: float) -> list[str]:
    """Return the lines.

    Args:
        state: the answer of the admin socket.
        palette: colour, or none.
        width: of the terminal; None where lines may be as long as they like.
        now: s since 1970.
    """
    text = [palette.paint("green" if state.get("ready") is True else "red", plain(_first(state)))]
    text += [
        palette.paint("red", plain(f"not ready: {obstacle}")) for obstacle in state.get("obstacles") or []
    ]
    text += [
        palette.paint("yellow", plain(f"attention: {problem}")) for problem in state.get("problems") or []
    ]
    text += [
        palette.paint("red", plain(f"FROZEN {_frozen(marker, now)}")) for marker in state.get("frozen") or []
    ]
    text += [plain(line) for line in (*_processes(state, now), *_latency(state))]
    text += ["", *_tokens(state, palette)]
    return [*text, "", *_keys(state, palette, width, now)]


def age(moment: object, now: float) -> str:
    """Return how long ago `moment` was, `-` for nothing; what is long ago has its date.

    Args:
        moment: s since 1970, or ISO 8601.
        now: s since 1970.
    """
    if isinstance(moment, str) and moment:
        try:
            return age(datetime.fromisoformat(moment).timestamp(), now)
        except ValueError:
            return moment
    if not isinstance(moment, int | float) or isinstance(moment, bool):
        return "-"
    seconds = max(0.0, now - moment)
    return readable(moment) if seconds >= _LONG_S else f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    if seconds >= 2 * _HOUR_S:
        return f"{seconds / _HOUR_S:.0f} h"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds >= 2 * _MINUTE_S else f"{seconds:.0f} s"


def lanes_open(token: Mapping[str, Any]) -> str:
    """Return how many lanes have a logged-in session, of how many that it should have."""
    if token.get("state") == "closed":
        return "-"  # the process that opens it does not run
    return f"{_ready(token)} of {token.get('lanes_configured', '?')}"


def serves_well(token: Mapping[str, Any]) -> bool:
    """Whether it is logged in with every lane that it should have."""
    return token.get("state") == "logged-in" and _ready(token) == token.get("lanes_configured")


def _ready(token: Mapping[str, Any]) -> int:
    return sum(lane.get("state") in _OPEN for lane in token.get("lanes") or [])


def _first(state: Mapping[str, Any]) -> str:
    ready = "ready" if state.get("ready") is True else "NOT READY"
    what = ", ".join(f"{name} {state.get(name, '?')}" for name in ("pid", "version", "generation"))
    return f"{state.get('state', '?')}, {ready}, {what}"


def _processes(state: Mapping[str, Any], now: float) -> list[str]:
    text = [
        f"config {state.get('config', '?')}   started {age(state.get('started_at'), now)}",
        f"restarts of the signing process: {state.get('restarts', '?')}",
    ]
    if state.get("only"):
        text.append(f"only the {state['only']} process runs here (--only {state['only']})")
    control = state.get("control")
    if isinstance(control, dict):
        silent = control.get("state") == "ready" and (state.get("answers") or {}).get("control") is False
        word = "does not answer" if silent else control.get("state", "?")
        text.append(f"control process: {word}   pid {control.get('pid', '-')}")
    return [*text, _counts(state)]


def _counts(state: Mapping[str, Any]) -> str:
    """Return what was not signed since the signer started, and how the audit log is."""
    counted = (state.get("counters") or {}).get("verdicts")
    requests = "unknown"
    if isinstance(counted, dict):
        requests = ", ".join(f"{counted.get(word, 0)} {word}" for word in ("late", "refused", "failed"))
    audit = state.get("audit") or {}
    log = ", ".join(f"{audit.get(word, '?')} {word}" for word in ("waiting", "lost"))
    degraded = f", degraded: {audit['degraded']}" if audit.get("degraded") else ""
    return f"requests not signed: {requests}   audit log: {log}{degraded}"


def _latency(state: Mapping[str, Any]) -> list[str]:
    """Return one line for each node and curve that was asked for, with what its nodeos waits."""
    terms = state.get("nodes") or {}
    text = []
    for node, curves in (state.get("latency") or {}).items():
        waits = (terms.get(node) or {}).get("timeout_ms", "?")
        for curve, seen in curves.items():
            text.append(
                f"latency of {node} {curve}: p50 {seen['p50_ms']:.1f}, p99 {seen['p99_ms']:.1f}, longest "
                f"{seen['worst_ms']:.1f} ms; {seen['above_timeout']} of {seen['count']} above {waits} ms"
            )
    return text


def _tokens(state: Mapping[str, Any], palette: Palette) -> list[str]:
    tokens = sorted((state.get("tokens") or {}).items(), key=lambda item: item[1].get("state") == "logged-in")
    rows = [(name, each.get("state"), lanes_open(each), each.get("reason") or "") for name, each in tokens]
    colours = [_token_colour(each) for _, each in tokens]
    return _table(_TOKENS, rows, colours, palette)


def _token_colour(token: Mapping[str, Any]) -> Colour | None:
    if token.get("state") != "logged-in":
        return "red"
    return None if serves_well(token) else "yellow"


def _keys(state: Mapping[str, Any], palette: Palette, width: int | None, now: float) -> list[str]:
    keys = sorted(state.get("keys") or [], key=_rank)
    rows = [
        (
            each.get("public_key"),
            each.get("label") or "-",
            each.get("role"),
            each.get("node") or "-",
            each.get("token"),
            each.get("state"),
            each.get("signatures", 0),
            age(each.get("last_signature_at"), now),
            each.get("reason") or "",
        )
        for each in keys
    ]
    colours: list[Colour | None] = [None if each.get("state") == "active" else "red" for each in keys]
    shown = _table(_KEYS, rows, colours, palette)
    if width is not None and len(lines(_KEYS, rows)[0]) > width:
        # A public key alone fills a narrow terminal; `signer keys list` has it.
        narrow = [name.removesuffix(" SINCE START") for name in _KEYS[1:]]
        shown = _table(narrow, [row[1:] for row in rows], colours, palette)
    return shown


def _rank(key: Mapping[str, Any]) -> tuple[bool, int]:
    role = key.get("role")
    return key.get("state") == "active", _ROLES.index(role) if role in _ROLES else len(_ROLES)


def _table(
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    colours: Sequence[Colour | None],
    palette: Palette,
) -> list[str]:
    head, *body = lines(header, rows)
    painted = [
        line if colour is None else palette.paint(colour, line)
        for line, colour in zip(body, colours, strict=True)
    ]
    return [palette.paint("bold", head), *painted]


def _frozen(marker: object, now: float) -> str:
    if not isinstance(marker, dict):
        return str(marker)
    what = " ".join(str(marker[part]) for part in ("scope", "name") if marker.get(part))
    told = f"by {marker['by']}, {age(marker.get('at'), now)}" if marker.get("by") else "nobody knows by whom"
    return f"{what}: {marker.get('reason', '')} ({told})"
