"""A bare Debian 12 tree, and commands that run in it as on a machine of its own but for the network and the kernel.

What tells this machine where Debian and Python packages come from is given to the tree too: apt's and pip's
configuration, and folders that pip's names.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rig.trial import REPOSITORY

#: s. Against a hang: a slow mirror, a busy machine.
_DEBOOTSTRAP_S: Final = 1200
_COMMAND_S: Final = 900
#: Whoever clones has git and the certificates of the web; nothing else is there.
_INCLUDED: Final = "ca-certificates,git"
_SETTINGS: Final = re.compile(r"(PIP_|SSL_CERT|REQUESTS_CA|https?_proxy|no_proxy)", re.IGNORECASE)
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
_PIP: Final = (
    Path("/etc/pip.conf"),
    Path("~/.config/pip/pip.conf").expanduser(),
    Path("~/.pip/pip.conf").expanduser(),
)


def make(tree: Path) -> None:
    """Make a tree with Debian's minimum, git and certificates."""
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={_INCLUDED}", "bookworm", tree],
        capture_output=True,
        text=True,
        check=False,
        timeout=_DEBOOTSTRAP_S,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    apt = Path("/etc/apt")
    for path in (*apt.glob("sources.list*"), apt / "apt.conf.d"):
        target = tree / path.relative_to("/")
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        else:
            shutil.copy(path, target)
    if any((apt / "sources.list.d").glob("*.sources")) and not (apt / "sources.list").exists():
        (tree / "etc/apt/sources.list").unlink(missing_ok=True)
    for path in (Path("/etc/resolv.conf"), Path("/etc/hosts"), _CERTIFICATES):
        shutil.copy(path, tree / path.relative_to("/"))
    for number, path in enumerate(path for path in _PIP if path.exists()):
        target = tree / ("etc/pip.conf" if number == 0 else "root/.config/pip/pip.conf")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


@dataclass(frozen=True)
class Done:
    """How a script ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class BareDebian:
    """One tree; each `run` has processes of its own, which end with it."""

    tree: Path

    def run(self, script: str) -> Done:
        """Run a bash script in the tree as root. `/clone-me` is this clone's history, and nothing of its files."""
        places = {REPOSITORY: "/clone-me", **{folder: str(folder) for folder in _local_packages()}}
        mounts = [
            f"mkdir -p {self.tree}{inside} && mount --rbind {shlex.quote(str(outside))} {self.tree}{inside}"
            for outside, inside in places.items()
        ]
        git = _git_folder()
        if git != REPOSITORY / ".git":  # a worktree: its history is elsewhere
            mounts.append(f"mkdir -p {self.tree}{git} && mount --rbind {git} {self.tree}{git}")
        whole = "\n".join(
            [
                "set -eu",
                f"mount --rbind /dev {self.tree}/dev",
                f"mount -t proc proc {self.tree}/proc",
                f"mount -t tmpfs tmpfs {self.tree}/run",
                *mounts,
                f"exec chroot {self.tree} /bin/bash -eu -o pipefail -c {shlex.quote(script)}",
            ]
        )
        environment = {name: value for name, value in os.environ.items() if _SETTINGS.match(name)}
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/bash", "-c", whole],
            env=environment | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_S,
        )
        return Done(done.returncode, done.stdout, done.stderr)


def _local_packages() -> list[Path]:
    """Return the folders that pip's configuration and environment name."""
    texts = [path.read_text() for path in _PIP if path.exists()]
    texts += [value for name, value in os.environ.items() if name.startswith("PIP_")]
    named = {
        Path(path) for text in texts for path in re.findall(r"(?:file://|(?<=[ =\n])|^)(/[\w./-]+)", text)
    }
    return sorted({_top(path) for path in named if path.is_dir()})


def _top(path: Path) -> Path:
    """An index of links points to the folder of files beside it."""
    return path.parent if path.name == "simple" else path


def _git_folder() -> Path:
    done = subprocess.run(
        ["git", "-C", REPOSITORY, "rev-parse", "--path-format=absolute", "--git-common-dir"],
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())
