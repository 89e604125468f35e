"""Writes of the journal at which a control process is killed, each once, by a hook that the product does not know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from signer.rotation.entry import Event

_HOOK: Final = Path(__file__).resolve().parents[1] / "rotation_chain" / "kill_hook" / "sitecustomize.py"


class KillPoints:
    """What a control process is killed at.

    Args:
        folder: where hook and test meet; made, and open to the signer's user, who needs to reach its parent.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        folder.chmod(0o777)
        self._folder = folder
        self._hook = folder.with_name(folder.name + "-hook")
        self._hook.mkdir(mode=0o755)
        # A copy: the signer's user may not be able to read the tests.
        copy = self._hook / _HOOK.name
        copy.write_text(_HOOK.read_text())
        copy.chmod(0o644)
        self.disarm()

    @property
    def environment(self) -> dict[str, str]:
        """What the signer needs in its environment."""
        return {"PYTHONPATH": str(self._hook), "KILL_FOLDER": str(self._folder)}

    def arm(self, events: Iterable[Event]) -> None:
        """Kill before and after the writes of these events, from now on."""
        points = [point for event in events for point in points_of(event)]
        (self._folder / "armed").write_text(" ".join(points))

    def disarm(self) -> None:
        """Kill nobody any more."""
        (self._folder / "armed").write_text("")

    def done(self) -> set[str]:
        """Return the points at which a process was killed: `planned.before`, `planned.after` and so on."""
        return {path.name for path in self._folder.iterdir()} - {"armed"}


def points_of(event: Event) -> tuple[str, str]:
    """Return the two points of a write."""
    return f"{event.value}.before", f"{event.value}.after"
