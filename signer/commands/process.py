"""`signer status`, `reload` and `stop`: the running signer as a whole."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from signer import config_file
from signer.admin_client import AdminClient
from signer.commands.colour import Palette
from signer.commands.exit_code import ExitCode
from signer.commands.status_report import report
from signer.commands.table import plain
from signer.errors import AdminError, AdminRefusedError, AdminUnreachableError, ConfigError

if TYPE_CHECKING:
    import argparse

#: A reload opens each token again, and a hardware token may take seconds for its login.
_RELOAD_TIMEOUT_S: Final = 60.0
#: A stop drains requests, each of which ends within its node's timeout, and logs out.
_STOP_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.05


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
    state["problems"] = [*(state.get("problems") or []), *_faults(path)]
    if arguments.json:
        print(json.dumps(state, indent=2))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print("\n".join(report(state, Palette.of_stdout(), width, time.time())))
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
    try:
        answer = client.post("/v1/stop", {"lose_audit": arguments.lose_audit})
    except AdminRefusedError as error:
        raise AdminError(f"not stopped: {error}; to stop it all the same: signer stop --lose-audit") from None
    # A number of another pid namespace, as of a container, says nothing here.
    here = answer.get("pid_namespace") == Path("/proc/self/ns/pid").stat().st_ino
    pid = answer.get("pid") if here else None
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    # It stops listening first, and then writes the end of its audit log: who copies that must wait for both.
    while client.listening() or (isinstance(pid, int) and _runs(pid)):
        if time.monotonic() > deadline:
            raise AdminUnreachableError(
                f"the signer still runs {_STOP_TIMEOUT_S:g} s after it took the stop; see its log",
                running=True,
            )
        time.sleep(_POLL_S)
    print(json.dumps({"stopped": True}, indent=2) if arguments.json else "stopped")
    return ExitCode.OK


def _runs(pid: int) -> bool:
    """Whether a process runs. One that has ended and was not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")  # proc(5)


def _faults(path: Path) -> list[str]:
    """Return that the file is broken now: what runs has read it before, and would not start with it."""
    try:
        config_file.load(path)
    except ConfigError as error:
        first = str(error).splitlines()[0].partition("; ")[0]
        return [f"the file is not valid now, a start or a reload fails: {first}; signer check-config"]
    return []
