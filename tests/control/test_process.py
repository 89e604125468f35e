"""The laws of the control process: started as the supervisor starts it, over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from rig.condition import HANG_S

from signer import channel as channels
from signer.control.auth import DATABASE, TokenStore

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

REPOSITORY = Path(__file__).resolve().parents[2]
STATUS = {"state": "serving", "keys": ["x" * 200_000]}


@dataclass
class Running:
    """A control process and what the supervisor knows of it."""

    process: Process
    channel: channels.Channel
    port: int
    unix: Path
    log: Path
    state: Path
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    answers: bool = True

    def http(self, *, unix: bool) -> httpx.AsyncClient:
        """Return a client of one of the listeners."""
        if unix:
            transport = httpx.AsyncHTTPTransport(uds=str(self.unix))
            return httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=HANG_S)
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=HANG_S)

    async def ended(self) -> int:
        """Wait for its end and return the exit code."""
        return await asyncio.wait_for(self.process.wait(), HANG_S)


@asynccontextmanager
async def control(folder: Path, *, peers: list[int] | None = None) -> AsyncIterator[Running]:
    """Run a control process on a TCP and a unix listener."""
    tcp = socket.create_server(("127.0.0.1", 0))
    path = folder / "control.sock"
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(path))
    unix.listen()
    port = tcp.getsockname()[1]
    config: dict[str, Any] = {
        "state_dir": str(folder / "state"),
        "listeners": [
            {"kind": "admin", "unix": str(folder / "admin.sock")},
            {"kind": "control", "tcp": f"127.0.0.1:{port}"},
            {"kind": "control", "unix": str(path), "peers": peers},
        ],
        "limits": {"request_timeout_ms": 2000, "max_body_bytes": 1024, "max_header_bytes": 4096},
    }
    ours, theirs = channels.pair()
    log = folder / "log"
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "signer.control.process", "--channel-fd", str(theirs.fileno())),
            pass_fds=(theirs.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=stderr,
            cwd=REPOSITORY,
        )
    theirs.close()

    def on_message(message: dict[str, Any], _fds: list[int]) -> None:
        if message["type"] == "ready":
            running.ready.set()
        elif message["type"] == "status" and running.answers:
            running.channel.send({"type": "answer", "id": message["id"], "status": STATUS})

    running = Running(
        process, channels.Channel(ours, on_message, lambda: None), port, path, log, folder / "state"
    )
    running.channel.send({"type": "start", "config": config}, [tcp.fileno(), unix.fileno()])
    tcp.close()
    unix.close()
    try:
        yield running
    finally:
        running.channel.close()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ready(running: Running) -> None:
    """Wait until it serves."""
    await asyncio.wait_for(running.ready.wait(), HANG_S)


def token_in(state: Path, *scopes: str) -> str:
    """Make a token as the command line does, beside the running process."""
    store = TokenStore(state / DATABASE)
    try:
        return store.create("alice", scopes, None, datetime.now(UTC))
    finally:
        store.close()


def test_it_serves_both_listeners_and_asks_the_supervisor(tmp_path: Path) -> None:
    """Health for anyone, the status for a token made while it runs; then its log holds no secret."""

    async def run() -> None:
        async with control(tmp_path) as running:
            await ready(running)
            token = token_in(running.state, "view")
            bearer = {"authorization": f"Bearer {token}"}
            for unix in (False, True):
                async with running.http(unix=unix) as http:
                    live = await http.get("/v1/health/live")
                    assert (live.status_code, live.json()) == (200, {"status": "ok"})
                    assert "server" not in live.headers
                    assert (await http.get("/v1/status", headers=bearer)).json() == STATUS
                    assert (await http.get("/v1/status")).status_code == 401
                    rebound = await http.get("/v1/status", headers=bearer | {"host": "evil.example"})
                    assert rebound.status_code == 421
                    wrong = {"authorization": f"Bearer {token[:-1]}"}
                    refused = [(await http.get("/v1/whoami", headers=wrong)).status_code for _ in range(6)]
                    assert refused == [401] * 5 + [429]
                    assert (await http.get("/v1/whoami", headers=bearer)).status_code == 200
        text = running.log.read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        callers = {line["caller"] for line in lines if line["event"] == "authentication refused"}
        assert callers == {"127.0.0.1", f"uid {os.geteuid()}"}
        assert token[4:-1] not in text
        assert token[4:-1].encode() not in (running.state / DATABASE).read_bytes()

    asyncio.run(run())


def test_it_ends_when_the_channel_ends(tmp_path: Path) -> None:
    """A killed supervisor leaves no process behind; also with a client connected and a request unanswered."""

    async def run() -> None:
        async with control(tmp_path) as running:
            running.answers = False
            await ready(running)
            token = token_in(running.state, "view")
            async with running.http(unix=False) as http:
                bearer = {"authorization": f"Bearer {token}"}
                asked = asyncio.create_task(http.get("/v1/status", headers=bearer))
                await http.get("/v1/health/live")
                running.channel.close()
                assert await running.ended() == 0
                assert (await asked).status_code == 503

    asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_it_ends_on_sigterm(tmp_path: Path, number: int) -> None:
    """Cleanly."""

    async def run() -> None:
        async with control(tmp_path) as running:
            await ready(running)
            running.process.send_signal(number)
            assert await running.ended() == 0

    asyncio.run(run())


def test_it_ends_before_it_began_if_the_supervisor_is_gone() -> None:
    """The channel closes before the first message."""

    async def run() -> int:
        ours, theirs = channels.pair()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "signer.control.process", "--channel-fd", str(theirs.fileno())),
            pass_fds=(theirs.fileno(),),
            cwd=REPOSITORY,
        )
        theirs.close()
        ours.close()
        return await asyncio.wait_for(process.wait(), HANG_S)

    assert asyncio.run(run()) == 0


def test_it_gives_up_privileges(tmp_path: Path) -> None:
    """No new privileges, no core, umask 077."""

    async def run() -> None:
        async with control(tmp_path) as running:
            await ready(running)
            proc = Path(f"/proc/{running.process.pid}")
            status = dict(
                line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line
            )
            assert status["NoNewPrivs"] == "1"
            assert status["Umask"] == "0077"
            limits = (proc / "limits").read_text().splitlines()
            core = next(line for line in limits if line.startswith("Max core file size"))
            assert core.split()[4:6] == ["0", "0"]
            assert (running.state / DATABASE).stat().st_mode & 0o777 == 0o600

    asyncio.run(run())


def test_hardened_memory_is_not_for_others() -> None:
    """Not dumpable: no other process of the same user may read it (prctl(2))."""
    pr_get_dumpable = 3  # linux/include/uapi/linux/prctl.h
    program = (
        f"import ctypes, hsm.hardening as h; h.harden(); print(ctypes.CDLL(None).prctl({pr_get_dumpable}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=REPOSITORY)
    assert done.stdout == b"0\n"


def test_another_uid_is_refused_on_the_unix_socket(tmp_path: Path) -> None:
    """Who is not in `peers` gets 403, with a token too."""

    async def run() -> None:
        async with control(tmp_path, peers=[os.geteuid() + 1]) as running:
            await ready(running)
            async with running.http(unix=True) as http:
                answer = await http.get("/v1/health/live")
                assert (answer.status_code, answer.json()["code"]) == (403, "peer")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01garbage\r\n\r\n", 400),
        (b"GET /v1/health/live HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 5000 + b"\r\n\r\n", 413),
        (b"POST /v1/whoami HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000\r\n\r\n" + b"a" * 9000, 413),
    ],
    ids=["no HTTP", "long header", "long body"],
)
def test_what_never_reaches_the_application_is_a_problem_too(
    tmp_path: Path, request_bytes: bytes, status: int
) -> None:
    """With the same headers, and the connection ends."""

    async def run() -> None:
        async with control(tmp_path) as running:
            await ready(running)
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(request_bytes)
            head, _, body = (await asyncio.wait_for(reader.read(), HANG_S)).partition(b"\r\n\r\n")
            writer.close()
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert b"content-type: application/problem+json" in head
            assert b"x-content-type-options: nosniff" in head
            assert json.loads(body)["status"] == status

    asyncio.run(run())


def test_a_request_that_never_ends_is_closed(tmp_path: Path) -> None:
    """A slow caller holds its connection no longer than the configuration says."""

    async def run() -> None:
        async with control(tmp_path) as running:
            await ready(running)
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(b"GET /v1/health/live HTTP/1.1\r\nhost: local")
            with suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), HANG_S) == b""
            writer.close()

    asyncio.run(run())


def test_without_a_usable_store_it_does_not_serve(tmp_path: Path) -> None:
    """It says why, and the supervisor tries again later."""

    async def run() -> None:
        (tmp_path / "state").mkdir(mode=0o700)
        (tmp_path / "state" / DATABASE).write_bytes(b"")
        (tmp_path / "state" / DATABASE).chmod(0o644)
        async with control(tmp_path) as running:
            assert await running.ended() == 1
            assert not running.ready.is_set()
        assert "chmod 0600" in json.loads(running.log.read_text())["reason"]

    asyncio.run(run())
