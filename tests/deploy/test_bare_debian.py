"""The README's two commands, and the demo, on a bare Debian 12: nothing but git and certificates is there before.

Long form only: `BARE_LONG=1 ./deploy/test tests/deploy/test_bare_debian.py -s`, as root. It makes a tree with
debootstrap (the Debian package), installs in it from the mirrors of this machine, and prints how long it took.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from rig.bare_debian import BareDebian, make
from rig.program import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

#: s. From `git clone` to the first block that a token's key signed.
_PROMISED_S: Final = 180.0
_CLONE: Final = """
git config --global --add safe.directory '*'
began=$(date +%s.%N)
git clone --quiet file:///clone-me antelope-signer
cd antelope-signer
"""
#: Prints what runs of the signer and the chain. A bare Debian has no pgrep.
_PROCESSES: Final = """
for process in /proc/[0-9]*; do tr '\\0' ' ' < $process/cmdline 2>/dev/null; echo; done > /tmp/processes
grep -E '[s]igner serve|[n]odeos|[k]eosd' /tmp/processes || echo "no process"
"""


@pytest.fixture(scope="module")
def bare() -> Iterator[Path]:
    """A tree to copy: the folder that BARE_LONG names, or a new one."""
    named = Path(os.environ.get("BARE_LONG", ""))
    if (named / "etc" / "debian_version").exists() and named.is_absolute():
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="bare-") as folder:
        tree = Path(folder) / "tree"
        make(tree)
        yield tree


@pytest.fixture
def debian(bare: Path) -> Iterator[BareDebian]:
    """A tree of its own for each test."""
    with tempfile.TemporaryDirectory(prefix="bare-") as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["cp", "-a", bare, tree], check=True)  # not shutil: the tree has device files
        yield BareDebian(tree)


def test_nothing_that_is_needed_is_there_before(debian: BareDebian) -> None:
    """So that the tests below show what they say."""
    done = debian.run("for word in python3 softhsm2-util curl gcc; do ! command -v $word; done")

    assert done.code == 0, done.out


def test_two_commands_and_a_token_signs(debian: BareDebian) -> None:
    port = free_port()
    done = debian.run(
        _CLONE
        + f"""
./deploy/quickstart --port {port} --detach --json > /tmp/about
echo "seconds $(date +%s.%N) $began"
.venv/bin/signer --config .signer/signer.toml status
.venv/bin/python - <<'PY'
import json, urllib.request
about = json.load(open("/tmp/about"))
key = next(k["public_key"] for k in about["keys"] if k["node"] == "primary" and k["curve"] == "R1")
body = json.dumps(["5a" * 32, key]).encode()
print("signed", urllib.request.urlopen(about["nodes"]["primary"]["url"], body).status)
PY
./deploy/quickstart --stop
{_PROCESSES}
"""
    )

    assert done.code == 0, done.err[-4000:]
    assert "signed 201" in done.out
    assert "no process" in done.out
    print(f"\nfrom git clone to a signer that is ready: {_seconds(done.out):.0f} s")  # noqa: T201 - the figure


def test_the_demo_signs_its_first_block_within_three_minutes(debian: BareDebian) -> None:
    done = debian.run(
        _CLONE
        + f"""
./deploy/demo --port {free_port()} --detach --json > /tmp/about
echo "seconds $(date +%s.%N) $began"
cp .demo.log /tmp/log
.venv/bin/signer --config .demo/signer/signer.toml status >&2
./deploy/demo --stop
ls -A .demo* 2>/dev/null || echo "no file"
{_PROCESSES}
cat /tmp/about
"""
    )

    assert done.code == 0, done.err[-4000:]
    assert "no file" in done.out
    assert "no process" in done.out
    assert json.loads(done.out[done.out.index("{\n") :])["producer"] == "bravo"
    took = _seconds(done.out)
    print(f"\nfrom git clone to the first block signed by a token's key: {took:.0f} s")  # noqa: T201 - the figure
    assert took < _PROMISED_S


def _seconds(out: str) -> float:
    found = re.search(r"^seconds (\S+) (\S+)$", out, re.MULTILINE)
    assert found is not None, out
    return float(found[1]) - float(found[2])
