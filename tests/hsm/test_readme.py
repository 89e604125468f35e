"""What hsm/README.md tells a reader to type works, in the order in which it stands."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from rig.condition import HANG_S
from rig.hsm_home import COMMAND

import hsm

README = Path(hsm.__file__).with_name("README.md")


def test_every_command_of_the_readme_runs(tmp_path: Path) -> None:
    """One shell, ended by the first command that fails."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3

    done = subprocess.run(
        ["/bin/sh", "-eux"],
        input="\n".join(blocks),
        cwd=tmp_path,
        env={"PATH": f"{COMMAND.parent}:{os.defpath}"},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "primary-r1-1" in done.stdout
    assert "primary-k1-1" in done.stdout


def test_every_file_of_the_package_is_in_its_table() -> None:
    """And the table names no file that is gone."""
    table = set(re.findall(r"`(\w+\.py)`", README.read_text(encoding="utf-8")))

    assert table == {path.name for path in README.parent.glob("*.py")} - {"__init__.py"}
