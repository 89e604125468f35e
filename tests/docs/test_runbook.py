"""The runbook's commands run as they are written, in their order, on a trial."""

from __future__ import annotations

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
#: Three starts and stops of a signer are among the commands.
_TIMEOUT_S = 480


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
