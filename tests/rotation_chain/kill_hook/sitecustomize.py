"""Kills the control process at writes of the journal, each once. Python imports it when PYTHONPATH names this folder.

KILL_FOLDER is where it is told at what writes (the file `armed`: words such as `planned.before`, `signed.after`), and
where it notes at what it has killed already. Not a line of the product knows of it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_CONTROL = "signer.control.process"


def _kill_once(point: str, folder: Path) -> None:
    if point not in (folder / "armed").read_text().split():
        return
    try:
        descriptor = os.open(folder / point, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    os.fsync(descriptor)
    os.kill(os.getpid(), signal.SIGKILL)


def _around(write: Callable[..., Any], event: Callable[..., str], folder: Path) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the journal takes and gives
        name = event(*arguments, **named)
        _kill_once(f"{name}.before", folder)
        answer = write(*arguments, **named)
        _kill_once(f"{name}.after", folder)
        return answer

    return wrapped


def _install(folder: Path) -> None:
    from signer.rotation.entry import Event  # noqa: PLC0415 - only in the process that is meant
    from signer.rotation.journal import Journal  # noqa: PLC0415

    def saved(_journal: Journal, _rotation: object, entry: Any) -> str:  # noqa: ANN401 - an Entry
        return str(entry.event.value)

    def planned(*_arguments: object, **_named: object) -> str:
        return Event.PLANNED.value

    Journal.save = _around(Journal.save, saved, folder)  # type: ignore[method-assign]
    Journal.plan = _around(Journal.plan, planned, folder)  # type: ignore[method-assign]


if _CONTROL in sys.orig_argv and "KILL_FOLDER" in os.environ:
    _install(Path(os.environ["KILL_FOLDER"]))
