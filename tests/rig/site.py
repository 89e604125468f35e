"""A whole signer in a folder of its own: SoftHSM tokens, a configuration, and its processes."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rig.condition import HANG_S
from rig.family import family
from rig.hsm_home import SOFTHSM, Home, make_home
from rig.program import Program, free_port
from rig.shim import Shim
from rig.wire import Address, exchange, request
from signer.admin_client import AdminClient
from signer.antelope.keys import Curve, Digest, PublicKey
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rig.wire import Reply

NODES = ("primary", "standby")
CONTROL = "control"
#: ms. So long that a loaded machine makes no request late; the tests that want late ones say so.
_TIMEOUT_MS = 5_000
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class KeyLine:
    """A [[keys]] table.

    `label` of a block key is `r1-1`, `r1-2` or `k1-1`; each node's token has them all. The control token has
    `rotation-r1`, `rotation-k1` and `audit-r1`.
    """

    public_key: str
    store: str  # the name of its token
    label: str
    role: str = "block"

    @property
    def node(self) -> str | None:
        """The node of a block key has its token's name here."""
        return self.store if self.role == "block" else None


@dataclass(frozen=True)
class TokenLine:
    """A [tokens.NAME] table."""

    home: Home
    lanes: int = 2
    shim: Shim | None = None
    purpose: str = "block"

    @property
    def environment(self) -> dict[str, str]:
        """For the module."""
        own = {"SOFTHSM2_CONF": str(self.home.configuration)}
        return own | (self.shim.environment if self.shim else {})

    @property
    def uri(self) -> str:
        """Names the shim's library where there is one."""
        module = SOFTHSM if self.shim is None else self.shim.library
        return f"pkcs11:token=primary?module-path={module}"


@dataclass(frozen=True)
class Ring:
    """Two provisioned block tokens and a control token, to be copied for each test."""

    folder: Path
    keys: tuple[KeyLine, ...]

    @classmethod
    def make(cls, folder: Path) -> Ring:
        """Make the tokens with our own commands."""
        keys = []
        block = [("r1-1", "block"), ("r1-2", "block"), ("k1-1", "block"), ("probe-r1", "probe")]
        control = [("rotation-r1", "rotation"), ("rotation-k1", "rotation"), ("audit-r1", "audit")]
        for token, wanted in ((NODES[0], block), (NODES[1], block), (CONTROL, control)):
            (folder / token).mkdir()
            home = make_home(folder / token)
            for label, role in wanted:
                made = home.generate(label, "k1" if "k1" in label else "r1")
                curve = Curve.K1 if made["curve"] == "secp256k1" else Curve.R1
                key = str(PublicKey(curve, bytes.fromhex(made["public_key_hex"])))
                keys.append(KeyLine(key, token, label, role))
        return cls(folder, tuple(keys))

    def copy(self, token: str, folder: Path) -> Home:
        """Copy a token into `folder`."""
        shutil.copytree(self.folder / token, folder / token)
        home = Home(folder / token)
        text = home.configuration.read_text().replace(str(self.folder), str(folder))
        home.configuration.write_text(text)
        return home

    def keys_of(self, *tokens: str) -> list[KeyLine]:
        """Return the keys in some tokens."""
        return [key for key in self.keys if key.store in tokens]


@dataclass
class Site:
    """One signer. Change `keys`, `tokens` and `text`, then `write()`; `start()` writes first.

    Attributes:
        folder: short, because a unix socket's path is.
        settings: further lines of the file, before its tables.
        chain: the lines of the table of the one chain.
        python: the interpreter that the signer runs in.
        environment: further variables of the signer's environment.
        code: the folder with the packages `signer` and `hsm` that run.
    """

    folder: Path
    keys: list[KeyLine]
    tokens: dict[str, TokenLine]
    ports: dict[str, int]
    timeout_ms: int = _TIMEOUT_MS
    listeners: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    chain: list[str] = field(default_factory=lambda: [f'id = "{"ab" * 32}"'])
    only: str | None = "signing"
    python: Path = Path(sys.executable)
    environment: dict[str, str] = field(default_factory=dict)
    code: Path = REPOSITORY
    program: Program | None = None

    @classmethod
    def copy_of(cls, ring: Ring) -> Site:
        """Return a site with a copy of the ring's block tokens, and without a control process."""
        folder = Path(tempfile.mkdtemp(prefix="signer-"))
        tokens = {name: TokenLine(ring.copy(name, folder)) for name in NODES}
        return cls(folder, ring.keys_of(*NODES), tokens, {name: free_port() for name in NODES})

    @classmethod
    def whole_copy_of(cls, ring: Ring) -> Site:
        """Return a site with a copy of all tokens, and with a control process."""
        site = cls.copy_of(ring)
        site.tokens[CONTROL] = TokenLine(ring.copy(CONTROL, site.folder), purpose="control")
        site.keys += ring.keys_of(CONTROL)
        site.listeners = ["[[listeners]]", 'kind = "control"', 'unix = "run/control/control.sock"']
        site.only = None
        return site

    # -- configuration -------------------------------------------------------------------------------

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "signer.toml"

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / "state"

    def shim(self, token: str, *, lanes: int = 2) -> Shim:
        """Put a shim in front of a token's module."""
        folder = self.folder / f"shim-{token}"
        folder.mkdir()
        shim = Shim(SOFTHSM, folder)
        self.tokens[token] = replace(self.tokens[token], shim=shim, lanes=lanes)
        return shim

    def copy_code(self) -> Path:
        """Let the signer run from a copy of its code, which can be changed while it runs. Lanes run the original."""
        self.code = self.folder / "code"
        for package in ("signer", "hsm"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPOSITORY / package, self.code / package, ignore=ignored)
        return self.code

    def command(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a `signer` command on this configuration, as a person does; with more of an environment, if given."""
        return subprocess.run(
            [sys.executable, "-m", "signer.cli", *arguments, "--config", self.config],
            env={"PATH": os.environ["PATH"], **(environment or {})},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )

    def key(self, label: str, node: str = "primary") -> str:
        """Return the public key of a configured key."""
        return next(key.public_key for key in self.keys if (key.store, key.label) == (node, label))

    def adopt(self, label: str, curve: str, point: str, node: str = "primary") -> str:
        """Configure another block key of a token, known by its label; return the label."""
        key = PublicKey(Curve(curve), bytes.fromhex(point))
        self.keys.append(KeyLine(str(key), node, label))
        return label

    def text(self) -> str:
        """The configuration as TOML. A JSON text is a TOML text."""
        lines = ['state_dir = "state"', *self.settings, "[chains.local]", *self.chain]
        for name, token in self.tokens.items():
            environment = ", ".join(
                f"{key} = {json.dumps(value)}" for key, value in token.environment.items()
            )
            lines += [
                f"[tokens.{name}]",
                f"uri = {json.dumps(token.uri)}",
                "software = true",
                f"lanes = {token.lanes}",
                f"environment = {{ {environment} }}",
                f"pin_file = {json.dumps(str(token.home.pin_file))}",
                f'purpose = "{token.purpose}"',
            ]
        for name in self.nodes():
            lines += [f"[nodes.{name}]", 'chain = "local"', f"timeout_ms = {self.timeout_ms}"]
            lines += ["[[listeners]]", 'kind = "node"', f'node = "{name}"', f'unix = "run/{name}/sign.sock"']
            lines += [
                "[[listeners]]",
                'kind = "node"',
                f'node = "{name}"',
                f'tcp = "127.0.0.1:{self.ports[name]}"',
            ]
        lines += ["[[listeners]]", 'kind = "admin"', 'unix = "run/admin/admin.sock"', *self.listeners]
        for key in self.keys:
            lines += ["[[keys]]", f'public_key = "{key.public_key}"', f'role = "{key.role}"']
            lines += [f'token = "{key.store}"', f'label = "{key.label}"']
            lines += [f'node = "{key.node}"'] if key.node else []
            lines += ['chain = "local"'] if key.role == "rotation" else []
        return "\n".join([*lines, *self.tables, ""])

    def nodes(self) -> list[str]:
        """Return the nodes that have a key."""
        return [name for name in NODES if any(key.node == name for key in self.keys)]

    def write(self) -> None:
        """Write the configuration file."""
        self.config.write_text(self.text())

    # -- life ----------------------------------------------------------------------------------------

    def launch(self) -> Program:
        """Start the processes and do not wait."""
        self.write()
        self.program = Program(
            [
                *(self.python, "-m", "signer.cli", "serve", "--config", self.config),
                *(("--only", self.only) if self.only else ()),
            ],
            self.folder / "log",
            environment={"PATH": os.environ["PATH"], "PYTHONPATH": str(self.code), **self.environment},
            folder=self.code,
        )
        return self.program

    def start(self) -> Self:
        """Start, and wait until every token is open or known not to open, and requests are served."""
        self.launch()
        self.wait(lambda status: status["state"] == "serving" and not self._starting(status), "it serves")
        return self

    @staticmethod
    def _starting(status: dict[str, Any]) -> bool:
        states = [status["control"]["state"], *(token["state"] for token in status["tokens"].values())]
        return "starting" in states or any(
            key["state"] == "unavailable" and status["tokens"][key["token"]]["state"] == "logged-in"
            for key in status["keys"]
        )

    def stop(self) -> int:
        """Stop, and return the exit code."""
        assert self.program is not None
        return self.program.stop()

    def clean(self) -> None:
        """Stop and remove everything."""
        if self.program is not None:
            self.program.stop()
        shutil.rmtree(self.folder)

    @property
    def log(self) -> str:
        """Everything the processes have said."""
        assert self.program is not None
        return self.program.log()

    def audit(self) -> list[dict[str, Any]]:
        """Return the entries of the audit log."""
        text = (self.state / "audit" / "audit.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def wait_for_event(self, event: str, count: int = 1) -> None:
        """Wait until the log has `count` lines of an event."""
        assert self.program is not None
        self.program.wait_for(lambda: len(self.events(event)) >= count, f"{count} times {event!r} in the log")

    def wait_for_failed_lanes(self, count: int) -> None:
        """Wait until the log has `count` lanes that ended, or that could not be opened."""
        assert self.program is not None
        events = ("lane lost", "lane not opened", "lane cannot be started")
        self.program.wait_for(
            lambda: sum(len(self.events(event)) for event in events) >= count, f"{count} lanes failed"
        )

    # -- questions -----------------------------------------------------------------------------------

    @property
    def admin(self) -> AdminClient:
        """The admin socket."""
        return AdminClient(self.folder / "run/admin/admin.sock", HANG_S)

    def status(self) -> dict[str, Any]:
        """Return what `signer status` shows."""
        return self.admin.get("/v1/status")

    def key_status(self, label: str, node: str = "primary") -> dict[str, Any]:
        """Return what the status says of a key."""
        name = self.key(label, node)
        found: dict[str, Any] = next(key for key in self.status()["keys"] if key["public_key"] == name)
        return found

    def wait(
        self, condition: Callable[[dict[str, Any]], object], what: str, *, timeout_s: float = HANG_S
    ) -> dict[str, Any]:
        """Return the first status for which `condition` holds."""

        def look() -> dict[str, Any] | None:
            try:
                status = self.status()
            except Exception:  # noqa: BLE001 - it is not up yet; the deadline and its log say why not
                return None
            return status if condition(status) else None

        assert self.program is not None
        return self.program.wait_for(look, what, timeout_s=timeout_s)

    def address(self, node: str, via: str) -> Address:
        """Return a node listener's address."""
        if via == "tcp":
            return Address(port=self.ports[node])
        return _UnixAddress(unix=self.folder / f"run/{node}/sign.sock")

    def ask(self, key: str, *, node: str = "primary", via: str = "unix", digest: str | None = None) -> Reply:
        """Ask a node's listener for a signature."""
        address = self.address(node, via)
        body = json.dumps([digest or secrets.token_hex(32), key]).encode()
        target = "/" if via == "unix" else "/v1/wallet/sign_digest"
        return exchange(address, request(target, host=address.host, body=body))

    def sign(self, label: str, *, node: str = "primary", via: str = "unix") -> Signature:
        """Sign a new digest, and return the signature after it was recovered."""
        key = self.key(label, node)
        digest = secrets.token_bytes(32)
        reply = self.ask(key, node=node, via=via, digest=digest.hex())
        assert reply.status == 201, reply.body
        signature = Signature.parse(json.loads(reply.body))
        assert str(recover(Digest(digest), signature)) == key
        return signature

    def refusal(self, label: str, *, node: str = "primary") -> tuple[str, str]:
        """Ask for a signature that is refused; return the envelope's name and message."""
        reply = self.ask(self.key(label, node), node=node)
        assert reply.status == 500, reply.body
        error = json.loads(reply.body)["error"]
        return error["name"], error["details"][0]["message"]

    def processes(self) -> Iterator[Path]:
        """Yield the /proc folder of the supervisor and of everything that it started."""
        assert self.program is not None
        yield from family(self.program.pid)


class _UnixAddress(Address):
    """Closes what it could not connect: clients of a signer that stops do that thousands of times."""

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(HANG_S)
        try:
            connection.connect(str(self.unix))
        except OSError:
            connection.close()
            raise
        return connection


class Load:
    """Clients that ask one after the other until the end of the block.

    Args:
        site: the signer.
        asks: label, node and listener kind of each client.
        first: answers, well or not, to wait for when the block begins.
        pause_s: after each answer. 5 ms and four clients are enough to fill a slow machine.
    """

    def __init__(
        self, site: Site, *asks: tuple[str, str, str], first: int = 20, pause_s: float = 0.025
    ) -> None:
        self._first = first
        self._pause_s = pause_s
        self.signed = 0
        self.failed: list[str] = []
        self._site = site
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=ask) for ask in asks]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.wait_for_more(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count: int = 20) -> None:
        """Wait until so many more requests were answered, well or not."""
        assert self._site.program is not None
        wanted = self._answered + count
        self._site.program.wait_for(lambda: self._answered >= wanted, f"{count} more answers")

    @property
    def _answered(self) -> int:
        return self.signed + len(self.failed)

    def _run(self, label: str, node: str, via: str) -> None:
        key = self._site.key(label, node)
        while not self._end.wait(self._pause_s):
            try:
                reply = self._site.ask(key, node=node, via=via)
                failure = "" if reply.status == 201 else f"{reply.status} {reply.body!r}"
            except OSError as error:
                failure = repr(error)
            with self._lock:
                if failure:
                    self.failed.append(f"{label} {node} {via}: {failure}")
                else:
                    self.signed += 1
