"""A rotation, watched to its end on standard error: one line for each change, and on a terminal one that lives.

The rotation does not need the watcher. The control process may end and come back meanwhile; the watcher asks again.
"""

from __future__ import annotations

import shutil
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from signer.commands.moment import to_the_second
from signer.commands.table import plain
from signer.errors import ControlRefusedError, ControlUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.control_client import ControlClient

#: One block. A look costs the control process a few ms.
_PAUSE_S: Final = 0.5
#: The supervisor replaces a control process within seconds; a host that starts again takes longer.
PATIENCE_S: Final = 120.0
#: Answers of a control process that is not well yet.
_PASSING: Final = frozenset({429, 500, 502, 503, 504})
_CLEAR_LINE: Final = "\r\x1b[K"


class WatchTimeoutError(Exception):
    """The rotation did not get so far in time. It goes on.

    Attributes:
        rotation: as it was seen last; None if it was not seen at all.
    """

    def __init__(self, rotation: dict[str, Any] | None) -> None:
        super().__init__()
        self.rotation = rotation


class Watcher:
    """Follows one rotation.

    Args:
        client: the control API.
        rotation_id: which one.
    """

    def __init__(self, client: ControlClient, rotation_id: int) -> None:
        self._client = client
        self._id = rotation_id
        self._shown = 0
        self._living = sys.stderr.isatty()
        self._silent_since: float | None = None
        self.last: dict[str, Any] | None = None

    def until(self, reached: Callable[[dict[str, Any]], bool], timeout_s: float | None) -> dict[str, Any]:
        """Show every change and return the rotation once `reached` says so.

        Args:
            reached: looks at a rotation as the API shows it.
            timeout_s: the longest wait, in s; None for no end.

        Raises:
            WatchTimeoutError: the time is over.
            ControlUnreachableError: nobody has answered for PATIENCE_S.
            ControlRefusedError: the signer does not show this rotation, or has not been well for PATIENCE_S.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while True:
                rotation = self._look()
                if rotation is not None:
                    self._show(rotation)
                    if reached(rotation):
                        return rotation
                if deadline is not None and time.monotonic() >= deadline:
                    raise WatchTimeoutError(self.last)
                time.sleep(_PAUSE_S)
        finally:
            self._clear()

    def _look(self) -> dict[str, Any] | None:
        """Return the rotation, None while nobody sensible answers."""
        try:
            self.last = self._client.get(f"/v1/rotations/{self._id}")
        except ControlUnreachableError:
            if not self._patient(
                "the control process does not answer; the rotation does not need this command"
            ):
                raise
        except ControlRefusedError as error:
            text = f"the control process is not well ({error.code}); the rotation does not need this command"
            if error.status not in _PASSING or not self._patient(text):
                raise
        else:
            if self._silent_since is not None:
                self._silent_since = None
                self._line("the control process answers again")
            return self.last
        return None

    def _patient(self, text: str) -> bool:
        """Tell whether to ask on; say `text` the first time."""
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
            self._line(text)
        return now - self._silent_since <= PATIENCE_S

    def _show(self, rotation: dict[str, Any]) -> None:
        history = rotation["history"]
        for entry in history[self._shown :]:
            newest = entry is history[-1]
            waits = f"; waits for {rotation['awaited']}" if newest and rotation["awaited"] else ""
            after = _seconds(rotation["created_at"], entry["at"])
            self._line(
                f"{to_the_second(entry['at'])}  {after:4.0f} s  {entry['state']}: {entry['text']}{waits}"
            )
        self._shown = len(history)
        if self._living and rotation["live"]:
            self._alive(rotation)

    def _alive(self, rotation: dict[str, Any]) -> None:
        """Write the last line again."""
        after = (datetime.now(UTC) - datetime.fromisoformat(rotation["created_at"])).total_seconds()
        expected = f" of about {rotation['expected_s']:.0f} s" if rotation["expected_s"] is not None else " s"
        text = f"rotation {self._id} is {rotation['state']}, {after:.0f}{expected}, waits for {rotation['awaited']}"
        width = shutil.get_terminal_size().columns - 1
        print(_CLEAR_LINE + plain(text)[:width], end="", file=sys.stderr, flush=True)

    def _line(self, text: str) -> None:
        self._clear()
        print(plain(text), file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._living:
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)


def _seconds(since: str, at: str) -> float:
    return (datetime.fromisoformat(at) - datetime.fromisoformat(since)).total_seconds()
