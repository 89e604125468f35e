"""`signer watch`: what it shows at 80x24, and that it leaves the terminal as it was, through a pty."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Any, Final, Self

import pytest
from rig import two_nodes
from rig.trial import sign

from signer.commands.watch_view import Producer, Seen, view

if TYPE_CHECKING:
    from types import TracebackType

    from rig.produced_trial import ProducedTrial

CONFIG = two_nodes.config()
NOW: Final = 1_700_000_000.0
_FULL: Final = "\u2588"
_KEY: Final = {"key": str(two_nodes.A[1]), "node": "a"}
_SLOT: Final = {"state": "signed", "slot_time": "2023-11-14T22:13:20Z"}
STATUS: dict[str, Any] = {
    "state": "serving",
    "ready": True,
    "version": "1",
    "started_at": NOW - 7200,
    "problems": [],
    "alarms": [],
    "frozen": [],
    "nodes": {"a": {"timeout_ms": 7}},
    "latency": {
        "a": {"R1": {"p50_ms": 0.9, "p99_ms": 2.0, "worst_ms": 4.5, "above_timeout": 0, "count": 600}}
    },
    "tokens": {"block": {"state": "logged-in", "lanes": [{"state": "idle"}] * 2, "lanes_configured": 2}},
}
PRODUCER = Producer(
    {
        "producer": "bp1",
        "chain": "local",
        "signs": "a",
        "problem": "",
        "on_chain": {
            "active": [_KEY],
            "row": [_KEY | {"key": "NEXT", "node": "b"}],
            "proposed": None,
            "pending": None,
            "head_number": 99,
            "head_time": "2023-11-14T22:13:19Z",
        },
        "rotation": {
            "id": 4,
            "kind": "promote",
            "node": "b",
            "state": "proposed",
            "created_at": "2023-11-14T22:13:00Z",
            "expected_s": 60.0,
            "awaited": "the schedule",
        },
    },
    [{"slots": [_SLOT] * 11 + [_SLOT | {"state": "missed"}]}, {"slots": [_SLOT] * 12}],
)
DECISIONS: Final = [
    {
        "at": f"2023-11-14T22:13:{second:02}.5Z",
        "node": "a",
        "key": str(two_nodes.A[1]),
        "verdict": "signed" if second else "late",
        "micros": 900 if second else 9000,
    }
    for second in range(30)
]


def _shown(seen: Seen, width: int = 80, height: int = 24) -> list[str]:
    lines = [line.plain for line in view(seen, CONFIG, NOW, width, height)]
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    return lines


def test_everything_fits_on_a_small_terminal() -> None:
    """Who signs, the slots, tokens, latency and as many requests as there is room for."""
    text = _shown(Seen(STATUS, "", [PRODUCER], "", DECISIONS))

    assert len(text) == 24
    assert "READY" in text[0]
    whole = "\n".join(text)
    assert f"bp1 on local: a signs with {CONFIG.keys[1].label}; head 99, 1 s ago" in whole
    assert "row: b NEXT" in whole
    assert "ROTATION 4, promote to b: proposed, 20 of about 60 s" in whole
    assert "waits for the schedule" in whole
    slots = f"{_FULL * 12} {_FULL * 11}x"
    assert f"slots: 23 signed, 1 missed {slots}" in whole
    assert "block 2 of 2" in whole
    assert "longest 4.5 of 7 ms" in whole
    assert text[text.index("last requests") + 1].startswith("22:13:29.500  a")
    assert f"0.9 ms {_FULL}\u2591" in whole


def test_problems_are_under_the_first_line_and_bounded() -> None:
    """What signs stays in sight."""
    frozen = [{"scope": "all", "name": "", "reason": "stop"}]
    alarms = [{"name": "clone", "subject": "", "text": "not ours", "since": NOW - 9, "count": 1}]
    problems = [f"token {number} is away\x1b[31m" for number in range(9)]

    text = _shown(
        Seen(STATUS | {"frozen": frozen, "alarms": alarms, "problems": problems}, "", [PRODUCER], "")
    )

    assert text[1].startswith("FROZEN all")
    assert text[2] == "ALARM clone: not ours (9 s ago)"
    assert text[6] == "and 6 more: signer status"
    assert "\x1b" not in "".join(text)
    assert any("a signs" in line for line in text)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"on_chain": None, "problem": "no API"}, "NOBODY TELLS: no API"),
        ({"signs": None}, "NOT THIS SIGNER"),
        ({"on_chain": PRODUCER.detail["on_chain"] | {"active": []}}, "nobody signs"),
    ],
)
def test_who_does_not_sign_is_told(changed: dict[str, Any], words: str) -> None:
    text = _shown(Seen(STATUS, "", [Producer({**PRODUCER.detail, **changed}, [])], ""))

    assert any(words in line for line in text)


def test_a_signer_that_is_down_is_told() -> None:
    text = _shown(Seen(None, "the signer is not running", [], "nobody listens", DECISIONS))

    assert "DOWN" in text[0]
    assert text[1:3] == ["the signer is not running", "asking again every second; `signer doctor` says more"]
    assert any("who signs is not shown: nobody listens" in line for line in text)
    assert any(
        "late" in line and "9.0 ms" in line for line in _shown(Seen(STATUS, "", [], "", DECISIONS[:1]))
    )


# -- on a real trial, through a pty -----------------------------------------------------------------------


class Terminal:
    """A terminal of 80x24 with a program in it."""

    def __init__(self, command: list[str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(theirs)
        environment = os.environ | {"TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        self._theirs = theirs
        self.said = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    @property
    def settings(self) -> object:
        """As tcgetattr(3) has them now."""
        return termios.tcgetattr(self._theirs)

    def screen(self) -> str:
        """Return the last whole picture, without colours."""
        self._read(0.1)
        pictures = self.said.split(b"\x1b[H")
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", pictures[-2 if len(pictures) > 2 else -1].decode())

    def wait_for(self, text: str) -> str:
        """Return the picture that has `text`."""
        end = time.monotonic() + 30
        while text not in (screen := self.screen()):
            assert time.monotonic() < end, screen
            assert self.process.poll() is None, screen
        return screen

    def interrupt(self) -> int:
        """Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        end = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < end:
            self._read(0.1)
        self._read(0.1)
        return self.process.wait(1)

    def _read(self, seconds: float) -> None:
        if select.select([self._ours], [], [], seconds)[0]:
            with contextlib.suppress(OSError):
                self.said += os.read(self._ours, 1 << 20)


@pytest.mark.chain
def test_it_lives_and_leaves_the_terminal_as_it_was(world: ProducedTrial) -> None:
    """A signature appears, a freeze appears; the signer goes down, is looked at, and comes back; Ctrl-C ends it."""
    key, url = world.signer.keys("standby")[0], world.signer.description["nodes"]["standby"]["url"]
    with Terminal(world.signer.command("watch")) as terminal:
        first = terminal.wait_for("ours on local: not in the schedule")
        assert "READY" in first
        assert "primary 2 of 2  standby 2 of 2  control 2 of 2" in first
        assert sign(url, "5a" * 32, key)[0] == 201
        terminal.wait_for("standby-r1-1     signed")
        assert world.signer.run("freeze", "--node", "standby", "--reason", "drill").returncode == 0
        terminal.wait_for("FROZEN node standby: drill")
        assert world.signer.run("unfreeze", "--node", "standby").returncode == 0
        world.signer.trial.stop()
        try:
            down = terminal.wait_for("DOWN")
            assert "asking again" in down
            _look_at_a_signer_that_is_down(world)
        finally:
            assert world.signer.trial.run("--detach").returncode == 0
        terminal.wait_for("READY")

        assert terminal.interrupt() == 0
        assert terminal.said.rstrip().endswith(
            b"\x1b[?25h\x1b[?1049l"
        )  # the cursor, and the screen from before
        assert terminal.settings == terminal.before


def _look_at_a_signer_that_is_down(world: ProducedTrial) -> None:
    """The doctor looks at tokens, files, nodes and chain all the same."""
    found = world.doctor()
    home = world.signer.trial.folder / "softhsm" / "primary"
    home.rename(home.with_name("moved"))
    try:
        gone = world.doctor()["token", "primary"]
    finally:
        home.with_name("moved").rename(home)

    assert found["signer", ""]["verdict"] == "failure"
    assert "start" in found["signer", ""]["remedy"]
    assert found["token", "primary"]["verdict"] == "ok"
    assert found["pin", "primary"]["verdict"] == "ok"
    assert found["node", "primary"]["verdict"] == "ok"
    assert found["permission", "local"]["verdict"] == "unknown"
    assert gone["verdict"] == "failure"


@pytest.mark.chain
def test_a_pipe_is_no_terminal(world: ProducedTrial) -> None:
    """A script is told what is for it."""
    done = world.signer.run("watch")

    assert done.returncode == 2
    assert "signer status --json" in done.stderr
