"""The machine and the signer's processes: /proc, the file system, systemd."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from signer.doctor.facts import HostFact, ProcessFact

if TYPE_CHECKING:
    from collections.abc import Mapping

#: systemd answers in a tenth of a second, unless it is not well.
_SYSTEMD_S: Final = 5.0
_LIMIT = re.compile(r"^(Max open files|Max core file size) +(\d+|unlimited)", re.MULTILINE)
_LOCKED = re.compile(r"^VmLck:\s+(\d+) kB", re.MULTILINE)
_UNIT = re.compile(r"/([^/\n]+\.service)(?:/[^/\n]*)?$", re.MULTILINE)
_EXPOSURE = re.compile(r"Overall exposure level[^:]*: *(\d+(?:\.\d+)?)")
_PYTHON = re.compile(r"^python(\d+\.\d+)")
_UNLIMITED: Final = 2**31


def folder(pid: int) -> Path:
    """Return the folder of a process; it belongs to the process's user (proc(5))."""
    return Path(f"/proc/{pid}")


def processes(status: Mapping[str, Any]) -> list[ProcessFact]:
    """Return the processes that `signer status` names."""
    control = status.get("control") or {}
    pids = {
        "supervisor": status.get("pid"),
        "signing": status.get("signing_pid"),
        "control": control.get("pid"),
    }
    return [_process(name, pid) for name, pid in pids.items() if isinstance(pid, int) and pid > 0]


def _process(name: str, pid: int) -> ProcessFact:
    at = folder(pid)
    try:
        limits = dict(_LIMIT.findall((at / "limits").read_text()))
        locked = _LOCKED.search((at / "status").read_text())
    except (OSError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "is not shown here"
        return ProcessFact(name, pid, problem=f"process {pid}: {reason}")
    try:
        used = len(os.listdir(at / "fd"))  # noqa: PTH208 - a count
    except OSError:
        used = None
    core = limits.get("Max core file size", "0")
    files = limits.get("Max open files", "0")
    return ProcessFact(
        name,
        pid,
        used,
        _UNLIMITED if files == "unlimited" else int(files),
        None if core == "unlimited" else int(core),
        int(locked[1]) * 1024 if locked else 0,
        _swaps(),
    )


def load() -> tuple[float, int]:
    """Return the load of the last minute, and the number of processors."""
    return os.getloadavg()[0], os.cpu_count() or 1


def _swaps() -> bool:
    """Whether the machine has swap: the file has a head line, and one for each area (proc(5))."""
    try:
        return len(Path("/proc/swaps").read_text().splitlines()) > 1
    except OSError:
        return True  # nobody says that there is none


def host(state_dir: Path, audit_log: Path, pid: int | None) -> HostFact:
    """Return what there is to see of the machine. `pid` is the supervisor, None while there is none."""
    try:
        room = os.statvfs(state_dir)
        # A file system without a fixed number of files says 0 of 0.
        free, files = room.f_bavail * room.f_frsize, room.f_favail if room.f_files else _UNLIMITED
    except OSError:
        free, files = None, 0
    try:
        log_bytes = sum(each.stat().st_size for each in audit_log.parent.iterdir() if each.is_file())
    except OSError:
        log_bytes = 0
    unit = _unit(pid)
    return HostFact(free, files, log_bytes, *load(), _python(pid), unit, _exposure(unit))


def _unit(pid: int | None) -> str:
    """Return the systemd service that a process is in; not the one that a login is in."""
    if pid is None or not Path("/run/systemd/system").is_dir():
        return ""
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""
    found = _UNIT.search(text)
    return found[1] if found and not found[1].startswith("user@") else ""


def _exposure(unit: str) -> float | None:
    if not unit:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - no shell; the unit's name is the kernel's
            ["systemd-analyze", "security", "--no-pager", unit],  # noqa: S607 - in every PATH of systemd's hosts
            capture_output=True,
            text=True,
            check=False,
            timeout=_SYSTEMD_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _EXPOSURE.search(done.stdout)
    return float(found[1]) if found else None


def _python(pid: int | None) -> str:
    """Return the version of the Python that runs a process, by the name of its program; empty where it has none."""
    try:
        found = _PYTHON.match(Path(f"/proc/{pid}/exe").resolve(strict=True).name)
    except OSError:
        return ""
    return found[1] if found else ""
