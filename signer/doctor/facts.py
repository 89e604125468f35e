"""What the doctor has seen, as values. Whatever could not be seen says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Site:
    """Who looks, at whose signer.

    Attributes:
        uid: the signer's user: of the running supervisor, else of the state folder; None where nobody knows.
        user: that user's name.
        production: whether it is held to what production needs.
    """

    uid: int | None
    user: str
    production: bool


@dataclass(frozen=True, slots=True)
class FileFact:
    """What is at a path.

    Attributes:
        path: where.
        kind: `file`, `folder`, `socket`, `link`, `other`; empty where nothing could be seen.
        mode: permission bits.
        uid: its owner.
        owner: the owner's name.
        folder_mode: permission bits of the folder that it is in.
        problem: why nothing could be seen, in words.
    """

    path: Path
    kind: str = ""
    mode: int = 0
    uid: int = -1
    owner: str = ""
    folder_mode: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ListenerFact:
    """A listening address.

    Attributes:
        address: `unix:/path` or `tcp:127.0.0.1:8900`.
        listens: whether somebody accepts connections; None where this user may not try.
        file: the socket's file; None on TCP.
    """

    address: str
    listens: bool | None
    file: FileFact | None


@dataclass(frozen=True, slots=True)
class TokenFact:
    """A token as its module shows it without a PIN.

    Attributes:
        module: name and version of the module; empty where it could not be loaded.
        flags: of CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY and CKF_USER_PIN_LOCKED those that are set.
        problem: why the token is not there; empty if it is.
    """

    module: str
    flags: tuple[str, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class HeadFact:
    """What a nodeos says of itself, asked directly.

    Attributes:
        url: its HTTP API.
        chain_id: 64 hex digits; empty where it gave no answer.
        head: its head block's number.
        head_time: its head block's time (UTC); None without an answer.
        version: of nodeos, as it says it.
        ahead_s: the local clock less the head block's time, in s.
        problem: why it gave no answer; empty if it did.
    """

    url: str
    chain_id: str = ""
    head: int = 0
    head_time: datetime | None = None
    version: str = ""
    ahead_s: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ProcessFact:
    """A process of the signer.

    Attributes:
        name: `supervisor`, `signing` or `control`.
        pid: its number.
        open_files: descriptors in use; None where this user may not look.
        max_files: how many it may have.
        core_bytes: the largest core dump that it may leave; None for no limit.
        locked_bytes: of its memory, kept out of swap.
        swaps: whether the machine has swap.
        problem: why nothing is known; empty if it is.
    """

    name: str
    pid: int
    open_files: int | None = None
    max_files: int = 0
    core_bytes: int | None = 0
    locked_bytes: int = 0
    swaps: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HostFact:
    """The machine.

    Attributes:
        free_bytes: of the file system of state_dir, for the signer's user; None where it cannot be looked at.
        free_files: how many more files it takes.
        log_bytes: size of the audit log.
        load: of the last minute.
        cores: processors.
        python: version of the running supervisor's Python, as its program is called; empty where unknown.
        unit: the systemd unit that the signer runs in; empty where none.
        exposure: what `systemd-analyze security` says of it, 0 (safe) to 10; None where it says nothing.
    """

    free_bytes: int | None
    free_files: int
    log_bytes: int
    load: float
    cores: int
    python: str
    unit: str
    exposure: float | None


@dataclass(frozen=True, slots=True)
class AuditFact:
    """The end of the audit log.

    Attributes:
        lines: how many were looked at.
        fault: the first thing that is wrong with them; empty if nothing is.
        problem: why it could not be read; empty if it could.
        aside: names of files beside it that the signer took out of the log's way: damaged, torn or not its own.
    """

    lines: int
    fault: str = ""
    problem: str = ""
    aside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeosFact:
    """A nodeos on this host that lists keys of one of our nodes.

    Attributes:
        pid: its process.
        node: our node; empty where it could not be looked at.
        config_ini: which file on this host it runs with, whatever its name there.
        listed: how many of the node's keys it can use.
        keys: how many the node has.
        findings: rule, text and remedy of what should be put in order.
        problem: why it could not be looked at.
    """

    pid: int
    node: str
    config_ini: str = ""
    listed: int = 0
    keys: int = 0
    findings: tuple[tuple[str, str, str], ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What the control API says, one question each.

    Attributes:
        answers: by path.
        problems: why there is no answer, by path.
    """

    answers: Mapping[str, Mapping[str, Any]]
    problems: Mapping[str, str]
