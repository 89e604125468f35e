"""No descriptors, no memory: the signer says so, signs what it can, and is whole again when there are some."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.condition import until
from rig.refused_memory import RefusedMemory
from rig.site import Load
from rig.wire import request

from signer.antelope.keys import Digest
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature
from signer.commands.exit_code import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rig.site import Site
    from rig.wire import Address

pytestmark = pytest.mark.chaos

_EVERYONE = (
    ("r1-1", "primary", "tcp"),
    ("k1-1", "primary", "unix"),
    ("r1-1", "standby", "unix"),
    ("k1-1", "standby", "tcp"),
)
#: s. A caller waits for this long, which is long against a nodeos' 5 ms.
_PATIENCE_S = 1.0
#: bytes. A body as long as any that a listener reads (signer.signing.connection), and that never ends.
_LONG_BODY = 300_000
#: bytes of address space. A Python needs more before it runs anything.
_TOO_LITTLE = 4_000_000
#: Over some tenths of a second.
_LOOKS = 15


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def idle_descriptors(pid: int) -> int:
    """Return how many it has while nobody asks it: a connection that was answered is closed a moment later."""
    looks = iter(range(_LOOKS))
    fewest = descriptors(pid)

    def look() -> bool:
        nonlocal fewest
        fewest = min(fewest, descriptors(pid))
        return next(looks, None) is None

    until(look, "some looks at its descriptors")
    return fewest


@contextlib.contextmanager
def limited(pid: int, kind: int, most: int) -> Iterator[None]:
    """Let a running process have no more than `most`."""
    before = resource.prlimit(pid, kind, (most, resource.prlimit(pid, kind)[1]))
    yield
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, kind, before)


@contextlib.contextmanager
def held(address: Address, count: int, first: bytes = b"") -> Iterator[list[float]]:
    """Hold connections that say no more than `first`, and make another for each that is closed; yield when that was."""
    end = threading.Event()
    closed: list[float] = []

    def hold() -> None:
        while not end.is_set():
            with contextlib.suppress(OSError), address.connect() as connection:
                connection.sendall(first)
                connection.settimeout(0.1)
                while not end.is_set():
                    with contextlib.suppress(TimeoutError):
                        if not connection.recv(4096):
                            closed.append(time.monotonic())
                            break

    threads = [threading.Thread(target=hold) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield closed
    finally:
        end.set()
        for thread in threads:
            thread.join()


def is_signed(site: Site, label: str, node: str, via: str) -> bool:
    """Ask, and return whether a signature came. If none did, nothing may have come: no byte."""
    key, digest = site.key(label, node), secrets.token_bytes(32)
    address = site.address(node, via)
    target = "/" if via == "unix" else "/v1/wallet/sign_digest"
    asked = request(target, host=address.host, body=json.dumps([digest.hex(), key]).encode())
    answer = b""
    with contextlib.suppress(TimeoutError, ConnectionError), address.connect() as connection:
        connection.settimeout(_PATIENCE_S)
        connection.sendall(asked)
        while piece := connection.recv(4096):
            answer += piece
    if not answer:
        return False
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 "), answer
    assert str(recover(Digest(digest), Signature.parse(json.loads(body)))) == key
    return True


def answers(site: Site) -> list[bool]:
    """Let many callers ask all listeners at the same time; return of each whether it got a signature."""
    with ThreadPoolExecutor(8) as callers:
        return list(callers.map(lambda ask: is_signed(site, *ask), _EVERYONE * 6))


def serves_again(site: Site, pid: int) -> None:
    """Check that the signing process is the same one and signs all that is asked for."""
    with Load(site, *_EVERYONE) as load:
        load.wait_for_more(40)
    assert load.failed == []
    status = site.status()
    assert (status["signing_pid"], status["restarts"]) == (pid, 0)


def test_callers_of_a_signing_process_without_descriptors_get_nothing(site: Site) -> None:
    """They wait in the kernel's queue; nobody gets an answer that is no signature, and no process ends."""
    site.start()
    pid = site.status()["signing_pid"]
    with limited(pid, resource.RLIMIT_NOFILE, 1):
        assert not any(answers(site))  # or there were descriptors
        site.wait(lambda status: status["signing_pid"] == pid, "the admin socket answers all the same")
    serves_again(site, pid)


def test_callers_of_a_signing_process_short_of_descriptors_get_a_signature_or_nothing(site: Site) -> None:
    """It has a few, and others hold them: it closes the one that is silent for longest for who comes next."""
    site.tables = ["[limits]", "request_timeout_ms = 600000"]  # no other reason to close one
    site.start()
    pid = site.status()["signing_pid"]
    most = descriptors(pid) + 4
    with (
        limited(pid, resource.RLIMIT_NOFILE, most),
        held(site.address("primary", "tcp"), 16) as closed,
    ):
        # It closes one only where it could not open another; then it has one less than it may have.
        until(lambda: closed, "it had all that it may have")
        before = len(closed)
        signed = answers(site)
        assert len(closed) > before  # or there were descriptors
        site.wait(lambda status: status["signing_pid"] == pid, "the admin socket answers all the same")
    print(f"{signed.count(True)} of {len(signed)} callers got a signature")  # noqa: T201 - the figure
    serves_again(site, pid)


def test_a_supervisor_without_descriptors_keeps_the_signing_process(site: Site) -> None:
    """It can start no lane then, and starts it when it can. What is open signs on."""
    site.start()
    status = site.status()
    victim = status["tokens"]["primary"]["lanes"][0]["pid"]
    with (
        Load(site, ("r1-1", "primary", "tcp"), ("k1-1", "primary", "unix")) as load,
        limited(status["pid"], resource.RLIMIT_NOFILE, descriptors(status["pid"]) + 1),
    ):
        os.kill(victim, signal.SIGKILL)
        site.wait_for_event("lane lost")
        load.wait_for_more(40)
    assert load.failed == []
    after = site.wait(lambda status: len(status["tokens"]["primary"]["lanes"]) == 2, "the lane is replaced")
    assert (after["pid"], after["signing_pid"]) == (status["pid"], status["signing_pid"])
    site.sign("k1-1")


@pytest.mark.parametrize("left", [1, 2])
def test_a_supervisor_short_of_descriptors_keeps_the_other_lane_and_starts_one_later(
    site: Site, left: int
) -> None:
    """Wherever on the way of another lane the last descriptor is gone: for its sockets, its process, its hand-over."""
    site.start()
    status = site.status()
    victim, other = (lane["pid"] for lane in status["tokens"]["primary"]["lanes"])
    with limited(status["pid"], resource.RLIMIT_NOFILE, idle_descriptors(status["pid"]) + left):
        os.kill(victim, signal.SIGKILL)
        site.wait_for_failed_lanes(3)  # the victim, and two that took its place and failed
    after = site.wait(lambda status: len(status["tokens"]["primary"]["lanes"]) == 2, "the lane is replaced")
    assert other in [lane["pid"] for lane in after["tokens"]["primary"]["lanes"]]


def test_a_supervisor_that_cannot_look_for_a_refused_pin_tries_none(site: Site) -> None:
    """Not until it can: the other lane serves on."""
    site.start()
    status = site.status()
    victim, other = (lane["pid"] for lane in status["tokens"]["primary"]["lanes"])
    with limited(status["pid"], resource.RLIMIT_NOFILE, idle_descriptors(status["pid"])):
        os.kill(victim, signal.SIGKILL)
        site.wait_for_event("lane lost")
        until(lambda: "cannot be read" in site.log, "it says that it cannot look")
        site.sign("r1-1")
    after = site.wait(lambda status: len(status["tokens"]["primary"]["lanes"]) == 2, "the lane is replaced")
    assert other in [lane["pid"] for lane in after["tokens"]["primary"]["lanes"]]


def test_a_supervisor_without_descriptors_replaces_a_signing_process_when_it_has_some(site: Site) -> None:
    """It tries until it can: nobody else would."""
    site.start()
    status = site.status()
    with limited(status["pid"], resource.RLIMIT_NOFILE, 8):
        os.kill(status["signing_pid"], signal.SIGKILL)
        site.wait_for_event("signing process cannot be started")
    after = site.wait(lambda status: status["ready"], "another signing process serves")
    assert after["pid"] == status["pid"]
    assert after["signing_pid"] != status["signing_pid"]
    site.sign("r1-1")


def size(pid: int) -> int:
    """Return how much address space a process has, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def test_a_signing_process_without_memory_costs_no_more_than_itself(site: Site) -> None:
    """Whatever it does when it gets none, signing goes on: in it, or in the one that replaces it."""
    memory = RefusedMemory(site.folder)
    site.environment = memory.environment
    site.tables = ["[limits]", f"max_body_bytes = {2 * _LONG_BODY}"]
    site.start()
    pid = site.status()["signing_pid"]
    assert memory.count(pid) == 0
    address = site.address("standby", "tcp")
    part = request(
        "/v1/wallet/sign_digest",
        host=address.host,
        headers=("Content-Type: application/json", f"Content-Length: {_LONG_BODY + 1}"),
        body=bytes(_LONG_BODY),
    )
    with limited(pid, resource.RLIMIT_AS, size(pid)):
        with Load(site, *[("r1-1", "primary", "tcp")] * 4, first=0) as load, held(address, 16, part):
            until(lambda: memory.count(pid), "it is refused memory")
            load.wait_for_more(200)
        site.wait(lambda status: status["ready"], "a signing process serves")
    print(  # noqa: T201 - the figures
        f"refused memory {memory.count(pid)} times; {load.signed} signed, {len(load.failed)} failed meanwhile; "
        f"{'replaced' if site.status()['signing_pid'] != pid else 'the same process serves on'}"
    )
    assert load.signed
    with Load(site, *_EVERYONE) as after:
        after.wait_for_more(40)
    assert after.failed == []


def test_no_process_comes_up_without_memory_and_what_is_open_signs_on(site: Site) -> None:
    """The supervisor's limit is that of each process that it starts: of a lane, and of another signing process."""
    site.start()
    status = site.status()
    victim, other = (lane["pid"] for lane in status["tokens"]["primary"]["lanes"])
    with (
        Load(site, ("r1-1", "primary", "tcp"), ("k1-1", "primary", "unix")) as load,
        limited(status["pid"], resource.RLIMIT_AS, _TOO_LITTLE),
    ):
        os.kill(victim, signal.SIGKILL)
        site.wait_for_failed_lanes(3)  # the victim, and two that took its place and failed
        refused = site.command("reload")
        assert refused.returncode == ExitCode.FAILED, refused.stdout
        assert "the new signing process ended while it started" in refused.stderr
        load.wait_for_more(40)
    assert load.failed == []
    after = site.wait(lambda status: len(status["tokens"]["primary"]["lanes"]) == 2, "the lane is replaced")
    assert other in [lane["pid"] for lane in after["tokens"]["primary"]["lanes"]]
    assert (after["pid"], after["signing_pid"]) == (status["pid"], status["signing_pid"])
    assert site.command("reload").returncode == 0
    site.sign("k1-1")
