"""A signer that moves production, started by deploy/quickstart and used through the command line as by a person."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx

from rig.condition import HANG_S, until
from rig.program import Program
from rig.trial import REPOSITORY, Trial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rig.chain import Chain
    from rig.cleos import Cleos

#: s. Against a hang. A rotation that just misses one look of eosio.system for another schedule takes three minutes; one
#: whose control process is killed ten times, on a slow machine, took more than five.
ROTATION_S: Final = 1200.0
_BAD_ENDS: Final = ("refused", "aborted", "failed", "superseded", "returned")
_SIGNER: Final = REPOSITORY / ".venv" / "bin" / "signer"


def _client() -> httpx.Client:
    """Return a client that keeps no connection. To make one takes 34 ms of a processor: not at each look."""
    return httpx.Client(trust_env=False, timeout=HANG_S, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass
class RotatingSigner:
    """A trial of `quickstart --chain`.

    Attributes:
        trial: its folder.
        producer: the account.
        description: quickstart.json at its start, from `quickstart`.
    """

    trial: Trial
    producer: str
    description: dict[str, Any] = field(default_factory=dict)
    _program: Program | None = None
    _http: httpx.Client = field(default_factory=_client)

    def quickstart(self, urls: Sequence[str], *, ring: int = 2, others: Sequence[str] = ()) -> None:
        """Make and start it. `urls` are its API nodes, `others` the rotation keys of the producer's other signers."""
        options = [option for key in others for option in ("--other-rotation-key", key)]
        self.description = self.trial.start(
            "--chain", ",".join(urls), "--producer", self.producer, "--ring", str(ring), *options
        )

    @property
    def rotation_key(self) -> str:
        """The key that signs its transactions."""
        key: str = self.description["rotation_key"]
        return key

    def allow(self, chain: Chain, cleos: Cleos) -> None:
        """Do what the owner does once, and see that the chain has the permission."""
        for command in self.description["permission_commands"]:
            printed = cleos.run(*command)
            assert "executed transaction" in printed.stdout + printed.stderr, printed

        def is_set() -> bool:
            account = chain.boot.call("chain/get_account", {"account_name": self.producer})
            keys = {
                key["key"]
                for permission in account["permissions"]
                for key in permission["required_auth"]["keys"]
            }
            return self.rotation_key in keys

        chain.boot.wait_for(is_set, f"{self.producer} has a permission of {self.rotation_key}")

    # -- keys ------------------------------------------------------------------------------------------

    def keys(self, node: str, curve: str = "R1") -> list[str]:
        """Return the node's block keys in the order of its ring."""
        return [
            key["public_key"]
            for key in self.description["keys"]
            if key["role"] == "block" and key["node"] == node and key["curve"] == curve
        ]

    def providers(self, node: str) -> list[str]:
        """Return the values of nodeos' `signature-provider` for every block key of the node."""
        url = self.description["nodes"][node]["url"]
        return [f"{key}=KEOSD:{url}" for curve in ("R1", "K1") for key in self.keys(node, curve)]

    # -- commands --------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `signer`."""
        return [str(_SIGNER), "--config", str(self.trial.folder / "signer.toml"), *arguments]

    def run(
        self, *arguments: str, timeout_s: float = HANG_S, person: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `signer` and return how it ended. `person` has a token of `issue`; by default it is quickstart's."""
        token = {} if person is None else {"SIGNER_TOKEN_FILE": str(self._token_file(person))}
        return subprocess.run(
            self.command(*arguments),
            env=os.environ | token,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def issue(self, person: str, *scopes: str) -> None:
        """Give a person a token for the control API."""
        options = [option for scope in scopes for option in ("--scope", scope)]
        done = self.run("token", "create", person, *options, "--out", str(self._token_file(person)))
        assert done.returncode == 0, done.stderr

    def token(self, person: str) -> str:
        """Return the token of a person, from `issue`."""
        return self._token_file(person).read_text().strip()

    def _token_file(self, person: str) -> Path:
        return self.trial.folder.with_name(f"{self.trial.folder.name}-{person}.token")

    def json(self, *arguments: str, timeout_s: float = HANG_S) -> Any:  # noqa: ANN401 - JSON
        """Run a command that succeeds and return the one JSON value that it prints."""
        done = self.run(*arguments, "--json", timeout_s=timeout_s)
        assert done.returncode == 0, (
            f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.log()}"
        )
        return json.loads(done.stdout)

    def rotate(self, *arguments: str) -> dict[str, Any]:
        """`signer rotate ... --wait --json`, and how long it took, as `seconds`."""
        began = time.monotonic()
        answer: dict[str, Any] = self.json("rotate", *arguments, "--wait", timeout_s=ROTATION_S)
        return answer | {"seconds": time.monotonic() - began}

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a `signer` command and do not wait for it."""
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, *arguments: str) -> None:
        """`signer rotate ...` until there is a rotation, whatever happens to the process that takes the request."""
        before = self._last_id()

        def taken() -> bool:
            self.run("rotate", *arguments, "--json")
            return self._last_id() > before

        until(taken, f"{self.producer} has a new rotation", interval_s=1.0, explain=self.log)

    def history(self, rotation: int) -> list[dict[str, Any]]:
        """Return what `rotations show` says of it, line by line."""
        history: list[dict[str, Any]] = self.json("rotations", "show", str(rotation))["history"]
        return history

    def _get(self, path: str, **query: int) -> Any:  # noqa: ANN401 - JSON
        """Ask the control API itself, which costs less than a command; None where it does not answer."""
        token = (self.trial.folder / "control.token").read_text().strip()
        try:
            answer = self._http.get(
                self.description["control_url"] + path,
                params=query,
                headers={"authorization": f"Bearer {token}"},
            )
        except httpx.TransportError:
            return None
        return answer.json() if answer.is_success else None

    def _last_id(self) -> int:
        """Return the number of the youngest rotation, 0 if there is none; wait for the control process."""
        found = until(
            lambda: self._get("/v1/rotations", limit=1), "the control process answers", explain=self.log
        )
        return int(found["rotations"][0]["id"]) if found["rotations"] else 0

    def latest(self) -> dict[str, Any] | None:
        """Return the youngest rotation, or None where there is none or the control process does not answer."""
        found = self._get("/v1/rotations", limit=1)
        rotations: list[dict[str, Any]] = found["rotations"] if found else []
        return rotations[0] if rotations else None

    def view(self) -> dict[str, Any]:
        """Return what the control API says of the producer."""
        view: dict[str, Any] = until(lambda: self._get("/v1/producers/local"), "the producer is shown")
        return view

    def wait_for_state(self, *states: str, timeout_s: float = ROTATION_S) -> dict[str, Any]:
        """Wait until the youngest rotation has one of the states; fail at once where it ended badly in another."""

        def look() -> dict[str, Any] | None:
            found = self.latest()
            if found is None or found["state"] in states:
                return found
            assert found["state"] not in _BAD_ENDS, f"{found['state']}: {found['reason']}\n{self.log()}"
            return None

        return until(
            look,
            f"{self.producer}'s rotation is {' or '.join(states)}",
            timeout_s=timeout_s,
            interval_s=0.5,
            explain=lambda: f"{self.latest()}\n{self.log()}",
        )

    def configure(self, replace: Mapping[str, str]) -> None:
        """Change the configuration as an operator would: replace texts of it, then `signer reload`."""
        config = self.trial.folder / "signer.toml"
        text = config.read_text()
        for old, new in replace.items():
            assert old in text, old
            text = text.replace(old, new)
        config.write_text(text)
        done = self.run("reload")
        assert done.returncode == 0, done.stderr + done.stdout

    def append(self, text: str) -> None:
        """Add to the configuration, then `signer reload`."""
        config = self.trial.folder / "signer.toml"
        config.write_text(config.read_text() + text)
        done = self.run("reload")
        assert done.returncode == 0, done.stderr + done.stdout

    def know_nodes(self, urls: Mapping[str, str], *, timeout_ms: int) -> None:
        """Tell it each node's own HTTP API, and the node's timeout: rotations are tested here, not speed."""
        self.configure(
            {
                "timeout_ms = 5 ": f"timeout_ms = {timeout_ms} ",
                **{f"[nodes.{node}]\n": f'[nodes.{node}]\napi = "{url}"\n' for node, url in urls.items()},
            }
        )

    def status(self) -> dict[str, Any]:
        """`signer status --json`."""
        status: dict[str, Any] = self.json("status")
        return status

    def log(self) -> str:
        """Return the end of its log."""
        path = self.trial.folder / "signer.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def serve_with(self, environment: Mapping[str, str]) -> None:
        """Stop it and start it again, as the same user, with more in its environment than quickstart lets through."""
        self.stop()
        owner = self.trial.folder.stat()
        user = [f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"]
        self._program = Program(
            [
                # As quickstart does for root: nodeos does not wait while the machine is busy.
                *(["nice", "-n", "-10", "setpriv", *user, "--"] if os.geteuid() == 0 else []),
                # Behind setpriv: what a library makes as root, the signer's user could not use.
                *("env", *(f"{name}={value}" for name, value in environment.items())),
                *self.command("serve"),
            ],
            self.trial.folder / "signer.log",
            environment={"PATH": os.environ["PATH"]},
            folder=self.trial.folder,
            death_signal=signal.SIGTERM,
        )
        self._program.name = f"signer of {self.trial.folder.name}"
        self._program.wait_until_up(self._ready, "the signer is ready")

    def _ready(self) -> bool:
        return self._get("/v1/whoami") is not None

    def stop(self) -> None:
        """Stop the signer, if its folder is still there."""
        if (self.trial.folder / ".quickstart").exists():
            self.trial.stop()
        if self._program is not None:
            self._program.stop()
            self._program = None
