"""`signer status`, `reload` and `stop`: the running signer as a whole."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from signer import config_file
from signer.admin_client import AdminClient
from signer.commands.exit_code import ExitCode
from signer.commands.moment import readable
from signer.commands.table import lines, plain
from signer.errors import AdminUnreachableError, ConfigError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

#: A reload opens each token again, and a hardware token may take seconds for its login.
_RELOAD_TIMEOUT_S: Final = 60.0
#: A stop drains requests, each of which ends within its node's timeout, and logs out.
_STOP_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.05
#: The states of a lane with a logged-in session.
_OPEN: Final = ("idle", "busy")


def status(arguments: argparse.Namespace) -> int:
    """Show what runs. Not ready is 1; with --strict, ready with something that needs attention is 5."""
    path = config_file.find(arguments.config)
    site = config_file.locate(path)
    try:
        state = AdminClient(site.admin_socket).get("/v1/status")
    except AdminUnreachableError as error:
        if arguments.json:
            state_word = "silent" if error.running else "not-running"
            print(json.dumps({"state": state_word, "ready": False, "reason": str(error)}, indent=2))
            return ExitCode.UNREACHABLE
        raise
    if arguments.json:
        print(json.dumps(state, indent=2))
    else:
        print("\n".join(plain(line) for line in _report(state, _wanted_lanes(path))))
    if state.get("ready") is not True:
        return ExitCode.FAILED
    return ExitCode.FINDINGS if arguments.strict and state.get("problems") else ExitCode.OK


def reload(arguments: argparse.Namespace) -> int:
    """Serve with the configuration as it is now. A key that was quarantined by it is a finding."""
    site = config_file.locate(config_file.find(arguments.config))
    answer = AdminClient(site.admin_socket, _RELOAD_TIMEOUT_S).post("/v1/reload")
    if arguments.json:
        print(json.dumps(answer, indent=2))
    else:
        print(f"reloaded, generation {answer.get('generation', '?')}")
    quarantined = answer.get("quarantined")
    if not isinstance(quarantined, dict) or not quarantined:
        return ExitCode.OK
    for key, reason in quarantined.items():
        print(f"signer: {plain(f'key {key} is quarantined and signs nothing: {reason}')}", file=sys.stderr)
    return ExitCode.FINDINGS


def stop(arguments: argparse.Namespace) -> int:
    """End the signer and wait until it is gone."""
    site = config_file.locate(config_file.find(arguments.config))
    client = AdminClient(site.admin_socket)
    client.post("/v1/stop")
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while client.listening():
        if time.monotonic() > deadline:
            raise AdminUnreachableError(
                f"{site.admin_socket} is still open {_STOP_TIMEOUT_S:g} s after the signer took the stop; "
                "see its log",
                running=True,
            )
        time.sleep(_POLL_S)
    print(json.dumps({"stopped": True}, indent=2) if arguments.json else "stopped")
    return ExitCode.OK


def _wanted_lanes(path: Path) -> dict[str, int]:
    """Return how many lanes the file at `path` wants for each token; nothing if it is broken now."""
    try:
        return {name: token.lanes for name, token in config_file.load(path).tokens.items()}
    except ConfigError:
        return {}


def _report(state: dict[str, Any], wanted_lanes: dict[str, int]) -> list[str]:
    def word(name: str) -> object:
        return state.get(name, "?")

    ready = "ready" if state.get("ready") is True else "not ready"
    what = f"pid {word('pid')}, version {word('version')}, generation {word('generation')}"
    text = [
        f"{word('state')}, {ready}, {what}",
        *(f"attention: {problem}" for problem in state.get("problems") or []),
        f"config {word('config')}   since {readable(state.get('started_at'))}",
        f"restarts of the signing process: {word('restarts')}",
    ]
    if state.get("only"):
        text.append(f"only the {state['only']} process runs here (--only {state['only']})")
    control = state.get("control")
    if isinstance(control, dict):
        text.append(f"control process: {control.get('state', '?')}   pid {control.get('pid', '-')}")
    text.append(_counts(state))
    text += [f"FROZEN {_frozen(marker)}" for marker in state.get("frozen") or []]
    tokens = [
        (name, each.get("state"), _lanes(each, wanted_lanes.get(name)), each.get("reason") or "")
        for name, each in (state.get("tokens") or {}).items()
    ]
    text += ["", *lines(("TOKEN", "STATE", "LANES", "REASON"), tokens)]
    keys = [
        (
            each.get("public_key"),
            each.get("role"),
            each.get("node") or "-",
            each.get("token"),
            each.get("state"),
            each.get("signatures", 0),
            readable(each.get("last_signature_at")),
            each.get("reason") or "",
        )
        for each in state.get("keys") or []
    ]
    header = ("KEY", "ROLE", "NODE", "TOKEN", "STATE", "SIGNED SINCE START", "LAST", "REASON")
    return [*text, "", *lines(header, keys)]


def _counts(state: dict[str, Any]) -> str:
    """Return what was not signed since the signer started, and how the audit log is."""
    counted = (state.get("counters") or {}).get("verdicts")
    requests = "unknown"
    if isinstance(counted, dict):
        requests = ", ".join(f"{counted.get(word, 0)} {word}" for word in ("late", "refused", "failed"))
    audit = state.get("audit") or {}
    log = ", ".join(f"{audit.get(word, '?')} {word}" for word in ("waiting", "lost"))
    degraded = f", degraded: {audit['degraded']}" if audit.get("degraded") else ""
    return f"requests not signed: {requests}   audit log: {log}{degraded}"


def _lanes(token: dict[str, Any], wanted: int | None) -> str:
    """Return how many lanes have a logged-in session, of how many that are configured."""
    lanes = token.get("lanes") or []
    if token.get("state") == "closed":
        return "-"  # the process that opens it does not run
    ready = sum(lane.get("state") in _OPEN for lane in lanes)
    return f"{ready} of {len(lanes) if wanted is None else wanted}"


def _frozen(marker: object) -> str:
    if not isinstance(marker, dict):
        return str(marker)
    what = " ".join(str(marker[part]) for part in ("scope", "name") if marker.get(part))
    return f"{what}: {marker.get('reason', '')} (by {marker.get('by', '?')} at {marker.get('at', '?')})"
