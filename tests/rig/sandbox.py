"""What systemd takes away from a unit, taken away without systemd: `python sandbox.py FILTER COMMAND...`.

FILTER is a file with the numbers of the system calls that are allowed; all others fail with EPERM, as with
SystemCallErrorNumber=EPERM. Memory that is writable and executable is refused (MemoryDenyWriteExecute=).
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final

#: linux/include/uapi/linux/prctl.h, seccomp.h, filter.h and audit.h.
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_PR_SET_MDWE: Final = 65
_MDWE_REFUSE_EXEC_GAIN: Final = 1
_SECCOMP_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_FAIL: Final = 0x00050000 | 1  # SECCOMP_RET_ERRNO, EPERM
_ARCHITECTURE: Final = 0xC000003E  # AUDIT_ARCH_X86_64
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_NUMBERS: Final = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


def allowed(unit: str) -> list[int]:
    """Return the numbers of the system calls that a unit's SystemCallFilter= lines leave."""
    names: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.+)$", unit, re.MULTILINE):
        listed = {name for word in line.lstrip("~").split() for name in _names(word)}
        names = names - listed if line.startswith("~") else names | listed
    numbers = dict(re.findall(r"^#define __NR_(\w+) (\d+)$", _NUMBERS.read_text(), re.MULTILINE))
    return sorted(int(numbers[name]) for name in names if name in numbers)


def _names(word: str) -> set[str]:
    """Return the system calls of a name, or of a group and the groups in it."""
    if not word.startswith("@"):
        return {word}
    shown = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", word], capture_output=True, text=True, check=True
    ).stdout
    inside = [line.strip() for line in shown.splitlines()[1:] if not line.strip().startswith("#")]
    return {name for entry in inside if entry for name in _names(entry)}


def _close(numbers: list[int]) -> None:
    """Allow the system calls `numbers` to this process and all that it starts, and no others."""
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _ARCHITECTURE), (_RETURN, 0, 0, _FAIL), (_LOAD, 0, 0, 0)]
    for number in numbers:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    steps.append((_RETURN, 0, 0, _FAIL))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_MDWE, _MDWE_REFUSE_EXEC_GAIN)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))


def _prctl(option: int, *values: int) -> None:
    words = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, *words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


if __name__ == "__main__":
    _close([int(word) for word in Path(sys.argv[1]).read_text().split()])
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - a test's own command
