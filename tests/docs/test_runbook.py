"""The runbook's commands run as they are written, in their order, on a trial; and what it lists is whole."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.chain import Chain
from rig.own_producer import OwnProducer
from rig.rotating_signer import RotatingSigner
from rig.tools import Tools
from rig.trial import REPOSITORY, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUNBOOK = (REPOSITORY / "deploy" / "runbook.md").read_text(encoding="utf-8")
#: Three starts and stops of a signer are among the commands: 266 s on a slow machine, more than 480 once.
_TIMEOUT_S = 1200
#: What logs at these levels wants a person, and so does `log` itself, whose level is chosen when it is called.
_LOUD = {"warning", "error", "critical", "exception", "log"}
#: Events that want nothing of whoever reads the log.
_QUIET = {
    "alarm ended",
    "lease taken",  # a person's own command
    "unfrozen",
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for everything."""
    with tempfile.TemporaryDirectory(prefix="runbook-") as folder:
        yield Path(folder)


@pytest.fixture
def chain(place: Path) -> Iterator[Chain]:
    """A chain with the system contract, whose producer is registered and not elected: a rotation takes seconds."""
    with Chain(Tools.find(), place / "chain") as made:
        yield made


@pytest.fixture
def signer(place: Path, chain: Chain) -> Iterator[RotatingSigner]:
    """A trial that runs, detached, for the producer `ours`."""
    producer = OwnProducer(Tools.find(), chain, "ours")
    made = RotatingSigner(Trial(place / "trial"), "ours")
    try:
        made.quickstart([chain.boot.url])
        made.allow(chain, chain.cleos)
        for node in ("primary", "standby"):
            running = producer.join(node, made.providers(node))
            (running.folder / "pid").write_text(f"{running.pid}\n")
        producer.register(made.keys("primary")[0])
        yield made
    finally:
        made.stop()


def _blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", _RUNBOOK, re.MULTILINE | re.DOTALL)


@pytest.mark.chain
def test_every_command_of_the_runbook_runs(place: Path, signer: RotatingSigner) -> None:
    """One shell, ended by the first command that fails. A start by hand in it is stopped by a later block."""
    blocks = _blocks()
    assert len(blocks) > 15
    marked = [f"echo '== block {number}' >&2\n{block}" for number, block in enumerate(blocks)]

    done = subprocess.run(
        ["/bin/bash", "-eu"],
        input="\n".join(marked),
        cwd=REPOSITORY,
        env=os.environ
        | {
            "SIGNER": str(signer.trial.folder),
            **{name.upper(): str(place / "chain" / name) for name in ("primary", "standby")},
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )

    assert done.returncode == 0, f"{done.stderr[-4000:]}\n{done.stdout[-2000:]}"
    assert f"== block {len(blocks) - 1}" in done.stderr
    for word in (
        "FROZEN node primary",
        "primary-r1-3",
        "fit",
        "reloaded, generation",
        "registered-unscheduled",
    ):
        assert word in done.stdout


def test_every_section_that_the_tables_name_is_there() -> None:
    headings = set(re.findall(r"^## (.+)$", _RUNBOOK, re.MULTILINE))
    rows = re.findall(r"^\| .* \| .* \| ([A-Z][A-Za-z ,]+) \|$", _RUNBOOK, re.MULTILINE)

    assert rows
    assert {name for row in rows for name in row.split(", ")} <= headings


def test_every_section_that_the_doctor_names_is_there() -> None:
    headings = set(re.findall(r"^#+ (.+)$", _RUNBOOK, re.MULTILINE))
    sources = (REPOSITORY / "signer" / "doctor").glob("*.py")
    named = {
        name
        for source in sources
        for name in re.findall(r"runbook, ([A-Z][A-Za-z ]+[a-z])", source.read_text(encoding="utf-8"))
    }

    assert len(named) > 5
    assert named - {"Alarm"} <= headings


def _events() -> set[str]:
    """Return the event of every line that the program may log at warning or above."""
    found = set()
    for source in (each for folder in ("signer", "hsm") for each in (REPOSITORY / folder).rglob("*.py")):
        for call in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            match call:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=arguments):
                    event = arguments[level == "log"]
                    assert isinstance(event, ast.Constant), f"{source}:{call.lineno}: an event is one text"
                    if level in _LOUD:
                        found.add(str(event.value))
    return found


def test_every_event_that_wants_a_person_is_in_the_table() -> None:
    table = _RUNBOOK.partition("## Lines of the log")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))))

    events = _events()
    assert len(events) > 40
    assert named - events <= {"event", "rule", "log lines dropped: nobody read standard error"}
    assert events - named == _QUIET
