"""The signer as a user runs it: provisioned by its own commands, started from its configuration file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from rig.condition import HANG_S
from rig.hsm_home import SOFTHSM, make_home
from rig.program import Program, free_port
from rig.text_format import public_key_hex_text, public_key_point, public_key_text
from rig.wire import Address

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from rig.keypair import Curve

Way = Literal["tcp", "unix"]

_NODE = "primary"
#: Never looked at: a legacy block digest says nothing of its chain (block_header_state_legacy.cpp:393-396).
_CHAIN_ID = "00" * 32


@dataclass(frozen=True)
class Installation:
    """A provisioned signer: one token, a block and a probe key of each curve, one node, one configuration.

    Attributes:
        folder: everything is in it. Keep its path below about 80 characters (unix sockets).
        k1: the node's K1 key, as `PUB_K1_...`.
        r1: the node's R1 key, as `PUB_R1_...`.
        port: of the node's TCP listener.
    """

    folder: Path
    k1: str
    r1: str
    port: int

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "signer.toml"

    @property
    def socket(self) -> Path:
        """The node's unix socket."""
        return self.folder / "run" / _NODE / "sign.sock"

    def key(self, curve: Curve) -> str:
        """Return the block key of `curve`."""
        return self.k1 if curve == "k1" else self.r1

    def address(self, way: Way) -> Address:
        """Return the node's listener."""
        return Address(port=self.port) if way == "tcp" else Address(unix=self.socket)

    def provider(self, curve: Curve, way: Way) -> str:
        """Return the value of nodeos' `signature-provider` for the block key of `curve`.

        A unix URL has no path: with one this nodeos spins for ever (http_client.cpp, get_unix_url).
        """
        if way == "unix":
            return f"{self.key(curve)}=KEOSD:unix://{self.socket}"
        return f"{self.key(curve)}=KEOSD:http://127.0.0.1:{self.port}/v1/wallet/sign_digest"

    @property
    def legacy_k1(self) -> str:
        """The K1 key as nodeos and keosd print it: `EOS...`."""
        return public_key_text("k1", public_key_point(self.k1)[1], legacy=True)


def provision(folder: Path, *, timeout_ms: int = 5, further: str = "") -> Installation:
    """Make token, keys and configuration with `signer-hsm`.

    Args:
        folder: made if need be.
        timeout_ms: the node's timeout; nodeos' default is 5 ms. Give more where time is not what is tested.
        further: TOML appended to the configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    home = make_home(folder)
    curves: tuple[Curve, Curve] = ("k1", "r1")
    texts = {
        (role, curve): public_key_hex_text(curve, home.generate(f"{role}-{curve}", curve)["public_key_hex"])
        for role in ("block", "probe")
        for curve in curves
    }
    installation = Installation(folder, texts["block", "k1"], texts["block", "r1"], free_port())
    keys = "".join(
        f"""
[[keys]]
public_key = "{text}"
role = "{role}"
{f'node = "{_NODE}"' if role == "block" else ""}
token = "primary"
label = "{role}-{curve}"
"""
        for (role, curve), text in texts.items()
    )
    installation.config.write_text(f"""\
state_dir = "state"

[chains.test]
id = "{_CHAIN_ID}"

[tokens.primary]
uri = "pkcs11:token=primary?module-path={SOFTHSM}"
software = true
pin_file = "{home.pin_file.name}"
environment = {{ SOFTHSM2_CONF = "{home.configuration.relative_to(folder)}" }}

[nodes.{_NODE}]
chain = "test"
timeout_ms = {timeout_ms}

[[listeners]]
kind = "node"
node = "{_NODE}"
unix = "{installation.socket.relative_to(folder)}"

[[listeners]]
kind = "node"
node = "{_NODE}"
tcp = "127.0.0.1:{installation.port}"

[[listeners]]
kind = "admin"
unix = "run/admin/admin.sock"
{keys}
{further}
""")
    return installation


class RunningSigner:
    """`signer serve` on an installation. Ready when made."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self._start()

    def _start(self) -> None:
        folder = self.installation.folder
        log = folder / "signer.log"
        self._log_start = log.stat().st_size if log.exists() else 0
        self._program = Program(
            [sys.executable, "-m", "signer.cli", "serve", "--config", self.installation.config],
            log,
            environment={"PATH": os.environ["PATH"]},
            folder=folder,
            death_signal=signal.SIGTERM,  # it ends its own children
        )
        self._program.name = "signer"
        self._program.wait_until_up(self._ready, "signer status says ready")

    def _ready(self) -> bool:
        done = self.run("status", "--json")
        return done.returncode == 0 and bool(json.loads(done.stdout)["ready"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `signer` command on this installation."""
        return subprocess.run(
            [sys.executable, "-m", "signer.cli", *arguments, "--config", self.installation.config],
            env={"PATH": os.environ["PATH"]},
            cwd=self.installation.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._program.pid

    def log(self) -> str:
        """Everything it has logged since its last start."""
        return self._program.log_file.read_bytes()[self._log_start :].decode(errors="replace")

    def status(self) -> Any:  # noqa: ANN401 - JSON
        """Return `signer status --json`."""
        done = self.run("status", "--json")
        assert done.returncode == 0, f"{done.stderr}\n{self._program.tail()}"
        return json.loads(done.stdout)

    def reload(self) -> None:
        """`signer reload`; fails unless the new generation serves."""
        done = self.run("reload")
        assert done.returncode == 0, f"{done.stderr}\n{self._program.tail()}"

    def stop(self) -> None:
        """End it as systemd would, with SIGTERM."""
        self._program.stop()

    def restart(self) -> None:
        """Stop it and start it again. Signatures are counted from nought then."""
        self.stop()
        self._start()

    def signatures(self, curve: Curve, *, at_least: int = 0) -> int:
        """Return how many signatures the block key of `curve` has given since the start.

        Decisions are counted behind the answer. So this waits until the count is `at_least` what the caller
        has seen, and fails when it does not come to that.
        """
        wanted = self.installation.key(curve)

        def count() -> tuple[int] | None:
            counts = [key["signatures"] for key in self.status()["keys"] if key["public_key"] == wanted]
            assert len(counts) == 1, f"{wanted} is not in the status once"
            return (counts[0],) if counts[0] >= at_least else None

        return self._program.wait_for(count, f"{at_least} signatures counted for {wanted}")[0]
