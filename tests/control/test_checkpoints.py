"""When a checkpoint is made, where it goes, and what happens while a place does not take it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.memory_token import PrivateKey

from signer.antelope.keys import Curve
from signer.config import Audit, SyslogAddress
from signer.control import checkpoints as module
from signer.control.checkpoint_sink import FileSink, SyslogSink, build, message
from signer.control.checkpoints import Checkpoints
from signer.errors import AdminError, SigningError
from signer.signing import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.antelope.keys import Digest, PublicKey
    from signer.antelope.signature import Signature
    from signer.signing.audit import Checkpoint

AUDIT = PrivateKey(Curve.R1)
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def a_checkpoint(upto: int = 7) -> Checkpoint:
    """Return one that is signed."""
    bare = checkpoint.unsigned("2026-11-27T12:00:00.000000Z", upto, "ab" * 32, "signer-1", AUDIT.public)
    return replace(bare, signature=str(AUDIT.signature(checkpoint.digest(bare))))


class World:
    """A log that grows as the test says, a key, and one place."""

    def __init__(self, **settings: int) -> None:
        self.seq = 0
        self.asked = 0
        self.now = 1000.0
        self.made: list[Checkpoint] = []
        self.alarms: list[tuple[str, str, bool]] = []
        self.put_here: list[Checkpoint] = []
        self.broken = ""
        self.fails: Exception | None = None
        self.name = "place"
        self.checkpoints = Checkpoints(
            Audit.model_validate({"signer": "signer-1", **settings}),
            AUDIT.public,
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            [self],
            clock=lambda: NOW,
            monotonic=lambda: self.now,
        )

    # -- the keys

    async def looked_at(self) -> None:
        """All of them were."""

    async def sign(self, key: PublicKey, digest: Digest, purpose: str, *, role: str) -> Signature:
        """Sign, which is a line of the log."""
        assert (key, purpose, role) == (AUDIT.public, "audit checkpoint", "audit")
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        self.seq += 1
        return AUDIT.signature(digest)

    # -- the supervisor

    async def audit_head(self) -> tuple[int, str]:
        """Tell where the log ends."""
        return self.seq, f"{self.seq:064x}"

    async def checkpoint(self, made: Checkpoint) -> int:
        """Write it, which is a line of the log."""
        checkpoint.check(made)
        self.made.append(made)
        self.seq += 1
        return self.seq

    async def alarm(self, name: str, subject: str, text: str, *, on: bool) -> None:
        """Take an alarm."""
        assert bool(text) is on
        self.alarms.append((name, subject, on))

    # -- the place

    def put(self, made: Checkpoint) -> None:
        """Take it, or do not."""
        if self.broken:
            raise OSError(0, self.broken)
        self.put_here.append(made)

    def look(self) -> Checkpoint | None:
        """Look once."""
        return asyncio.run(self.checkpoints.look())


def test_a_checkpoint_is_made_after_lines_and_after_a_time_and_not_for_its_own_lines() -> None:
    """A signer that has nothing to do writes nothing."""
    world = World(checkpoint_every_lines=10, checkpoint_every_s=60)
    assert world.look() is None
    world.seq = 3
    assert world.look() is None
    world.now += 60
    first = world.look()
    assert first is not None
    assert (first.upto, first.hash, first.signer) == (3, f"{3:064x}", "signer-1")
    world.now += 1000
    assert world.look() is None, "only its own lines are new"
    world.seq += 1
    second = world.look()
    assert second is not None
    assert second.upto == 6
    world.seq += 9
    assert world.look() is None
    world.seq += 1
    assert world.look() is not None, "ten lines, whatever the time"
    world.seq += 1
    world.now += 59
    assert world.look() is None
    world.now += 1
    assert world.look() is not None


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.005)


def _has_made(world: World, count: int) -> bool:
    return len(world.made) == count


def test_a_place_that_fails_alarms_and_gets_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it missed in between is proved by the newest one."""
    monkeypatch.setattr(module, "_LOOK_S", 0.005)
    monkeypatch.setattr(module, "_RETRY_S", 0.005)
    world = World(checkpoint_every_lines=10)
    world.seq, world.broken = 10, "No space left on device"

    async def scenario() -> None:
        running = asyncio.create_task(world.checkpoints.run())
        for count in (1, 2, 3):
            await _until(partial(_has_made, world, count))
            world.seq += 10
        await _until(lambda: bool(world.alarms))
        world.broken = ""
        await _until(lambda: world.put_here[-1:] == world.made[-1:])
        await _until(lambda: len(world.alarms) == 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
    assert world.alarms == [("checkpoint-sink", "place", True), ("checkpoint-sink", "place", False)]
    assert len(world.put_here) < len(world.made)


@pytest.mark.parametrize("error", [SigningError("the token is away"), AdminError("nobody answers")])
def test_a_key_that_does_not_sign_alarms_after_a_while(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane that is replaced is no alarm; a token that is away is one, until it is back."""
    monkeypatch.setattr(module, "_LOOK_S", 0.005)
    world = World()
    world.seq, world.fails = 1000, error

    async def scenario() -> None:
        running = asyncio.create_task(world.checkpoints.run())
        await _until(lambda: world.asked >= 3)
        assert world.alarms == []
        world.now += 11
        await _until(lambda: len(world.alarms) == 1)
        world.fails = None
        await _until(lambda: len(world.alarms) == 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
    assert [(name, on) for name, _, on in world.alarms] == [("checkpoint", True), ("checkpoint", False)]
    assert len(world.made) == 1


# -- places ------------------------------------------------------------------------------------------------


def test_a_syslog_message_has_the_form_of_rfc_5424() -> None:
    """Priority, version, time, host, application, process, kind, no structured data, and the text."""
    data = message(a_checkpoint(), "host-1", 7).decode()
    head, _, text = data.partition(" - ")
    assert head == "<109>1 2026-11-27T12:00:00.000000Z host-1 antelope-signer 7 checkpoint"
    assert checkpoint.read(data + "\n", [AUDIT.public]) == [a_checkpoint()] or text.startswith("{")


@pytest.mark.parametrize("kind", ["udp", "unix"])
def test_a_datagram_reaches_a_syslog_server(kind: str, tmp_path: Path) -> None:
    """One datagram, one checkpoint."""
    family = socket.AF_INET if kind == "udp" else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.settimeout(10)
        server.bind(("127.0.0.1", 0) if kind == "udp" else str(tmp_path / "log"))
        where = f"127.0.0.1:{server.getsockname()[1]}" if kind == "udp" else str(tmp_path / "log")
        made = a_checkpoint()
        SyslogSink(SyslogAddress.parse(f"{kind}:{where}")).put(made)
        assert checkpoint.read(server.recv(65536).decode() + "\n", [AUDIT.public]) == [made]


def test_over_tcp_the_length_comes_first() -> None:
    """RFC 6587, 3.4.1; and a server that closes before it has read is an error."""
    made = a_checkpoint()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        received: list[bytes] = []

        def serve() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as stream:
                received.append(stream.read())

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        SyslogSink(SyslogAddress.parse(f"tcp:127.0.0.1:{port}")).put(made)
        thread.join()
    length, _, data = received[0].partition(b" ")
    assert int(length) == len(data)
    assert checkpoint.read(data.decode() + "\n", [AUDIT.public]) == [made]


@pytest.mark.parametrize("where", ["tcp:127.0.0.1:1", "unix:/nowhere/log"])
def test_a_server_that_is_not_there_is_an_error(where: str) -> None:
    with pytest.raises(OSError, match=r"refused|No such file"):
        SyslogSink(SyslogAddress.parse(where)).put(a_checkpoint())


@pytest.mark.parametrize(
    "text", ["", "udp:", "udp:host:514", "unix:log", "unix:/a\nb", "tls:1.2.3.4:1", 5, None]
)
def test_an_address_that_is_none(text: object) -> None:
    with pytest.raises(ValueError, match="is not"):
        SyslogAddress.parse(text)


def test_a_file_has_whole_lines_whatever_was_at_its_end(tmp_path: Path) -> None:
    """A line that a power loss cut is ended, and not gone on with."""
    path = tmp_path / "checkpoints.jsonl"
    made = [a_checkpoint(number) for number in (1, 2, 3)]
    sink = FileSink(path)
    sink.put(made[0])
    with path.open("ab") as stream:
        stream.write(b'{"kind":"other')
    sink.put(made[1])
    sink.put(made[2])
    assert checkpoint.read(path.read_text(), [AUDIT.public]) == made
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_take_a_line_is_an_error(tmp_path: Path) -> None:
    """A full disk, a folder that is not mounted, and a link that somebody put there."""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for path in (Path("/dev/full"), tmp_path / "absent" / "file", tmp_path / "link"):
        with pytest.raises(OSError, match=r"No space|No such file|symbolic"):
            FileSink(path).put(a_checkpoint())


def test_the_configured_places(tmp_path: Path) -> None:
    """None, one or both."""
    settings = Audit.model_validate(
        {"checkpoint_syslog": "unix:/dev/log", "checkpoint_file": tmp_path / "c"}, context={"folder": "/"}
    )
    assert Counter(each.name for each in build(settings)) == {"unix:/dev/log": 1, str(tmp_path / "c"): 1}
    assert build(Audit()) == []
