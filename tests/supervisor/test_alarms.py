"""Alarms: what stands, what ends, and that each has a name with a meaning and a place in the runbook."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
from rig.trial import REPOSITORY

from signer import alarm
from signer.alarm import MAX_SUBJECTS, MEANINGS, Bell, Meaning
from signer.errors import AdminError
from signer.supervisor import control
from signer.supervisor.alarms import Alarms
from signer.supervisor.expected import Expected

if TYPE_CHECKING:
    from pathlib import Path

    from rig.site import Site


class Book:
    """Alarms with a record of their changes."""

    def __init__(self, path: Path) -> None:
        self.changes: list[tuple[str, bool]] = []
        self.alarms = Alarms(path, lambda each, on: self.changes.append((each.name, on)))

    def standing(self) -> list[tuple[str, str, int]]:
        """Name, subject and count of each."""
        return [(each.name, each.subject, each.count) for each in self.alarms.standing()]


@pytest.fixture(autouse=True)
def meanings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two names for tests."""
    monkeypatch.setitem(MEANINGS, "wet", Meaning("It rains."))
    monkeypatch.setitem(MEANINGS, "struck", Meaning("Lightning.", event=True))


def test_a_condition_ends_with_its_cause_and_an_event_by_a_person(tmp_path: Path) -> None:
    book = Book(tmp_path / "alarms.json")
    book.alarms.raised("signing-1", "wet", "roof", "it rains")
    book.alarms.raised("signing-1", "wet", "roof", "it rains more")
    book.alarms.raised("signing-1", "struck", "", "lightning")

    assert book.standing() == [("wet", "roof", 2), ("struck", "", 1)]
    assert book.alarms.standing()[0].text == "it rains more"

    book.alarms.cleared("control", "wet", "roof")
    assert len(book.standing()) == 2, "another process has no say in it"
    book.alarms.raised("control", "wet", "roof", "it rains")
    book.alarms.cleared("control", "wet", "roof")
    assert len(book.standing()) == 2, "also if it said the same"
    book.alarms.cleared("signing-1", "wet", "roof")
    book.alarms.cleared("signing-1", "struck", "")
    assert book.standing() == [("struck", "", 1)]

    assert [each.name for each in book.alarms.dismiss("struck", None)] == ["struck"]
    assert book.standing() == []
    assert book.changes == [("wet", True), ("struck", True), ("wet", False), ("struck", False)]


def test_what_a_process_raised_ends_with_it_but_for_events(tmp_path: Path) -> None:
    book = Book(tmp_path / "alarms.json")
    book.alarms.raised("signing-1", "wet", "", "it rains")
    book.alarms.raised("signing-1", "struck", "", "lightning")
    book.alarms.raised("signing-2", "wet", "cellar", "water")

    book.alarms.ended("signing-1")

    assert {name for name, _, _ in book.standing()} == {"struck", "wet"}
    assert ("wet", "", 1) not in book.standing()


def test_events_outlive_a_restart(tmp_path: Path) -> None:
    first = Book(tmp_path / "alarms.json")
    first.alarms.raised("supervisor", "struck", "tree", "lightning")
    first.alarms.raised("supervisor", "wet", "", "it rains")

    assert Book(tmp_path / "alarms.json").standing() == [("struck", "tree", 1)]


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"name": "struck"}]', "\x00", "[" * 100_000])
def test_a_file_that_is_no_list_of_alarms_stops_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "alarms.json").write_text(content, encoding="utf-8")

    assert Book(tmp_path / "alarms.json").standing() == []


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    book = Book(tmp_path / "absent" / "alarms.json")
    book.alarms.raised("supervisor", "struck", "", "lightning")

    assert book.standing() == [("struck", "", 1)]


def test_subjects_are_bounded(tmp_path: Path) -> None:
    book = Book(tmp_path / "alarms.json")
    for number in range(MAX_SUBJECTS + 10):
        book.alarms.raised("signing-1", "wet", str(number), "it rains")

    assert len(book.standing()) == MAX_SUBJECTS
    assert book.standing()[-1] == ("wet", str(MAX_SUBJECTS - 1), 11)


def test_an_unknown_name_is_no_alarm(tmp_path: Path) -> None:
    book = Book(tmp_path / "alarms.json")
    book.alarms.raised("signing-1", "unheard-of", "", "?")

    assert book.standing() == []
    with pytest.raises(AdminError, match="there is no alarm 'unheard-of'"):
        book.alarms.dismiss("unheard-of", None)


def test_a_bell_rings_at_once_and_then_once_a_second() -> None:
    now = 100.0
    sent: list[dict[str, object]] = []
    bell = Bell(sent.append, lambda: now)

    bell.raised("wet", "roof", "it rains")
    bell.raised("wet", "roof", "it rains")
    bell.cleared("wet", "cellar")
    now += 1.0
    bell.raised("wet", "roof", "it rains")
    bell.cleared("wet", "roof")
    bell.cleared("wet", "roof")

    assert [message["on"] for message in sent] == [True, True, False]
    assert {message["type"] for message in sent} == {alarm.MESSAGE}


def test_a_hung_signing_process_raises_an_alarm_that_a_person_ends(site: Site) -> None:
    site.start()
    os.kill(site.status()["signing_pid"], signal.SIGSTOP)
    status = site.wait(lambda status: status["alarms"], "an alarm stands")
    assert [each["name"] for each in status["alarms"]] == ["signing-hung"]
    assert any("alarm signing-hung" in each for each in status["problems"])

    assert site.admin.post("/v1/alarms/clear", {"name": "signing-hung", "reason": "drill"}) == {"cleared": 1}
    assert site.status()["alarms"] == []


def test_every_alarm_has_a_place_in_the_runbook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    runbook = (REPOSITORY / "deploy" / "runbook.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^### Alarm: (.+)$", runbook, re.MULTILINE)) == set(MEANINGS)
    assert list(MEANINGS) == sorted(MEANINGS)


def test_what_a_control_process_raised_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would say its end: the next one has seen nothing of it. tests/chaos kills a real one."""

    class Gone:
        """A control process that cannot be started."""

        ready = False

        async def start(self, _: object) -> None:
            raise OSError(2, "No such file or directory")

        async def end(self) -> None:
            """It has."""

    async def scene() -> None:
        book = Book(tmp_path / "alarms.json")
        book.alarms.raised("control", "wet", "main", "it rains")
        book.alarms.raised("supervisor", "wet", "here", "it rains here too")
        monkeypatch.setattr(control, "ControlProcess", lambda *_, **__: Gone())
        ended = asyncio.Event()

        def end() -> None:
            book.alarms.ended("control")
            ended.set()

        none: Any = None
        keeper = control.ControlKeeper(
            none, none, none, none, on_lane_lost=none, on_hung=none, on_ended=end, expected=Expected()
        )
        keeper.start(none, [none])
        async with asyncio.timeout(20):
            await ended.wait()
        await keeper.stop()
        assert book.standing() == [("wet", "here", 1)]

    asyncio.run(scene())
