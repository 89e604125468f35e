"""What is measured: real keosd, and the signer as deploy/quickstart sets it up, each on TCP and on a unix socket."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from rig import keypair
from rig.hsm_home import SOFTHSM, make_home
from rig.keosd import Keosd
from rig.program import Program, free_port
from rig.shim import Shim
from rig.text_format import public_key_hex_text
from rig.trial import three_free_ports
from trial import ring
from trial.config_text import config_text
from trial.layout import Layout

from bench.client import Side
from bench.floor import TokenKey
from hsm.softhsm import CONFIG_VARIABLE
from hsm.uri import TokenUri
from signer.admin_client import AdminClient
from signer.antelope.keys import PublicKey
from signer.errors import AdminError, AdminUnreachableError

if TYPE_CHECKING:
    from types import TracebackType

    from rig.keypair import Curve
    from rig.signer_process import Way
    from rig.tools import Tools

#: The path that keosd serves on both kinds of listener, and ours on TCP.
SIGN_DIGEST: Final = "/v1/wallet/sign_digest"
_NODE: Final = "primary"
_TESTS: Final = Path(__file__).parents[1]
#: As `signer reload` and `signer upgrade` wait for an answer, in s.
_RENEWED_S: Final = 75.0


@dataclass(frozen=True)
class Setup:
    """A provisioned signer and its configuration file.

    Attributes:
        keys: curve -> the key as nodeos sends it: K1 as `EOS...`.
        tokens: curve -> the same key in its token.
        environment: what the token's module needs in its environment.
    """

    config: Path
    socket: Path
    admin: Path
    port: int
    keys: dict[Curve, str]
    tokens: dict[Curve, TokenKey]
    environment: dict[str, str]

    def side(self, curve: Curve, way: Way) -> Side:
        """Return whom a client asks. On a unix socket current nodeos can only ask for `/`."""
        if way == "unix":
            return Side(f"signer {curve} unix", str(self.socket), 0, "/", self.keys[curve])
        return Side(f"signer {curve} tcp", "", self.port, SIGN_DIGEST, self.keys[curve])

    def provider(self, curve: Curve, way: Way) -> str:
        """Return the value of nodeos' `signature-provider`."""
        if way == "unix":
            return f"{self.keys[curve]}=KEOSD:unix://{self.socket}"
        return f"{self.keys[curve]}=KEOSD:http://127.0.0.1:{self.port}{SIGN_DIGEST}"


def set_up(folder: Path) -> Setup:
    """Make tokens, keys and configuration as deploy/quickstart does: three tokens, two nodes, all listeners."""
    folder.mkdir(mode=0o700)
    layout = Layout.of(folder)
    port = three_free_ports()
    made = ring.provision(layout, size=2)
    layout.config.write_text(config_text(layout, made, SOFTHSM, port, None))
    keys: dict[Curve, str] = {}
    tokens: dict[Curve, TokenKey] = {}
    curves: tuple[Curve, Curve] = ("k1", "r1")
    for curve in curves:
        label = f"{_NODE}-{curve}-1"
        key = next(each.public_key for each in made if each.wanted.label == label)
        keys[curve] = key.fc
        tokens[curve] = TokenKey(str(TokenUri(SOFTHSM, token=_NODE)), str(layout.pin(_NODE)), label)
    return Setup(
        layout.config,
        layout.sign_socket(_NODE),
        layout.admin_socket,
        port,
        keys,
        tokens,
        {CONFIG_VARIABLE: str(layout.softhsm(_NODE) / "softhsm2.conf")},
    )


def set_up_slow(folder: Path, *, lanes: int, delay_ms: float, timeout_ms: int) -> Setup:
    """Make a signer whose token takes `delay_ms` longer for each operation, as a hardware token does.

    It is configured as hardware: no probe signatures.
    """
    folder.mkdir(mode=0o700)
    home = make_home(folder)
    text = public_key_hex_text("k1", home.generate("block-k1", "k1")["public_key_hex"])
    shim = Shim(SOFTHSM, folder)
    shim.tell(delay_ms=delay_ms)
    uri = f"pkcs11:token=primary?module-path={shim.library}"
    environment = {CONFIG_VARIABLE: str(home.configuration)} | shim.environment
    config, socket, admin, port = (
        folder / "signer.toml",
        folder / "run/primary/sign.sock",
        folder / "run/admin/admin.sock",
        free_port(),
    )
    # A JSON text is a TOML text.
    config.write_text(f"""\
state_dir = "state"

[chains.local]
id = "{"00" * 32}"

[tokens.primary]
uri = {json.dumps(uri)}
lanes = {lanes}
pin_file = {json.dumps(str(home.pin_file))}
environment = {{ {", ".join(f"{name} = {json.dumps(value)}" for name, value in environment.items())} }}

[nodes.primary]
chain = "local"
timeout_ms = {timeout_ms}

[[listeners]]
kind = "node"
node = "primary"
unix = {json.dumps(str(socket))}

[[listeners]]
kind = "node"
node = "primary"
tcp = "127.0.0.1:{port}"

[[listeners]]
kind = "admin"
unix = {json.dumps(str(admin))}

[[keys]]
public_key = "{text}"
role = "block"
node = "primary"
token = "primary"
label = "block-k1"
""")
    key = PublicKey.parse(text).fc
    token = TokenKey(uri, str(home.pin_file), "block-k1")
    return Setup(config, socket, admin, port, {"k1": key}, {"k1": token}, environment)


class Signer(Program):
    """`signer serve`, ready when made, its control process too: that takes a second of processor time at its start.

    Args:
        setup: its configuration.
        warmth: whether software tokens are kept warm.
        further: TOML appended to the configuration.
        audited: whether decisions go into its audit log.

    Attributes:
        ready_s: from the start of the process until its status says ready, in s.
    """

    def __init__(self, setup: Setup, *, warmth: bool = True, further: str = "", audited: bool = True) -> None:
        self.setup = setup
        folder = setup.config.parent
        config = setup.config
        if not warmth:
            further = f"{further}\n[warmth]\nenabled = false\n"
        if further:
            config = folder / "changed.toml"
            config.write_text(f"{setup.config.read_text()}\n{further}\n")
        began = time.monotonic()
        super().__init__(
            [
                sys.executable,
                "-m",
                "signer.cli" if audited else "bench.unaudited",
                "serve",
                "--config",
                config,
            ],
            folder / "signer.log",
            environment={"PATH": os.environ["PATH"]} | ({} if audited else {"PYTHONPATH": str(_TESTS)}),
            folder=folder,
            death_signal=signal.SIGTERM,  # it ends its own children
        )
        self.name = "signer"
        self._admin = AdminClient(setup.admin)
        self._renewing = AdminClient(setup.admin, _RENEWED_S)
        try:
            self.wait_for(self._ready, "its status says ready")
            self.ready_s = time.monotonic() - began
            self.wait_for(
                lambda: self.status()["control"]["state"] != "starting",
                "its control process",
            )
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ready(self) -> bool:
        try:
            return bool(self.status()["ready"])
        except AdminError:
            return False

    def status(self) -> dict[str, Any]:
        """Return what `signer status` shows."""
        return self._admin.get("/v1/status")

    def reload(self) -> None:
        """Replace its processes, and return when the old ones have ended."""
        self._renewing.post("/v1/reload")

    def upgrade(self) -> None:
        """Have the code on disk take its place, and return when its processes serve."""
        attempt = self._renewing.post("/v1/upgrade")["attempt"]

        def is_done() -> bool:
            try:
                state = self.status()["upgrade"]
            except AdminUnreachableError:
                return False  # one image is gone and the next is not there yet
            return bool(state["attempt"] == attempt and state["state"] == "done")

        self.wait_for(is_done, "the upgrade is done")

    def requests(self) -> int:
        """Return how many of the node's requests its audit log has a decision on, of this and any run before."""
        with (self.setup.config.parent / "state/audit/audit.jsonl").open("rb") as log:
            return sum(json.loads(line).get("node") == _NODE for line in log)


class Reference:
    """Real keosd with a K1 and an R1 key in its wallet.

    Attributes:
        keys: curve -> the key as nodeos sends it.
    """

    def __init__(self, tools: Tools, folder: Path) -> None:
        curves: tuple[Curve, Curve] = ("k1", "r1")
        pairs = {curve: keypair.generate(tools, curve) for curve in curves}
        self.keys = {curve: pair.public for curve, pair in pairs.items()}
        self.keosd = Keosd(tools, folder)
        self.keosd.add(*pairs.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.keosd.stop()

    def side(self, curve: Curve, way: Way) -> Side:
        """Return whom a client asks."""
        socket = str(self.keosd.socket) if way == "unix" else ""
        return Side(f"keosd {curve} {way}", socket, self.keosd.port, SIGN_DIGEST, self.keys[curve])
