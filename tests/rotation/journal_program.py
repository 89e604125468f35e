"""A process of its own with the journal: it plans, or saves as fast as it can and says what is on disk.

journal_program.py PATH plan CHAIN...   waits for a line, then plans a rotation on each chain; prints the outcomes
journal_program.py PATH save ID...      saves these rotations in turn until it is killed; prints each number saved
journal_program.py PATH one ID          waits for a line, then saves once; prints the outcome
"""

import itertools
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rotation.samples import KEYS, REQUEST

from signer.errors import JournalConflictError, JournalError
from signer.rotation.entry import Entry, Event
from signer.rotation.journal import Journal


def say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def plan(journal: Journal, chain: str) -> str:
    try:
        rotation = journal.plan(
            replace(REQUEST, chain=chain),
            producer="bravo",
            permission="rotate",
            to_key=KEYS[0],
            needs_approval=False,
            idempotency_key=None,
            now=datetime.now(UTC),
        )
    except JournalConflictError as error:
        return f"live {error.rotation_id}"
    return f"planned {rotation.id}"


def save(journal: Journal, rotation_id: int, number: int) -> None:
    """Write `number` into the row, in a long and a short field, and into an entry."""
    now = datetime.now(UTC)
    rotation = replace(
        journal.get(rotation_id), reason=f"{number} " * 2000, head_seen=number, state_since=now
    )
    journal.save(rotation, Entry(now, Event.CHECKING, rotation.state, "signer", str(number)))


def main(path: str, what: str, *values: str) -> None:
    journal = Journal(Path(path))
    if what == "save":
        first = max(journal.get(int(each)).head_seen for each in values) + 1
        for number, each in zip(itertools.count(first), itertools.cycle(values), strict=False):
            save(journal, int(each), number)
            say(f"{each} {number}")
    say("ready")
    sys.stdin.readline()
    if what == "plan":
        say(" ".join(plan(journal, chain) for chain in values))
        return
    try:
        save(journal, int(values[0]), 1)
    except JournalError as error:
        say(f"JournalError: {error}")
    else:
        say("saved")


main(*sys.argv[1:])
