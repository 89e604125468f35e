"""Alarms: conditions that a person has to look at, each by a name that stays the same. Pure.

An alarm is raised and cleared by whoever watches its condition. Some are events: that they happened is the news, so
they stand until a person clears them, over restarts too.

A name is here, with what it means, and as a heading `### Alarm: NAME` in deploy/runbook.md. A test holds both together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.channel import Message

#: The type of the message in which a process tells the supervisor of an alarm.
MESSAGE: Final = "alarm"
#: Alarms of one name and different subjects; beyond that the last subject stands for the rest.
MAX_SUBJECTS: Final = 100
#: An alarm that is raised again and again is sent so often, in s: the count may lag by that much.
_AGAIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an alarm says.

    Attributes:
        sentence: what it means, for people.
        event: whether it stands until a person clears it, or until its condition ends.
    """

    sentence: str
    event: bool = False


#: Every alarm. Keep it sorted.
MEANINGS: Final[dict[str, Meaning]] = {
    "chain-silent": Meaning("No API node has told what happens on a chain for a minute or more."),
    "checkpoint": Meaning(
        "The audit key signs no checkpoints, so the end of the audit log cannot be proved."
    ),
    "checkpoint-sink": Meaning("A place off the host does not take the checkpoints of the audit log."),
    "clone": Meaning(
        "A block has a signature by a key of this signer that this signer never gave: somebody has the key.",
        event=True,
    ),
    "control-hung": Meaning(
        "The control process did not answer and was killed; another took its place.", event=True
    ),
    "height": Meaning("A node had a block signed whose number is not above one that was signed before."),
    "lease": Meaning("A node asked for signatures while another one holds the lease of their producer."),
    "lease-moved": Meaning(
        "The lease of a producer went to another node because its holder was absent.", event=True
    ),
    "rate": Meaning("A producer was given as many signatures as its limit allows, and asked for more."),
    "signing-hung": Meaning(
        "The signing process did not answer and was killed; another took its place.", event=True
    ),
    "slot": Meaning("Two nodes of one producer asked for signatures for one slot."),
    "upgrade-incomplete": Meaning(
        "The supervisor runs new code, and the signing process is still the old one."
    ),
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm in force. `subject` is what it is about, `since` in s since 1970, `count` how often it was raised."""

    name: str
    subject: str
    text: str
    since: float
    count: int


def message(name: str, subject: str, text: str, *, on: bool) -> Message:
    """Return the message that raises an alarm, or clears it."""
    return {"type": MESSAGE, "name": name, "subject": subject, "text": text, "on": on}


class Bell:
    """Raises alarms in the supervisor from another process, not more often than it can be read.

    Args:
        send: sends a message to the supervisor; must not block.
        clock: s of a clock that never goes back.
    """

    def __init__(self, send: Callable[[Message], None], clock: Callable[[], float]) -> None:
        self._send = send
        self._clock = clock
        self._sent: dict[tuple[str, str], float] = {}

    def raised(self, name: str, subject: str, text: str) -> None:
        """Raise an alarm, or say that its condition is still there."""
        now = self._clock()
        last = self._sent.get((name, subject))
        if last is not None and now - last < _AGAIN_S:
            return
        if last is None and len(self._sent) >= MAX_SUBJECTS * len(MEANINGS):
            self._sent.clear()
        self._sent[name, subject] = now
        self._send(message(name, subject, text, on=True))

    def cleared(self, name: str, subject: str) -> None:
        """Say that the condition has ended. Nothing is sent if it was never raised here."""
        if self._sent.pop((name, subject), None) is not None:
            self._send(message(name, subject, "", on=False))
