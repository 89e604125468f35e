"""What `signer status` shows to a person: what is wrong first, ages, colour on a terminal alone."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from signer.commands.colour import Palette
from signer.commands.status_report import age, report

if TYPE_CHECKING:
    from rig.command_line import Answers

NOW = 1_700_000_000.0
PLAIN, PAINTED = Palette(on=False), Palette(on=True)


def _key(label: str, role: str, state: str = "active", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {
        "public_key": f"PUB_R1_{label:0<50}",
        "label": label,
        "role": role,
        "node": "a" if role == "block" else "",
        "token": "t",
        "state": state,
        "reason": "",
        "signatures": 3,
        "last_signature_at": NOW - 5,
    } | fields


STATE: dict[str, Any] = {
    "state": "serving",
    "ready": True,
    "pid": 7,
    "version": "1",
    "generation": 2,
    "config": "/signer.toml",
    "started_at": NOW - 3600,
    "restarts": 0,
    "problems": ["token away is away: gone"],
    "frozen": [{"scope": "node", "name": "b", "at": NOW - 60, "by": "me", "reason": "drill"}],
    "nodes": {"a": {"timeout_ms": 5}},
    "latency": {
        "a": {"R1": {"p50_ms": 0.9, "p99_ms": 2.0, "worst_ms": 4.5, "above_timeout": 1, "count": 600}}
    },
    "tokens": {
        "well": {
            "state": "logged-in",
            "reason": "",
            "lanes": [{"state": "idle"}, {"state": "busy"}],
            "lanes_configured": 2,
        },
        "away": {"state": "away", "reason": "gone", "lanes": [], "lanes_configured": 2},
    },
    "keys": [_key("p", "probe"), _key("b", "block"), _key("q", "block", "quarantined", reason="doubled")],
}


def _shown(palette: Palette = PLAIN, width: int | None = None) -> list[str]:
    return report(STATE, palette, width, NOW)


def test_what_is_wrong_comes_first() -> None:
    """Under the first line; the token that is away and the key that does not sign head their tables."""
    text = _shown()

    assert text[0].startswith("serving, ready")
    assert text[1] == "attention: token away is away: gone"
    assert text[2] == "FROZEN node b: drill (by me, 60 s ago)"
    assert "latency of a R1: p50 0.9, p99 2.0, longest 4.5 ms; 1 of 600 above 5 ms" in text
    tokens = [line.split()[0] for line in text if line.startswith(("well", "away"))]
    keys = [line.split()[1] for line in text if line.startswith("PUB_")]
    assert tokens == ["away", "well"]
    assert keys == ["q", "b", "p"]
    assert any(line.endswith("5 s ago  doubled") for line in text)


def test_a_freeze_that_does_not_say_whose_it_is() -> None:
    """A file that a person made by hand, or for whose content the disk had no room."""
    marker = {"scope": "all", "name": "", "at": "", "by": "", "reason": "frozen by a file"}

    text = report(STATE | {"frozen": [marker]}, PLAIN, None, NOW)

    assert text[2] == "FROZEN all: frozen by a file (nobody knows by whom)"


@pytest.mark.parametrize(("answers", "word"), [(True, "ready"), (False, "does not answer")])
def test_a_control_process_that_hangs_is_not_called_ready(answers: bool, word: str) -> None:  # noqa: FBT001
    state = STATE | {
        "control": {"state": "ready", "pid": 9},
        "answers": {"signing": True, "control": answers},
    }

    assert f"control process: {word}   pid 9" in report(state, PLAIN, None, NOW)


def test_columns_are_aligned_and_a_narrow_terminal_has_no_public_keys() -> None:
    """Also with colour, which has no width."""
    for palette in (PLAIN, PAINTED):
        text = [line.replace("\x1b[0m", "") for line in _shown(palette, 80)]
        bare = [line.partition("m")[2] if line.startswith("\x1b") else line for line in text]
        start = next(number for number, line in enumerate(bare) if line.startswith("LABEL"))
        column = bare[start].index("STATE")
        assert [line[column:].split()[0] for line in bare[start + 1 :]] == ["quarantined", "active", "active"]
        assert max(map(len, bare)) <= 80


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (None, "-"),
        (NOW - 3, "3 s ago"),
        (NOW + 3, "0 s ago"),
        (NOW - 600, "10 min ago"),
        (NOW - 10 * 3600, "10 h ago"),
        (NOW - 100 * 3600, "2023-11-10T18:13:20Z"),
        ("2023-11-14T22:13:10Z", "10 s ago"),
        ("t", "t"),
    ],
)
def test_ages(moment: object, text: str) -> None:
    assert age(moment, NOW) == text


@pytest.mark.parametrize(("no_color", "painted"), [("", True), ("1", False)])
def test_colour_is_for_terminals_that_want_it(
    no_color: str,
    painted: bool,  # noqa: FBT001
    site: Path,
    answers: Answers,
) -> None:
    """NO_COLOR is respected."""
    answers.json("/v1/status", STATE)
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm"}
    environment["NO_COLOR"] = no_color
    with subprocess.Popen(
        [sys.executable, "-m", "signer.cli", "status"], cwd=site, env=environment, stdout=theirs
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # Linux says EIO when the other side is closed
                break
        os.close(ours)
    assert process.returncode == 0
    assert b"serving, ready" in said
    assert (b"\x1b[32m" in said) == painted
