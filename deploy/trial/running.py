"""The signer that runs on a trial: found, started, watched, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from signer.admin_client import AdminClient
from signer.errors import AdminError, AdminRefusedError
from trial.errors import TrialError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trial.layout import Layout

#: A signer is ready in 3 s. What has begun and is not ready after ten times that does not become it by itself.
_READY_S: Final = 30.0
#: One that has not even begun by then is on a machine with much to do.
_BEGIN_S: Final = 300.0
#: What is not needed for blocks is ready a moment later, or something is wrong with it.
_WHOLE_S: Final = 5.0
#: The signer lets accepted requests finish for up to 10 s before it ends.
_STOP_S: Final = 20.0
_POLL_S: Final = 0.05
#: What of the log a failure shows.
_TAIL_LINES: Final = 20
#: A line for each request of a node that asks already: many a second, and never why a start failed.
_NOISE: Final = '"request not signed"'
_NEXT: Final = "To start it as it is all the same: deploy/runbook.md, Token away"
_SIGNER: Final = Path(sys.executable).with_name("signer")


def find(layout: Layout, recorded: int | None) -> int | None:
    """Return the process id of the signer that runs on `layout`, or None.

    Args:
        layout: the trial.
        recorded: the process id in quickstart.json: finds a signer whose admin socket does not answer.
    """
    status = _status(layout)
    if status is not None:
        return int(status["pid"])
    return recorded if recorded is not None and _is_ours(recorded, layout) else None


def check_ports(ports: dict[str, int]) -> None:
    """Check that each port of 127.0.0.1 can be listened on.

    Raises:
        TrialError: one cannot.
    """
    for name, port in ports.items():
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError as error:
                raise TrialError(
                    f"port {port} ({name}) cannot be used: {error.strerror}; stop what listens there, "
                    "or make a trial in another --dir with another --port"
                ) from None


def start(layout: Layout, *, detached: bool) -> subprocess.Popen[bytes]:
    """Start the signer in a process group of its own. Detached, it prints to the log file."""
    with contextlib.ExitStack() as stack:
        output: Any = sys.stderr  # stdout is for what this program prints
        if detached:
            descriptor = os.open(layout.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            output = stack.enter_context(os.fdopen(descriptor, "wb"))
        return subprocess.Popen(  # noqa: S603 - our own program
            [_SIGNER, "serve", "--config", layout.config],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=layout.folder,
            start_new_session=True,
        )


def wait_ready(layout: Layout, process: subprocess.Popen[bytes]) -> None:
    """Wait until the signer is ready, and a while longer until everything else of it is: rotations, the audit key.

    Raises:
        TrialError: it ended, or was not ready in time; then it is stopped.
    """
    began = time.monotonic()
    end = began + _BEGIN_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise TrialError(f"the signer ended with code {process.returncode} while it started")
        status = _status(layout)
        if status is not None and status["pid"] == process.pid and status.get("ready"):
            end = min(end, time.monotonic() + _WHOLE_S)
            if _is_whole(status):
                return
        elif has_begun(status) and time.monotonic() > began + _READY_S:
            break
        time.sleep(_POLL_S)
    status = _status(layout)
    if status is not None and status.get("ready"):
        return  # nodes are served, and `signer status` says what is not
    waited_s, problem = time.monotonic() - began, why_not_ready(status)
    end_process(process)
    raise TrialError(f"the signer was not ready within {waited_s:.0f} s{problem}; it was stopped. {_NEXT}")


def has_begun(status: dict[str, Any] | None) -> bool:
    """Whether a signer has opened its tokens and looked at their keys, or found that it cannot."""
    if status is None or status.get("state") != "serving":
        return False
    if status["frozen"]:  # what is frozen proves no key
        return True
    states = {name: token["state"] for name, token in status["tokens"].items()}
    unseen = (
        each
        for each in status["keys"]
        if each["state"] == "unavailable" and each["role"] in ("block", "probe")
    )
    return "starting" not in states.values() and all(states[each["token"]] != "logged-in" for each in unseen)


def _is_whole(status: dict[str, Any]) -> bool:
    """Whether the control process serves, every token is open and every key can be used."""
    return (
        status["control"]["state"] == "ready"
        and all(token["state"] == "logged-in" for token in status["tokens"].values())
        and all(key["state"] == "active" for key in status["keys"])
    )


def log_size(layout: Layout) -> int:
    """Return the size of the log file in bytes, 0 where there is none."""
    return layout.log.stat().st_size if layout.log.exists() else 0


def log_tail(layout: Layout, since: int) -> str:
    """Return the last lines of the log file after byte `since`, without those of single requests."""
    try:
        with layout.log.open("rb") as file:
            file.seek(since)
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join([line for line in lines if _NOISE not in line][-_TAIL_LINES:])


def watch(process: subprocess.Popen[bytes]) -> int:
    """Wait for the signer to end and return its exit code. Ctrl-C, a hang-up or SIGTERM stop it."""

    def stop(_number: int, _frame: object) -> None:
        process.send_signal(signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    return process.wait()


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Stop a signer that this program started."""
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def stop(layout: Layout, pid: int, say: Callable[[str], None]) -> None:
    """Stop the signer with process id `pid` and wait until it has ended.

    Raises:
        TrialError: it did not end in time, or would lose lines of its audit log.
    """
    try:
        AdminClient(layout.admin_socket).post("/v1/stop")
    except AdminRefusedError as error:
        raise TrialError(
            f"not stopped: {error}; to stop it all the same: signer stop --lose-audit"
        ) from error
    except (AdminError, PermissionError) as error:
        say(f"the signer does not take the request ({error}); sending SIGTERM to process {pid}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + _STOP_S
    while _is_ours(pid, layout):
        if time.monotonic() > end:
            raise TrialError(
                f"process {pid} did not end within {_STOP_S:.0f} s; see {layout.log}, then: kill -9 {pid}"
            )
        time.sleep(_POLL_S)


def _status(layout: Layout) -> dict[str, Any] | None:
    try:
        status = AdminClient(layout.admin_socket, timeout_s=2).get("/v1/status")
    except (AdminError, PermissionError):
        return None
    return status if isinstance(status.get("pid"), int) else None


def why_not_ready(status: dict[str, Any] | None) -> str:
    """Return what keeps a signer from being ready, for the end of a sentence; `status` is None if it is silent."""
    if status is None:
        return ", and its admin socket does not answer"
    away = [
        f"token {name} is {token.get('state')}: {token.get('reason') or ''}".removesuffix(": ")
        for name, token in status.get("tokens", {}).items()
        if token.get("purpose") == "block" and token.get("state") != "logged-in"
    ]
    frozen = [
        f"{' '.join(filter(None, (each['scope'], each['name'])))} is frozen: {each['reason']}; "
        "'signer unfreeze' ends it, also while the signer is stopped"
        for each in status.get("frozen", [])
    ]
    quarantined = [
        f"key {key['label']} is quarantined: {key['reason']}"
        for key in status.get("keys", [])
        if key["role"] == "block" and key["state"] == "quarantined"
    ]
    why = [*status.get("obstacles", []), *away, *frozen, *quarantined]
    return f": {'; '.join(why)}" if why else ""


def _is_ours(pid: int, layout: Layout) -> bool:
    """Whether `pid` is a living signer of this trial. Ids are used again; a zombie has no command."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return os.fsencode(layout.config) in command.split(b"\0")
