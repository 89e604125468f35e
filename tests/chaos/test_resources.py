"""No descriptors, no memory: the signer says so, signs what it can, and is whole again when there are some."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.condition import until
from rig.site import Load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rig.site import Site

pytestmark = pytest.mark.chaos

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


def test_a_signing_process_without_descriptors_serves_again_when_it_has_some(site: Site) -> None:
    """Callers wait in the kernel's queue; nobody gets an answer that is no signature, and no process ends."""
    site.start()
    pid = site.status()["signing_pid"]
    held = []
    with limited(pid, resource.RLIMIT_NOFILE, descriptors(pid) + 4):
        # Each of these is a descriptor of the signing process, until there are none left.
        for _ in range(8):
            connection = socket.create_connection(("127.0.0.1", site.ports["primary"]))
            held.append(connection)
        site.wait(lambda status: status["signing_pid"] == pid, "the admin socket answers all the same")
    for connection in held:
        connection.close()
    with Load(site, ("r1-1", "primary", "tcp"), ("k1-1", "standby", "unix")) as load:
        load.wait_for_more()
    assert load.failed == []
    assert site.status()["signing_pid"] == pid


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


def test_a_signing_process_without_memory_costs_no_more_than_itself(site: Site) -> None:
    """Whatever it does when it gets none, signing goes on: in it, or in the one that replaces it."""
    site.start()
    pid = site.status()["signing_pid"]
    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    with limited(pid, resource.RLIMIT_AS, used):
        with Load(site, *[("r1-1", "primary", "tcp")] * 4, first=0) as load:
            load.wait_for_more(200)
        site.wait(lambda status: status["ready"], "a signing process serves")
    site.sign("r1-1")
    site.sign("k1-1", node="standby")
    assert load.signed
