"""What is told of a freeze on a disk that hangs, in each place where it can hang. A real one: tests/chaos/test_disk."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest

from signer.signing.freeze import FreezeMarkers
from signer.supervisor import marking
from signer.supervisor.marking import Cleared, Marking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class Disk(FreezeMarkers):
    """Markers of a disk that waits for `answer` before the name of a marker changes, or after that."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.answer = threading.Event()
        self.answer.set()
        self.first = False
        self.fails = False

    def _in_time(self, act: Callable[[], bool]) -> bool:
        if self.first:
            self.answer.wait()
        found = act()
        self.answer.wait()
        if self.fails:
            raise OSError(errno.EIO, "Input/output error")
        return found

    def set(self, scope: str, name: str, by: str, reason: str) -> None:
        """As the real one."""

        def act() -> bool:
            FreezeMarkers.set(self, scope, name, by, reason)
            return True

        self._in_time(act)

    def clear(self, scope: str, name: str) -> bool:
        """As the real one."""
        return self._in_time(lambda: FreezeMarkers.clear(self, scope, name))


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """One that answers at once, and a deadline that a test can wait for."""
    monkeypatch.setattr(marking, "_DISK_S", 0.2)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return Disk(tmp_path)


def told(scenario: Callable[[Marking, Callable[[], None]], Awaitable[None]], disk: Disk) -> int:
    """Run a scenario, let the disk answer in the end, and return how often something was told late."""

    async def main() -> None:
        made = Marking(disk)
        try:
            await scenario(made, lambda: late.append(1))
        finally:
            disk.answer.set()
        await asyncio.wrap_future(made._thread.submit(lambda: None))  # noqa: SLF001 - the last after all that waits
        await asyncio.sleep(0)

    late: list[int] = []
    asyncio.run(main())
    return len(late)


def test_a_disk_that_answers(disk: Disk) -> None:
    async def scenario(made: Marking, late: Callable[[], None]) -> None:
        assert await made.set("all", "", "me", "drill", late)
        assert await made.clear("all", "", late) == Cleared(found=True, durable=True)
        assert await made.clear("all", "", late) == Cleared(found=False, durable=True)

    assert told(scenario, disk) == 0


def test_what_has_its_name_counts_and_is_not_durable(disk: Disk) -> None:
    async def scenario(made: Marking, late: Callable[[], None]) -> None:
        disk.answer.clear()
        assert not await made.set("all", "", "me", "drill", late)
        assert disk.frozen("a", "k")
        # What comes after it waits behind it, says so, and is done in order when the disk answers.
        with pytest.raises(OSError, match="the freeze may end when it does"):
            await made.clear("all", "", late)
        for scope, name in (("all", ""), ("node", "a")):
            with pytest.raises(OSError, match="the freeze may begin when it does"):
                await made.set(scope, name, "me", "drill", late)

    # The end of the first freeze is told of no more: by then it is frozen again.
    assert told(scenario, disk) in (2, 3)
    assert disk.has("all", "")
    assert disk.has("node", "a")


def test_a_freeze_that_begins_after_it_was_given_up_is_told_then(disk: Disk) -> None:
    async def scenario(made: Marking, late: Callable[[], None]) -> None:
        disk.first = True
        disk.answer.clear()
        with pytest.raises(OSError, match="the freeze may begin when it does"):
            await made.set("all", "", "me", "drill", late)

    assert told(scenario, disk) == 1
    assert disk.has("all", "")


def test_a_freeze_that_begins_late_is_told_also_if_the_disk_says_that_it_failed(disk: Disk) -> None:
    async def scenario(made: Marking, late: Callable[[], None]) -> None:
        disk.first = disk.fails = True
        disk.answer.clear()
        with pytest.raises(OSError, match="the freeze may begin when it does"):
            await made.set("all", "", "me", "drill", late)

    assert told(scenario, disk) == 1
    assert disk.has("all", "")


def test_a_folder_that_cannot_be_looked_up_is_not_unfrozen(disk: Disk, tmp_path: Path) -> None:
    """Everything is frozen then."""
    (tmp_path / "frozen").write_text("")
    hidden = Disk(tmp_path / "frozen")

    async def scenario(made: Marking, late: Callable[[], None]) -> None:
        with pytest.raises(NotADirectoryError):
            await made.clear("all", "", late)
        with pytest.raises(OSError, match=r"exists|directory"):
            await made.set("all", "", "me", "drill", late)

    assert told(scenario, hidden) == 0
    assert hidden.frozen("a", "k")


def test_a_marker_that_was_there_and_cannot_be_written_is_an_error(disk: Disk) -> None:
    """It freezes as before, and has not the reason that was given."""

    async def scenario(made: Marking, late: Callable[[], None]) -> None:
        assert await made.set("all", "", "me", "drill", late)
        disk.fails = True
        with pytest.raises(OSError, match="Input/output error"):
            await made.set("all", "", "me", "another", late)

    assert told(scenario, disk) == 0


def test_a_freeze_that_ends_after_that_was_given_up_is_told_then(disk: Disk) -> None:
    async def scenario(made: Marking, late: Callable[[], None]) -> None:
        assert await made.set("all", "", "me", "drill", late)
        disk.first = True
        disk.answer.clear()
        with pytest.raises(OSError, match="the freeze may end when it does"):
            await made.clear("all", "", late)

    assert told(scenario, disk) == 1
    assert not disk.has("all", "")


def test_an_end_that_has_no_name_any_more_counts_and_is_not_durable(disk: Disk) -> None:
    async def scenario(made: Marking, late: Callable[[], None]) -> None:
        assert await made.set("all", "", "me", "drill", late)
        disk.answer.clear()
        assert await made.clear("all", "", late) == Cleared(found=True, durable=False)

    assert told(scenario, disk) == 0


def test_a_disk_that_fails_after_the_name_changed(disk: Disk) -> None:
    """Signatures have ended, or go on, whatever the disk says of it."""

    async def scenario(made: Marking, late: Callable[[], None]) -> None:
        disk.fails = True
        assert not await made.set("all", "", "me", "drill", late)
        assert await made.clear("all", "", late) == Cleared(found=True, durable=False)

    assert told(scenario, disk) == 0
