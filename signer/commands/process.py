"""`signer status`, `reload` and `stop`: the running signer as a whole."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from signer import config_file
from signer.admin_client import AdminClient
from signer.commands.exit_code import ExitCode
from signer.commands.table import lines
from signer.errors import AdminUnreachableError

if TYPE_CHECKING:
    import argparse

#: A reload opens each token again, and a hardware token may take seconds for its login.
_RELOAD_TIMEOUT_S: Final = 60.0
#: A stop drains requests, each of which ends within its node's timeout, and logs out.
_STOP_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.05
#: The states of a lane with a logged-in session.
_OPEN: Final = ("idle", "busy")


def status(arguments: argparse.Namespace) -> int:
    """Show what runs."""
    site = config_file.locate(config_file.find(arguments.config))
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
        print("\n".join(_report(state)))
    return ExitCode.OK if state.get("ready") is True else ExitCode.FAILED


def reload(arguments: argparse.Namespace) -> int:
    """Serve with the configuration as it is now."""
    site = config_file.locate(config_file.find(arguments.config))
    answer = AdminClient(site.admin_socket, _RELOAD_TIMEOUT_S).post("/v1/reload")
    if arguments.json:
        print(json.dumps(answer, indent=2))
    else:
        print(f"reloaded, generation {answer.get('generation', '?')}")
    return ExitCode.OK


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
    print("stopped")
    return ExitCode.OK


def _report(state: dict[str, Any]) -> list[str]:
    def word(name: str) -> object:
        return state.get(name, "?")

    ready = "ready" if state.get("ready") is True else "not ready"
    what = f"pid {word('pid')}, version {word('version')}, generation {word('generation')}"
    text = [
        f"{word('state')}, {ready}, {what}",
        f"config {word('config')}   since {_when(state.get('started_at'))}",
    ]
    control = state.get("control")
    if isinstance(control, dict):
        text.append(f"control process: {control.get('state', '?')}   pid {control.get('pid', '-')}")
    text += [f"FROZEN {_frozen(marker)}" for marker in state.get("frozen") or []]
    tokens = [
        (
            name,
            each.get("state"),
            sum(lane.get("state") in _OPEN for lane in each.get("lanes") or []),
            len(each.get("lanes") or []),
            each.get("reason") or "",
        )
        for name, each in (state.get("tokens") or {}).items()
    ]
    text += ["", *lines(("TOKEN", "STATE", "OPEN", "LANES", "REASON"), tokens)]
    keys = [
        (
            each.get("public_key"),
            each.get("role"),
            each.get("node") or "-",
            each.get("token"),
            each.get("state"),
            each.get("signatures", 0),
            _when(each.get("last_signature_at")),
            each.get("reason") or "",
        )
        for each in state.get("keys") or []
    ]
    header = ("KEY", "ROLE", "NODE", "TOKEN", "STATE", "SIGNED", "LAST", "REASON")
    return [*text, "", *lines(header, keys)]


def _frozen(marker: object) -> str:
    if not isinstance(marker, dict):
        return str(marker)
    what = " ".join(str(marker[part]) for part in ("scope", "name") if marker.get(part))
    return f"{what}: {marker.get('reason', '')} (by {marker.get('by', '?')} at {marker.get('at', '?')})"


def _when(moment: object) -> str:
    if isinstance(moment, int | float) and not isinstance(moment, bool):
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return str(moment) if moment else "-"
