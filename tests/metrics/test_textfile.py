"""The page as a file for node_exporter, by the commands of deploy/systemd's unit."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Final

from rig.scrape import Scrape
from rig.trial import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from rig.site import Site

_UNIT: Final = REPOSITORY / "deploy" / "systemd" / "antelope-signer-metrics.service"
_SOCKET: Final = "/run/antelope-signer/admin/admin.sock"


def _fetch(site: Site, folder: Path) -> int:
    """Do what a start of the unit does, in `folder`; return the exit code."""
    text = _UNIT.read_text(encoding="utf-8")
    assert text.count(_SOCKET) == 1
    text = text.replace(_SOCKET, str(site.folder / "run/admin/admin.sock"))
    for command in re.findall("^ExecStart=(.+)$", text, re.MULTILINE):
        code = subprocess.run(shlex.split(command), cwd=folder, check=False, capture_output=True).returncode
        if code != 0:
            return code
    return 0


def test_the_file_is_the_page_and_stays_when_the_signer_is_gone(site: Site, tmp_path: Path) -> None:
    """SignerDown looks at the file's age."""
    site.start()
    assert _fetch(site, tmp_path) == 0
    (file,) = tmp_path.iterdir()
    assert file.name == "antelope-signer.prom"
    assert Scrape(file.read_text()).value("signer_ready") == 1
    before = file.stat().st_mtime_ns
    site.stop()
    assert _fetch(site, tmp_path) != 0
    assert file.stat().st_mtime_ns == before
