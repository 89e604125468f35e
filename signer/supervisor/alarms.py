"""The alarms in force. Events outlive a restart, in one small file.

Laws: an event stands until `dismiss`; any other alarm until each process that raised it clears it, or has ended. The
file is a copy for the next start: one that cannot be written is said in the log and stops nothing.
"""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from signer.alarm import MAX_SUBJECTS, MEANINGS, Alarm
from signer.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger("signer.supervisor")

#: Of a text, in characters; what is longer is cut.
_MAX_TEXT: Final = 400


class Alarms:
    """The alarms of this signer.

    Args:
        path: the file of the events.
        on_change: called with an alarm that was raised for the first time (True) or that ended (False).
    """

    def __init__(self, path: Path, on_change: Callable[[Alarm, bool], None]) -> None:
        self._path = path
        self._on_change = on_change
        self._alarms: dict[tuple[str, str], Alarm] = {}
        self._sources: dict[tuple[str, str], set[str]] = {}
        for alarm in _read(path):
            self._alarms[alarm.name, alarm.subject] = alarm

    def raised(self, source: str, name: str, subject: str, text: str) -> None:
        """Raise an alarm. One that stands already gets the new text and a higher count.

        Args:
            source: which process says so.
            name: one of signer.alarm.MEANINGS.
            subject: what it is about: a node, a key, a chain; may be empty.
            text: a sentence for people.
        """
        if name not in MEANINGS:
            log.error("unknown alarm", extra={"rule": name})
            return
        key = name, subject
        known = self._alarms.get(key)
        if known is None and sum(each.name == name for each in self._alarms.values()) >= MAX_SUBJECTS:
            key = next(each for each in reversed(self._alarms) if each[0] == name)
            known = self._alarms[key]
        since, count = (known.since, known.count) if known else (time.time(), 0)
        alarm = Alarm(name, key[1], text[:_MAX_TEXT], since, count + 1)
        self._alarms[key] = alarm
        self._sources.setdefault(key, set()).add(source)
        if known is None:
            log.error("alarm", extra={"rule": name, "key": subject, "reason": alarm.text})
            self._on_change(alarm, True)
            self._keep(name)

    def cleared(self, source: str, name: str, subject: str) -> None:
        """The condition has ended, says `source`. An event stands all the same, and so does what others raised too."""
        if (
            name not in MEANINGS
            or MEANINGS[name].event
            or source not in self._sources.get((name, subject), ())
        ):
            return
        self._sources[name, subject].remove(source)
        if not self._sources[name, subject]:
            self._end(name, subject)

    def ended(self, source: str) -> None:
        """A process has ended: nobody would clear what it raised."""
        for key in [key for key, raised_by in self._sources.items() if source in raised_by]:
            self.cleared(source, *key)

    def dismiss(self, name: str, subject: str | None) -> list[Alarm]:
        """A person has seen it: end an alarm, or all of that name where no subject is given. Return what ended.

        Raises:
            AdminError: there is no such name.
        """
        if name not in MEANINGS:
            raise AdminError(f"there is no alarm {name!r}; alarms: {', '.join(MEANINGS)}")
        found = [each for each in self.standing() if each.name == name and subject in (None, each.subject)]
        for alarm in found:
            self._end(alarm.name, alarm.subject)
        return found

    def standing(self) -> list[Alarm]:
        """Return the alarms in force, oldest first."""
        return sorted(self._alarms.values(), key=lambda alarm: alarm.since)

    def as_json(self) -> list[dict[str, Any]]:
        """Return them for `signer status`."""
        return [asdict(alarm) for alarm in self.standing()]

    def _end(self, name: str, subject: str) -> None:
        alarm = self._alarms.pop((name, subject), None)
        self._sources.pop((name, subject), None)
        if alarm is not None:
            log.warning("alarm ended", extra={"rule": name, "key": subject})
            self._on_change(alarm, False)
            self._keep(name)

    def _keep(self, name: str) -> None:
        if not MEANINGS[name].event:
            return
        events = [alarm for alarm in self.standing() if MEANINGS[alarm.name].event]
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps([asdict(alarm) for alarm in events]), encoding="utf-8")
            os.replace(new, self._path)  # noqa: PTH105 - as the audit log does
        except OSError as error:
            log.error("alarms are not kept over a restart", extra={"reason": error.strerror})


def _read(path: Path) -> list[Alarm]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        alarms = [
            Alarm(
                str(each["name"]),
                str(each["subject"]),
                str(each["text"]),
                float(each["since"]),
                int(each["count"]),
            )
            for each in found
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        log.error("earlier alarms cannot be read", extra={"reason": str(path)})
        return []
    return [alarm for alarm in alarms if alarm.name in MEANINGS]
