"""What is told of a freeze on a disk that hangs, in each place where it can hang. A real one: tests/chaos/test_disk."""

from __future__ import annotations

import asyncio
import errno
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
    """One that answers, and a deadline that a test can wait for."""
    monkeypatch.setattr(marking, "_DISK_S", 0.1)
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
        # What comes after it waits behind it, is given up, and says so: `signer freeze` then makes the marker itself.
        with pytest.raises(OSError, match=r"the disk does not answer$"):
            await made.set("node", "a", "me", "drill", late)
        with pytest.raises(OSError, match=r"the disk does not answer$"):
            await made.clear("all", "", late)

    assert told(scenario, disk) == 0
    assert disk.has("all", "")
    assert not disk.has("node", "a")


def test_a_freeze_that_begins_after_it_was_given_up_is_told_then(disk: Disk) -> None:
    async def scenario(made: Marking, late: Callable[[], None]) -> None:
        disk.first = True
        disk.answer.clear()
        with pytest.raises(OSError, match="the freeze may begin when it does"):
            await made.set("all", "", "me", "drill", late)

    assert told(scenario, disk) == 1
    assert disk.has("all", "")


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
