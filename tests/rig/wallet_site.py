"""A signer with wallets for cleos: tokens whose PINs a person types, provisioned by our own commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from rig.condition import HANG_S
from rig.family import family
from rig.hsm_home import SOFTHSM, Home, make_home
from rig.program import Program, free_port
from rig.shim import Shim
from rig.text_format import public_key_hex_text, public_key_point, public_key_text
from rig.wire import Address, exchange, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from rig.wire import Reply

#: The wallets, in keosd's words.
DEFAULT, OTHER = "default", "other"
#: The token of the node's block keys, whose PIN is in a file.
BLOCK = "primary"


@dataclass(frozen=True)
class WalletTokens:
    """Three provisioned tokens, to be copied for each signer.

    Attributes:
        keys: role and public key (PUB_ form) by token and label.
    """

    folder: Path
    keys: dict[tuple[str, str], tuple[str, str]]

    @classmethod
    def make(cls, folder: Path) -> WalletTokens:
        """Make them: `default` with account keys of both curves, `other` with none, `primary` with block keys."""
        wanted = {
            DEFAULT: [("account-k1", "account"), ("account-r1", "account")],
            OTHER: [],
            BLOCK: [("block-k1", "block"), ("block-r1", "block"), ("probe-r1", "probe")],
        }
        keys = {}
        for token, labels in wanted.items():
            (folder / token).mkdir(parents=True)
            home = make_home(folder / token)
            for label, role in labels:
                curve = "k1" if label.endswith("k1") else "r1"
                made = home.generate(label, curve)
                keys[token, label] = (role, public_key_hex_text(curve, made["public_key_hex"]))  # type: ignore[arg-type]
        return cls(folder, keys)

    def copy(self, token: str, folder: Path) -> Home:
        """Copy a token into `folder`."""
        shutil.copytree(self.folder / token, folder / token)
        home = Home(folder / token)
        text = home.configuration.read_text().replace(str(self.folder), str(folder))
        home.configuration.write_text(text)
        return home


@dataclass
class WalletSite:
    """One signer. Change what it has, then `start()`. Without the home of BLOCK it has no node.

    Attributes:
        folder: short, because a unix socket's path is.
        chain_id: of the account keys' chain.
        port: of the wallet on TCP.
        node_port: of the node listener on TCP.
        settings: further lines of a token's table, by token.
        stoppable: whether the wallet on TCP may stop the signer.
        policies: TOML at the end of the file.
        timeout_ms: of the node.
    """

    folder: Path
    tokens: WalletTokens
    chain_id: str
    homes: dict[str, Home]
    port: int = field(default_factory=free_port)
    node_port: int = field(default_factory=free_port)
    settings: dict[str, list[str]] = field(default_factory=dict)
    stoppable: bool = False
    policies: str = ""
    timeout_ms: int = 100
    program: Program | None = None
    _shims: dict[str, Shim] = field(default_factory=dict)

    @classmethod
    def copy_of(cls, tokens: WalletTokens, folder: Path, chain_id: str = "ab" * 32) -> WalletSite:
        """Return a site with a copy of the tokens."""
        folder.mkdir(parents=True, exist_ok=True)
        homes = {token: tokens.copy(token, folder) for token in (DEFAULT, OTHER, BLOCK)}
        return cls(folder, tokens, chain_id, homes)

    # -- configuration -------------------------------------------------------------------------------

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "signer.toml"

    @property
    def socket(self) -> Path:
        """The wallet's unix socket."""
        return self.folder / "run" / "wallet" / "wallet.sock"

    @property
    def url(self) -> str:
        """What `cleos --wallet-url` takes."""
        return f"unix://{self.socket}"

    def shim(self, token: str) -> Shim:
        """Put a shim in front of a token's module: it counts logins."""
        folder = self.folder / f"shim-{token}"
        folder.mkdir()
        self._shims[token] = Shim(SOFTHSM, folder)
        return self._shims[token]

    def pin(self, token: str) -> str:
        """The PIN of a token, as a person knows it."""
        return self.homes[token].pin_file.read_text().strip()

    def key(self, label: str, token: str = DEFAULT) -> str:
        """The public key of a label, as keosd prints it."""
        text = self.tokens.keys[token, label][1]
        curve, point = public_key_point(text)
        return public_key_text(curve, point, legacy=curve == "k1")

    def text(self) -> str:
        """The configuration as TOML."""
        lines = ['state_dir = "state"', "[chains.local]", f'id = "{self.chain_id}"']
        for token, home in self.homes.items():
            shim = self._shims.get(token)
            environment = {"SOFTHSM2_CONF": str(home.configuration)} | (shim.environment if shim else {})
            module = shim.library if shim else SOFTHSM
            pin = f"pin_file = {json.dumps(str(home.pin_file))}" if token == BLOCK else "pin_prompt = true"
            variables = ", ".join(f"{name} = {json.dumps(value)}" for name, value in environment.items())
            lines += [
                f"[tokens.{token}]",
                f'uri = "pkcs11:token=primary?module-path={module}"',
                f"software = {'true' if token == BLOCK else 'false'}",
                pin,
                f"environment = {{ {variables} }}",
                *self.settings.get(token, []),
            ]
        if BLOCK in self.homes:
            lines += ["[nodes.primary]", 'chain = "local"', f"timeout_ms = {self.timeout_ms}"]
            for kind in (f'tcp = "127.0.0.1:{self.node_port}"', 'unix = "run/node/sign.sock"'):
                lines += ["[[listeners]]", 'kind = "node"', 'node = "primary"', kind]
        lines += ["[[listeners]]", 'kind = "wallet"', 'unix = "run/wallet/wallet.sock"']
        lines += ["[[listeners]]", 'kind = "wallet"', f'tcp = "127.0.0.1:{self.port}"']
        lines += ["allow_wallet_on_tcp = true", f"allow_stop = {json.dumps(self.stoppable)}"]
        lines += ["[[listeners]]", 'kind = "admin"', 'unix = "run/admin/admin.sock"']
        for (token, label), (role, key) in self.tokens.keys.items():
            if token not in self.homes:
                continue
            owner = {"block": ['node = "primary"'], "account": ['chain = "local"']}.get(role, [])
            lines += ["[[keys]]", f'public_key = "{key}"', f'role = "{role}"', *owner]
            lines += [f'token = "{token}"', f'label = "{label}"']
        return "\n".join([*lines, self.policies, ""])

    # -- life ----------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start, and wait until it is ready: the block token is open, the others wait for a person."""
        self.config.write_text(self.text())
        self.program = Program(
            [sys.executable, "-m", "signer.cli", "serve", "--config", self.config],
            self.folder / "log",
            environment={"PATH": os.environ["PATH"]},
            folder=self.folder,
            death_signal=signal.SIGTERM,  # it ends its own children
        )
        self.program.name = "signer"
        self.program.wait_until_up(lambda: bool(self.status().get("ready")), "it is ready")
        return self

    def __enter__(self) -> Self:
        return self if self.program else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.program is not None
        self.program.stop()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `signer` command on this site."""
        return subprocess.run(
            [sys.executable, "-m", "signer.cli", *arguments, "--config", self.config],
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )

    def retry(self, token: str = DEFAULT) -> None:
        """What `signer token retry` does."""
        address = Address(unix=self.folder / "run" / "admin" / "admin.sock")
        body = json.dumps({"token": token}).encode()
        reply = exchange(address, request("/v1/token/retry", host="admin", body=body))
        assert reply.status == 200, reply.body

    def status(self) -> dict[str, Any]:
        """What `signer status --json` shows; nothing while it starts."""
        address = Address(unix=self.folder / "run" / "admin" / "admin.sock")
        try:
            reply = exchange(address, request("/v1/status", host="admin", method="GET"))
        except OSError:
            return {}
        answer: dict[str, Any] = json.loads(reply.body)
        return answer

    def log(self) -> str:
        """Everything the processes have said."""
        assert self.program is not None
        return self.program.log()

    @property
    def audit_file(self) -> Path:
        """The audit log."""
        return self.folder / "state" / "audit" / "audit.jsonl"

    def audit(self) -> list[dict[str, Any]]:
        """The lines of the audit log so far."""
        return [json.loads(line) for line in self.audit_file.read_text().splitlines()]

    def audited(self, count: int = 1, **fields: object) -> list[dict[str, Any]]:
        """Return the lines of the audit log with these fields; wait until there are `count`."""
        assert self.program is not None

        def look() -> list[dict[str, Any]]:
            found = [line for line in self.audit() if fields.items() <= line.items()]
            return found if len(found) >= count else []

        return self.program.wait_for(look, f"audit lines with {fields}")

    def files(self) -> Iterator[Path]:
        """Yield every file that the signer may have written."""
        for path in (self.folder / "state").rglob("*"):
            if path.is_file():
                yield path
        yield self.folder / "log"

    # -- requests ------------------------------------------------------------------------------------

    def processes(self) -> Iterator[Path]:
        """Yield the /proc folder of the supervisor and of everything that it started."""
        assert self.program is not None
        yield from family(self.program.pid)

    def ask(
        self,
        target: str,
        body: object = "",
        *,
        method: str = "POST",
        at: Address | None = None,
        headers: tuple[str, ...] = (),
    ) -> Reply:
        """Send a request to the wallet; `body` is JSON, or a text as it is."""
        address = at or Address(unix=self.socket)
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        path = target if target.startswith("/") else f"/v1/wallet/{target}"
        return exchange(
            address,
            request(path, host=address.host, method=method, body=content, headers=headers),
        )

    def do(self, target: str, body: object = "") -> Any:  # noqa: ANN401 - JSON
        """Ask the wallet for what must succeed."""
        reply = self.ask(target, body)
        assert reply.status in (200, 201), reply.body
        return json.loads(reply.body)

    def refusal(self, target: str, body: object = "", **how: Any) -> tuple[str, str]:  # noqa: ANN401 - as ask
        """Ask the wallet for what must be refused; return the envelope's name and message."""
        reply = self.ask(target, body, **how)
        assert reply.status not in (200, 201), reply.body
        error = json.loads(reply.body)["error"]
        return error["name"], error["details"][0]["message"]

    def unlock(self, token: str = DEFAULT) -> None:
        """Type the PIN."""
        self.do("unlock", [token, self.pin(token)])

    def wallets(self) -> list[str]:
        """What list_wallets shows."""
        listed: list[str] = self.do("list_wallets")
        return listed

    def node(self, way: str = "tcp") -> Address:
        """The node listener."""
        if way == "tcp":
            return Address(port=self.node_port)
        return Address(unix=self.folder / "run" / "node" / "sign.sock")
