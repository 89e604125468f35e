"""deploy/quickstart --chain: a signer that knows its chain and its producer, checked against real nodeos."""

from __future__ import annotations

import http.server
import json
import shlex
import tempfile
import threading
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig import keypair
from rig.nodeos import Genesis, Nodeos
from rig.program import free_port
from rig.tools import Tools
from rig.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.chain

_PRODUCER = "ourproducer1"
_OTHER = "PUB_R1_7UCRn4gDHrWpnK3wFLysYVWDauFHHvs16BDmSoowcPqZUknGZH"
_RING = 4


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for everything."""
    with tempfile.TemporaryDirectory(prefix="known-") as made:
        yield Path(made)


def _node(folder: Path, name: str, genesis: Genesis) -> Nodeos:
    return Nodeos(
        Tools.find(), folder / name, genesis, producers=["eosio"], providers=[keypair.DEVELOPMENT.provider]
    )


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[Nodeos]:
    """A chain of one node."""
    with _node(folder, "node", Genesis(keypair.DEVELOPMENT.public, "2026-01-01T00:00:00.000")) as made:
        yield made


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Iterator[Nodeos]:
    """A node of another chain."""
    with _node(folder, "stranger", Genesis(keypair.DEVELOPMENT.public, "2026-01-02T00:00:00.000")) as made:
        yield made


@pytest.fixture(scope="module")
def dead() -> str:
    """An address that nobody listens on."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def no_nodeos() -> Iterator[str]:
    """A web server that has something else to say."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"chain_id": "none of your business"}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def known(folder: Path, node: Nodeos, dead: str) -> Iterator[Trial]:
    """A trial that knows the chain. One of its two nodes is down."""
    trial = Trial(folder / "trial")
    try:
        trial.start(*_options(f"{node.url},{dead}/"), "--ring", str(_RING))
        yield trial
    finally:
        trial.stop()


def _options(urls: str, producer: str = _PRODUCER, other: str = _OTHER) -> list[str]:
    return ["--chain", urls, "--producer", producer, "--other-rotation-key", other]


class TestKnown:
    """A trial that was made for a chain."""

    def test_the_config_names_the_chain(self, known: Trial, node: Nodeos, dead: str) -> None:
        """Its id is what the node says."""
        config = tomllib.loads((known.folder / "signer.toml").read_text())
        assert config["chains"] == {
            "local": {
                "id": node.chain_id,
                "api": [node.url, dead],
                "producer": _PRODUCER,
                "other_rotation_keys": [_OTHER],
            }
        }
        (rotation,) = [key for key in config["keys"] if key["role"] == "rotation"]
        assert rotation["chain"] == "local"
        assert rotation["public_key"] == known.description()["rotation_key"]

    def test_the_description_says_what_the_owner_runs(self, known: Trial, node: Nodeos) -> None:
        """As argument lists for a script, and as lines for a person."""
        found = known.description()
        commands = found["permission_commands"]
        assert commands
        assert all(isinstance(word, str) for command in commands for word in command)
        assert any(found["rotation_key"] in word and _OTHER in word for word in commands[0])
        assert all(_PRODUCER in command for command in commands)
        shown = known.run("--detach").stdout
        for command in commands:
            assert shlex.join(["cleos", "--url", node.url, *command]) in shown.splitlines()

    def test_the_ring_has_as_many_keys_as_asked_for(self, known: Trial) -> None:
        """R1 keys of each node."""
        labels = [key["label"] for key in known.description()["keys"] if key["role"] == "block"]
        for name in ("primary", "standby"):
            assert [each for each in labels if each.startswith(f"{name}-r1-")] == [
                f"{name}-r1-{number}" for number in range(1, _RING + 1)
            ]

    def test_again_with_equal_values_changes_nothing(self, known: Trial, node: Nodeos, dead: str) -> None:
        """Nor without them."""
        before, description = known.fingerprint(), known.description()
        for options in ([], _options(f"{node.url}/,{dead}"), ["--ring", str(_RING)]):
            again = known.run("--detach", "--json", *options)
            assert again.returncode == 0, again.stderr
            assert json.loads(again.stdout) == description
        assert known.fingerprint() == before

    def test_other_values_are_refused(self, known: Trial, node: Nodeos, dead: str) -> None:
        """With what to do, and nothing changes."""
        before = known.fingerprint()
        both = f"{node.url},{dead}"
        for options in (
            _options(node.url),
            _options(both, producer="another"),
            ["--chain", both, "--producer", _PRODUCER],
            ["--ring", str(_RING + 1)],
        ):
            refused = known.run("--detach", *options)
            assert refused.returncode == 1
            assert "choose another --dir" in refused.stderr
        assert known.fingerprint() == before

    def test_a_lost_description_is_written_again(self, known: Trial) -> None:
        """From the config."""
        path = known.folder / "quickstart.json"
        before = json.loads(path.read_text())
        path.unlink()
        again = known.run("--detach", "--json")
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout) == before


class TestRefused:
    """What cannot be found out is said, and no config is made."""

    def test_a_chain_that_does_not_answer(self, trial: Trial, dead: str) -> None:
        """The reason, and what to do."""
        self._refused(trial, dead, "does not answer", "chain_api_plugin")

    def test_two_chains(self, trial: Trial, node: Nodeos, stranger: Nodeos) -> None:
        """Both are named."""
        self._refused(trial, f"{node.url},{stranger.url}", "different chains", node.chain_id[:16])

    def test_something_else_than_nodeos(self, trial: Trial, node: Nodeos, no_nodeos: str) -> None:
        """Which one."""
        self._refused(trial, f"{node.url},{no_nodeos}", f"{no_nodeos} is no nodeos", "Correct --chain")

    def test_one_node_twice(self, trial: Trial, node: Nodeos) -> None:
        """It would agree with itself."""
        self._refused(trial, f"{node.url},{node.url}/", "twice")

    def test_a_key_that_is_none(self, trial: Trial, node: Nodeos) -> None:
        """Its checksum is wrong."""
        self._refused(trial, node.url, "--other-rotation-key", other=_OTHER[:-1] + "1")

    @staticmethod
    def _refused(trial: Trial, urls: str, *words: str, other: str = _OTHER) -> None:
        refused = trial.run("--port", str(trial.port), "--detach", *_options(urls, other=other))
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr
        for word in words:
            assert word in refused.stderr
        assert not (trial.folder / "signer.toml").exists()

    def test_a_chain_that_was_made_anew(self, known: Trial, stranger: Nodeos, node: Nodeos) -> None:
        """The same address, another chain: every signature for it would be one for the old one."""
        config = known.folder / "signer.toml"
        text = config.read_text()
        try:
            config.write_text(text.replace(node.chain_id, stranger.chain_id))
            dead = json.loads(json.dumps(tomllib.loads(text)))["chains"]["local"]["api"][1]
            refused = known.run("--detach", *_options(f"{node.url},{dead}"))
        finally:
            config.write_text(text)
        assert refused.returncode == 1
        assert f"was made for the chain {stranger.chain_id}" in refused.stderr

    def test_a_trial_without_a_chain(self, running: Trial, node: Nodeos) -> None:
        """It is not given one behind its back."""
        before = running.fingerprint()
        refused = running.run("--detach", *_options(node.url))
        assert refused.returncode == 1
        assert "was made without --chain" in refused.stderr
        assert running.fingerprint() == before

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--chain", "http://127.0.0.1:1"],
            ["--producer", _PRODUCER],
            ["--other-rotation-key", _OTHER],
            ["--chain", "127.0.0.1:8888", "--producer", _PRODUCER],
            ["--chain", "http://127.0.0.1:1/v1", "--producer", _PRODUCER],
            ["--chain", "http://127.0.0.1:1,", "--producer", _PRODUCER],
            ["--chain", "http://127.0.0.1:1", "--producer", "UPPER"],
            ["--chain", "http://127.0.0.1:1", "--producer", _PRODUCER, "--other-rotation-key", "x"],
            ["--ring", "0"],
            ["--ring", "101"],
            ["--ring", "many"],
            ["--ring="],
        ],
    )
    def test_wrong_usage(self, trial: Trial, arguments: list[str]) -> None:
        """Exit code 2, and nothing is made."""
        refused = trial.run(*arguments)
        assert refused.returncode == 2
        assert "deploy/quickstart --help" in refused.stderr
        assert not trial.folder.exists()
