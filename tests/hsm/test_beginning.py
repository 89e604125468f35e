"""A process that begins does not work while nodeos asks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hsm import beginning

#: Notes each instant at which it works, in s of CLOCK_MONOTONIC, for as long as its argument says; then it has begun.
_BUSY = """
import sys, time
from hsm import beginning
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    print(f"{time.monotonic():.6f}")
if len(sys.argv) > 2:
    beginning.done(float(sys.argv[3]))
    end = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        print(f"{time.monotonic():.6f}")
"""


def _work(folder: Path, expected: list[float], *arguments: str) -> list[float]:
    """Return the instants at which a process worked that began with this expectation."""
    (folder / "busy.py").write_text(_BUSY)
    done = subprocess.run(
        [sys.executable, "-m", "hsm.beginning", "busy", *arguments],
        env=os.environ | {"PYTHONPATH": f"{folder}:{Path.cwd()}"} | beginning.environment(expected),
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(line) for line in done.stdout.split()]


def test_it_sleeps_around_each_instant(tmp_path: Path) -> None:
    """From 8 ms before to 10 ms after; what it does in the first ms is what Python does before it runs anything."""
    now = time.monotonic()
    expected = [now + 0.5, now + 0.7, now + 0.9]

    worked = _work(tmp_path, expected, "1.2")
    for at in expected:
        assert worked[0] < at - 0.008, "the process began too late for this test"
        assert not [instant for instant in worked if at - 0.004 < instant < at + 0.010]
    assert worked[-1] > expected[-1] + 0.010


def test_what_has_begun_works_on(tmp_path: Path) -> None:
    """The new signing process is asked at such an instant itself."""
    now = time.monotonic()
    expected = [now + 1.0 + number / 10 for number in range(5)]

    worked = _work(tmp_path, expected, "0.1", "1.5", "0")
    assert worked[0] < expected[0] - 0.2, "the process began too late for this test"
    # Another process may have had the processor at one of them.
    assert [at for at in expected if any(at - 0.004 < instant < at + 0.008 for instant in worked)]


def test_instants_without_space_between_them_are_slept_through(tmp_path: Path) -> None:
    """As of many nodes."""
    now = time.monotonic()
    worked = _work(tmp_path, [now + 0.2 + 0.005 * number for number in range(200)], "2.0")
    assert [instant for instant in worked if now + 0.3 < instant < now + 1.1] == []
    assert worked[-1] > now + 1.2


def test_what_takes_time_is_not_begun_before_an_instant_that_is_near(tmp_path: Path) -> None:
    """Then nobody calls a PKCS#11 module, which must not be disturbed."""
    now = time.monotonic()
    at = now + 0.5

    worked = _work(tmp_path, [at], "0", "0.01", "10")
    assert worked
    assert worked[0] >= at + 0.010


def test_an_instant_that_has_passed_costs_nothing(tmp_path: Path) -> None:
    worked = _work(tmp_path, [time.monotonic() - 10.0, time.monotonic() - 5.0], "0.05")
    assert worked


def test_a_module_runs_as_python_runs_it(tmp_path: Path) -> None:
    """Its arguments, its name and its exit code are its own."""
    (tmp_path / "other.py").write_text("import sys\nprint(__name__, sys.argv[1:])\nsys.exit(7)\n")
    done = subprocess.run(
        [sys.executable, "-m", "hsm.beginning", "other", "--fd", "3"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "__main__ ['--fd', '3']\n")


def test_garbage_is_collected_from_then_on(tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text(
        "import gc\nfrom hsm import beginning\nprint(gc.isenabled())\nbeginning.done()\nprint(gc.isenabled())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "hsm.beginning", "shown"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "True"]


def test_a_program_that_ends_before_it_is_done_ends_as_it_would(tmp_path: Path) -> None:
    """Also if the next instant falls into Python's own end."""
    (tmp_path / "short.py").write_text(
        "import sys, time\n"
        "class Slow:\n"
        "    def __del__(self):\n"
        "        time.sleep(0.3)\n"
        "sys.modules['slow'] = Slow()\n"
        "sys.exit(7)\n"
    )
    expected = [time.monotonic() + 0.03 * number for number in range(1000)]
    done = subprocess.run(
        [sys.executable, "-m", "hsm.beginning", "short"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"} | beginning.environment(expected),
        check=False,
    )
    assert done.returncode == 7


@pytest.mark.parametrize(
    ("expected", "said"), [([], {}), ([1.5, 2.25], {beginning.VARIABLE: "1.500000 2.250000"})]
)
def test_what_is_expected_is_told_by_the_environment(expected: list[float], said: dict[str, str]) -> None:
    assert beginning.environment(expected) == said
