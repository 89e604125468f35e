"""Who signs goes before everything else on the machine; who does not, does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from rig.site import Load
from rig.trial import REPOSITORY

from hsm import realtime
from signer.supervisor.lanes import kill

if TYPE_CHECKING:
    from rig.site import Site

#: A root without the right to be a real-time process, as in many containers.
_UNPRIVILEGED = ("prlimit", "--rtprio=0", "setpriv", "--bounding-set=-sys_nice")


def policy(pid: int) -> tuple[int, int]:
    """Return the scheduling class and the priority of a process."""
    return os.sched_getscheduler(pid) & ~os.SCHED_RESET_ON_FORK, os.sched_getparam(pid).sched_priority


def lanes(status: dict[str, object], token: str) -> list[int]:
    """Return the process ids of a token's lanes."""
    tokens = status["tokens"]
    assert isinstance(tokens, dict)
    return [lane["pid"] for lane in tokens[token]["lanes"]]


def test_signing_and_its_lanes_are_real_time_processes_and_nothing_else_is(whole: Site) -> None:
    whole.start()
    status = whole.wait(
        lambda status: lanes(status, "control") and lanes(status, "primary"), "lanes are open"
    )

    assert status["realtime"] == {"on": True, "reason": ""}
    assert policy(status["signing_pid"]) == (os.SCHED_FIFO, realtime.SIGNING)
    assert {policy(pid) for pid in lanes(status, "primary")} == {(os.SCHED_FIFO, realtime.LANE)}
    others = [status["pid"], status["control"]["pid"], *lanes(status, "control")]
    assert {policy(pid) for pid in others} == {(os.SCHED_OTHER, 0)}


def test_it_can_be_switched_off(site: Site) -> None:
    site.tables = ["[realtime]", "enabled = false"]
    site.start()
    status = site.status()

    assert status["realtime"] == {"on": False, "reason": "switched off in the configuration"}
    assert {policy(pid) for pid in (status["signing_pid"], *lanes(status, "primary"))} == {
        (os.SCHED_OTHER, 0)
    }
    site.sign("r1-1")


def _run(program: str, *before: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-c", f"from hsm import realtime\n{program}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_where_the_system_refuses_the_reason_says_what_to_change() -> None:
    done = _run("print(realtime.Turn(realtime.SIGNING).refused)", *_UNPRIVILEGED)

    assert done.returncode == 0, done.stderr
    assert "Operation not permitted; let the service have RLIMIT_RTPRIO 2" in done.stdout


def test_a_lane_that_computes_without_end_is_ended_by_the_kernel() -> None:
    done = _run("realtime.bound(); realtime.Turn(realtime.LANE)\nwhile True: pass")

    assert done.returncode in (-signal.SIGKILL, -signal.SIGXCPU)


def test_who_is_none_gives_the_right_up() -> None:
    done = _run(
        "realtime.give_up(); print(open('/proc/self/status').read())",
        *("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all,+sys_nice"),
        *("--ambient-caps=-all,+sys_nice", "--"),
    )

    assert done.returncode == 0, done.stderr
    sets = dict(line.split(":\t") for line in done.stdout.splitlines() if line.startswith("Cap"))
    assert {sets[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}


@pytest.mark.parametrize(
    ("priority", "much", "not_little", "little", "not_much"),
    [("LANE", 40, 24, 12, 24), ("SIGNING", 200, 140, 111, 170)],
    ids=["lane", "signing"],
)
def test_one_that_works_too_much_is_an_ordinary_process_until_that_has_passed(
    priority: str, much: int, not_little: int, little: int, not_much: int
) -> None:
    done = _run(
        f"""
import os
now, used = [0], [0]
turn = realtime.Turn(realtime.{priority}, lambda: now[0], lambda: used[0])
def after(passed_ms, worked_ms):
    now[0] += passed_ms * 1_000_000
    used[0] += worked_ms * 1_000_000
    turn.look()
    assert turn.on == (os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO)
    print(turn.on)
after(100, {much})  # too short to say
after(200, 0)
after(300, {not_little})
after(300, {little})
after(300, {not_much})
"""
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "False", "False", "True", "True"]


def test_one_that_ends_is_an_ordinary_process_by_then() -> None:
    done = _run(
        """
import os
turn = realtime.Turn(realtime.SIGNING)
assert turn.on and not turn.refused
turn.leave()
print(turn.on, os.sched_getscheduler(0))
"""
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", str(os.SCHED_OTHER)]


def test_a_lane_that_is_killed_is_an_ordinary_process_by_then(whole: Site) -> None:
    """The kernel takes milliseconds to free what it had, and nodeos must not wait for that."""
    whole.start()
    pid = lanes(whole.status(), "primary")[0]
    seen = []

    class Lane:
        returncode = None

        @property
        def pid(self) -> int:
            return pid

        def kill(self) -> None:
            seen.append(policy(pid))

        async def wait(self) -> int:
            return 0

    assert policy(pid) == (os.SCHED_FIFO, realtime.LANE)
    kill(Lane())
    assert seen == [(os.SCHED_OTHER, 0)]


def test_clients_without_end_do_not_take_the_machine_from_others(site: Site) -> None:
    """Lanes are many and could take every processor; they step back, and come back when it is quiet."""
    site.start()
    everyone = [(label, node, via) for label in ("r1-1", "k1-1") for node, via in _WAYS]
    with Load(site, *everyone, pause_s=0) as load:
        site.wait(lambda status: not any(_are(status)), "all step back")
        load.wait_for_more()
    site.wait(
        lambda status: all(_are(status)) and policy(status["signing_pid"])[0] == os.SCHED_FIFO,
        "they, and the signing process, are real-time processes again",
    )
    assert load.failed == []


_WAYS = (("primary", "tcp"), ("standby", "unix"))


def _are(status: dict[str, object]) -> list[bool]:
    """Whether each lane is a real-time process."""
    return [
        policy(pid)[0] == os.SCHED_FIFO for token in ("primary", "standby") for pid in lanes(status, token)
    ]
