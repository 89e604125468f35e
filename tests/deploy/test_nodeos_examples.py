"""The examples in deploy/nodeos are what real nodeos takes, and what the signer itself prints."""

from __future__ import annotations

import ipaddress
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from rig import keypair
from rig.nodeos import Genesis, Nodeos
from rig.tools import Tools
from rig.trial import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER: Final = REPOSITORY / "deploy" / "nodeos"
_WAYS: Final = ("tcp.ini", "unix.ini", "wireguard.ini")
_SIGNER: Final = REPOSITORY / ".venv" / "bin" / "signer"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="example-") as made:
        yield Path(made)


def _lines(name: str) -> list[str]:
    text = (_FOLDER / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _start(folder: Path, lines: list[str]) -> Nodeos:
    return Nodeos(Tools.find(), folder, Genesis.now(keypair.DEVELOPMENT.public), lines=lines)


@pytest.mark.chain
@pytest.mark.parametrize("name", _WAYS)
def test_nodeos_starts_with_it(folder: Path, name: str) -> None:
    """It reads its providers at start; it is in no schedule, so it asks for nothing."""
    with _start(folder, _lines(name)) as node:
        assert node.head >= 1


@pytest.mark.chain
def test_a_misspelt_line_stops_nodeos(folder: Path) -> None:
    """So that the test above can fail."""
    lines = [line.replace("keosd-provider-timeout", "keosd-provider-timeouts") for line in _lines("tcp.ini")]

    with pytest.raises(AssertionError, match="ended with"):
        _start(folder, lines)


def test_the_examples_are_all_looked_at() -> None:
    assert sorted(path.name for path in _FOLDER.glob("*.ini")) == sorted(_WAYS)


@pytest.mark.parametrize(("name", "option"), [("tcp.ini", []), ("unix.ini", ["--unix"])])
def test_it_has_the_form_that_the_signer_prints(name: str, option: list[str]) -> None:
    example = REPOSITORY / "deploy" / "signer.example.toml"
    done = subprocess.run(
        [_SIGNER, "--config", example, "nodes", "config", "primary", *option],
        capture_output=True,
        text=True,
        check=True,
    )
    # The example's socket is in its own folder; an installation's is in /run.
    printed = re.sub(r"unix://\S*/run/primary", "unix:///run/antelope-signer/primary", done.stdout)

    own = [line for line in _lines(name) if not line.startswith(("plugin", "producer-name"))]
    assert len(own) == 3
    assert set(own) <= set(printed.splitlines())


def test_the_two_ends_of_the_tunnel_fit() -> None:
    """Each lets the other's address in and nothing else; the provider's address is the signer's end."""
    ends = {
        name: dict(re.findall(r"^(\w+) = (.+)$", (_FOLDER / name).read_text(), re.MULTILINE))
        for name in _ENDS
    }
    signer, node = ends["wg-signer.conf"], ends["wg-node.conf"]
    at_signer, at_node = (ipaddress.ip_interface(end["Address"]) for end in (signer, node))

    assert ipaddress.ip_network(signer["AllowedIPs"]) == ipaddress.ip_network(at_node.ip)
    assert ipaddress.ip_network(node["AllowedIPs"]) == ipaddress.ip_network(at_signer.ip)
    assert node["Endpoint"].endswith(f":{signer['ListenPort']}")
    assert f"KEOSD:http://{at_signer.ip}:8900/" in "\n".join(_lines("wireguard.ini"))
    assert not any("PrivateKey" in end for end in ends.values())


_ENDS: Final = ("wg-signer.conf", "wg-node.conf")
