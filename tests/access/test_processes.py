"""What each process of a signer that runs has given up, as the kernel says: /proc/PID/status and /proc/PID/limits."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.condition import until
from rig.family import commands
from rig.signer_process import RunningSigner, provision

from signer.admin_client import AdminClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rig.trial import Trial

_AS_ROOT = os.geteuid() == 0
#: linux/include/uapi/linux/capability.h
_SYS_NICE = 1 << 23
#: What may have a PIN in its memory. The control process has none.
_WITH_PINS = (" serve ", "signer.signing.process", "hsm.lane")


@pytest.fixture(scope="module")
def processes(trial: Trial) -> dict[Path, str]:
    """The /proc folder of every process of the trial's signer, with its command line, once all have begun."""
    admin = AdminClient(Path(trial.description()["admin_socket"]))
    until(lambda: admin.get("/v1/status")["control"]["state"] == "ready", "the control process serves")
    found = _named(trial.description()["pid"])
    for part in (*_WITH_PINS, "signer.control.process"):
        assert any(part in line for line in found.values()), (part, found)
    return found


def _named(pid: int) -> dict[Path, str]:
    return {folder: command.replace(b"\0", b" ").decode() for folder, command in commands(pid).items()}


def _status(folder: Path) -> dict[str, str]:
    lines = (folder / "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_no_process_may_get_new_privileges(processes: dict[Path, str]) -> None:
    """No setuid program helps whoever takes one over, and none has a capability to begin with."""
    for folder, line in processes.items():
        status = _status(folder)
        assert status["NoNewPrivs"] == "1", line
        if _AS_ROOT:  # the trial's own user is then another one
            assert set(status["Uid"].split()) != {"0"}, line
            allowed = _SYS_NICE if any(part in line for part in _WITH_PINS) else 0  # hsm/realtime.py
            assert (int(status["CapEff"], 16) | int(status["CapPrm"], 16)) & ~allowed == 0, line


def test_no_process_makes_files_for_others(processes: dict[Path, str]) -> None:
    for folder, line in processes.items():
        assert _status(folder)["Umask"] == "0077", line


def test_no_process_leaves_a_core_dump(processes: dict[Path, str]) -> None:
    """Neither the soft nor the hard limit allows one."""
    for folder, line in processes.items():
        limits = (folder / "limits").read_text().splitlines()
        core = next(each for each in limits if each.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"], line


@pytest.mark.parametrize("what", ["mem", "environ"])
def test_no_process_of_the_same_user_reads_their_memory(
    processes: dict[Path, str], trial: Trial, what: str
) -> None:
    """Another program of the signer's user cannot look into them: they are not dumpable (prctl(2))."""
    pid = trial.description()["pid"]
    user = int(_status(Path(f"/proc/{pid}"))["Uid"].split()[0])
    wrapper = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if _AS_ROOT else []
    probe = "import sys\nfor p in sys.argv[1:]:\n try: open(p, 'rb')\n except PermissionError: pass\n else: print(p)"
    paths = [str(folder / what) for folder in processes]

    done = subprocess.run(
        [*wrapper, "/usr/bin/python3", "-c", probe, *paths], capture_output=True, text=True, check=True
    )

    assert done.stdout == ""


def test_memory_with_pins_is_locked_where_allowed(processes: dict[Path, str], trial: Trial) -> None:
    """By its limit or as root; where it is not, the log says that PINs may be swapped out."""
    with signer_of_this_user() as own:
        for folders, log in ((processes, (trial.folder / "signer.log").read_text()), own):
            for folder, line in folders.items():
                allowed = _may_lock(folder)
                if any(part in line for part in _WITH_PINS):
                    locked_kb = int(_status(folder)["VmLck"].split()[0])
                    assert (locked_kb > 10_000) == allowed, line
                    assert ('"memory is not locked' in log) != allowed


def _may_lock(folder: Path) -> bool:
    """mlock(2): without a limit, or with CAP_IPC_LOCK."""
    limits = (folder / "limits").read_text().splitlines()
    limit = next(line for line in limits if line.startswith("Max locked memory"))
    return "unlimited" in limit or bool(int(_status(folder)["CapEff"], 16) >> 14 & 1)


@contextmanager
def signer_of_this_user() -> Iterator[tuple[dict[Path, str], str]]:
    """Yield the processes and the log of a signer that runs as whoever runs the tests."""
    with (
        tempfile.TemporaryDirectory(prefix="own-") as folder,
        RunningSigner(provision(Path(folder))) as running,
    ):
        yield _named(running.pid), running.log()


def test_a_limit_on_locked_memory_is_not_run_into() -> None:
    """With a finite limit nothing is locked but the page of a typed PIN, and the process goes on."""
    program = """\
import re
from pathlib import Path
from hsm import hardening
from hsm.pin import TypedPin
hardening.harden()
print(hardening.lock_memory())
pin = TypedPin("")
pin.set("hush")
blocks = []
for _ in range(64):
    blocks.append(bytearray(1 << 20))
print(re.search(r"VmLck:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1], len(blocks))
"""
    wrapper = (
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]
        if _AS_ROOT
        else []
    )
    done = subprocess.run(
        ["prlimit", "--memlock=65536:65536", *wrapper, sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert done.stdout.split() == ["False", "4", "64"], done.stderr
