"""The configuration as frozen models. A `Config` that exists satisfies every rule here and in `config_rules`.

`config_file.load` makes one from a TOML file; `model_dump_json` and `model_validate_json` carry it to other
processes.
Paths in a `Config` are absolute: relative ones are resolved against the folder given as validation context.
The line under each field is its documentation and the end of every message about it.
"""

from __future__ import annotations

import ast
import functools
import inspect
import ipaddress
import itertools
import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from hsm.errors import UriError
from hsm.uri import parse_uri
from signer import config_rules
from signer.antelope.finalizer_key import parse_finalizer_key
from signer.antelope.keys import PublicKey
from signer.errors import FormatError

#: nodeos' own default, signature_provider_plugin.cpp:33-37.
DEFAULT_TIMEOUT_MS: Final = 5
#: Time for the answer's way back to nodeos, and for the way here before its first byte: 0.1 to 0.3 ms on one machine.
DEFAULT_MARGIN_MS: Final = 0.4
#: A K1 signature needs two tries on average (half are canonical): one for each lane.
DEFAULT_LANES: Final = 2
#: A guard against slips: each lane is a process with a session of its own.
MAX_LANES: Final = 16
#: Far above any token's operation, and a fraction of a producer's round of 6 s.
DEFAULT_STUCK_AFTER_MS: Final = 1000
#: A warm R1 signature takes below 0.5 ms; after three times that a second try still fits into 5 ms.
DEFAULT_HEDGE_AFTER_MS: Final = 1.5
#: Four block slots of 500 ms: what a token that came back waits at worst.
DEFAULT_RESTART_BACKOFF_MAX_MS: Final = 2000
#: Between 10 and 450 ms the pause makes no difference; what counts is work just before a request (signing/pace.py).
DEFAULT_WARMTH_INTERVAL_MS: Final = 100
#: A sign_digest request has about 150 bytes; a transaction for the wallet may have some kB.
DEFAULT_MAX_BODY_BYTES: Final = 65536
#: nodeos sends about 200 bytes of headers.
DEFAULT_MAX_HEADER_BYTES: Final = 16384
#: A nodeos has one connection at a time; the rest is room for monitoring and mistakes.
DEFAULT_MAX_CONNECTIONS: Final = 256
#: A local client delivers a request within 1 ms; this only frees the connections of those who never do.
DEFAULT_REQUEST_TIMEOUT_MS: Final = 10000

#: A node on the same continent answers within 0.3 s; a rotation asks several times a second and has time.
DEFAULT_API_TIMEOUT_MS: Final = 2000
#: One night a week may pass unseen.
DEFAULT_EVIDENCE_MAX_AGE_H: Final = 192
#: Three nights to generate more keys and restart a node.
DEFAULT_RING_LOW_WATER: Final = 3

#: A chain of eosio.system has 21 (eosio.system/src/voting.cpp, update_elected_producers).
DEFAULT_PRODUCERS: Final = 21
#: A producer signs 12 blocks in its round of 6 s. Twice that is room for a nodeos that asks again in the slot.
DEFAULT_RATE_LIMIT: Final = 24
DEFAULT_RATE_WINDOW_S: Final = 6

#: cleos asks for 30 s, a chain takes at most 3600 (Leap config.hpp, default_max_trx_lifetime).
DEFAULT_MAX_EXPIRATION_S: Final = 120
#: An everyday transaction does one thing.
DEFAULT_MAX_ACTIONS: Final = 1

#: About 100,000 decisions: ten days of one producer with its checkpoints.
DEFAULT_MAX_FILE_MB: Final = 64
#: Enough to see what happens; a hundred a minute of all kinds together are 90 MB a day at most.
DEFAULT_REFUSALS_PER_MINUTE: Final = 10
#: What somebody who can write the log can cut off unseen: a minute of one producer's signatures.
DEFAULT_CHECKPOINT_LINES: Final = 1_000
DEFAULT_CHECKPOINT_S: Final = 60

#: Where Debian keeps the state of services (FHS 3.0, section 5.8).
DEFAULT_STATE_DIR: Final = Path("/var/lib/antelope-signer")
#: The environment variable that names SoftHSM's configuration file (softhsm2.conf(5)).
SOFTHSM2_CONF: Final = "SOFTHSM2_CONF"

Role = Literal["block", "rotation", "account", "audit", "probe"]
ListenerKind = Literal["node", "wallet", "admin", "control"]
Purpose = Literal["block", "control"]
Approval = Literal["never", "promote", "always"]
Mode = Literal["off", "observe", "enforce"]

_TCP = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[^:]*)):(?P<port>[0-9]{1,5})", re.ASCII)
_MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An IP literal and a port. No host names: nodeos resolves on its main thread without a deadline."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: object) -> Self:
        """Return the address in `127.0.0.1:8900` or `[::1]:8900`.

        Raises:
            ValueError: it is neither.
        """
        if isinstance(text, cls):
            return text
        match = _TCP.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError("is not ADDRESS:PORT")
        host, port = match["six"] or match["four"] or "", int(match["port"])
        try:
            ip = ipaddress.IPv6Address(host) if match["six"] else ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError(
                "is not an IP address; host names are refused, because nodeos would resolve the same name "
                "on its main thread without a deadline"
            ) from None
        if not 1 <= port <= _MAX_PORT or "%" in host:
            raise ValueError(f"has a zone, or a port outside 1 to {_MAX_PORT}")
        return cls(str(ip), port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def unspecified(self) -> bool:
        """Whether it stands for every address of this machine."""
        return ipaddress.ip_address(self.host).is_unspecified


def _public_key(value: object) -> PublicKey:
    if isinstance(value, PublicKey):
        return value
    if not isinstance(value, str):
        raise ValueError("is not text")  # noqa: TRY004 - pydantic collects ValueErrors only
    try:
        return PublicKey.parse(value)
    except FormatError as error:
        raise ValueError(f"is not a public key: {error}") from None


def _url(value: str) -> str:
    try:
        parts = urllib.parse.urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("is not http://HOST:PORT or https://HOST:PORT")
    if parts.username is not None or parts.password is not None:
        raise ValueError("carries a user name or password, which no nodeos asks for and logs would show")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("has a path; give the address alone, the signer adds /v1/chain/...")
    return value.rstrip("/")


@dataclass(frozen=True, slots=True)
class SyslogAddress:
    """A syslog server: `udp` or `tcp` with an address and a port, or `unix` with the path of a datagram socket."""

    kind: Literal["udp", "tcp", "unix"]
    tcp: TcpAddress | None
    path: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """Return the address in `udp:127.0.0.1:514`, `tcp:[::1]:601` or `unix:/dev/log`.

        Raises:
            ValueError: it is none of them.
        """
        if isinstance(text, cls):
            return text
        kind, _, where = text.partition(":") if isinstance(text, str) else ("", "", "")
        if kind == "unix" and where.startswith("/") and where.isprintable():
            return cls("unix", None, where)
        if kind in ("udp", "tcp"):
            return cls("udp" if kind == "udp" else "tcp", TcpAddress.parse(where), "")
        raise ValueError("is not udp:ADDRESS:PORT, tcp:ADDRESS:PORT or unix:/PATH")

    def __str__(self) -> str:
        return f"{self.kind}:{self.tcp or self.path}"


def _finalizer_key(value: str) -> str:
    try:
        return parse_finalizer_key(value)
    except FormatError as error:
        raise ValueError(f"is not a finalizer key: {error}") from None


#: Half of PATH_MAX: the folder of the configuration may come before it.
_MAX_PATH_BYTES: Final = 2048


def _absolute(path: Path, info: ValidationInfo) -> Path:
    text = str(path)
    if not text.isprintable():
        raise ValueError("has characters that no path should have")
    # linux/include/uapi/linux/limits.h: PATH_MAX with its terminating zero, NAME_MAX.
    if len(os.fsencode(path)) > _MAX_PATH_BYTES or any(len(os.fsencode(part)) > 255 for part in path.parts):  # noqa: PLR2004
        raise ValueError("is longer than a path can be")
    folder = (info.context or {}).get("folder")
    if folder is not None:
        return Path(folder) / path
    if not path.is_absolute():
        raise ValueError("is relative, with no folder that it could be relative to")
    return path


def _condition(value: object) -> object:
    """A value that is no table stands for itself: `owner = "producer1"`."""
    return value if isinstance(value, dict | Constraint) else {"equal": value}


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
#: An account or permission of eosio: 1 to 12 of a-z, 1-5 and dots, no dot at the ends (libraries/chain/name.hpp).
AccountName = Annotated[str, StringConstraints(pattern=r"^[a-z1-5]([a-z1-5.]{0,10}[a-z1-5])?$")]
#: An action has up to 13, the last of them a-j or 1-5.
ActionName = Annotated[
    str, StringConstraints(pattern=r"^[a-z1-5]([a-z1-5.]{0,10}[a-z1-5]|[a-z1-5.]{11}[a-j1-5])?$")
]
#: `producer1@claim`.
Authorization = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z1-5]([a-z1-5.]{0,10}[a-z1-5])?@[a-z1-5]([a-z1-5.]{0,10}[a-z1-5])?$",
    ),
]
#: RFC 1123, section 2.1, in lower case.
HostName = Annotated[
    str,
    StringConstraints(
        max_length=253, pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$"
    ),
]
ApiUrl = Annotated[str, StringConstraints(max_length=255, pattern=r"^[\x21-\x7e]+$"), AfterValidator(_url)]
FinalizerKey = Annotated[str, AfterValidator(_finalizer_key)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
ConfigKey = Annotated[PublicKey, PlainValidator(_public_key), PlainSerializer(str, return_type=str)]
ConfigTcp = Annotated[TcpAddress, PlainValidator(TcpAddress.parse), PlainSerializer(str, return_type=str)]

ConfigSyslog = Annotated[
    SyslogAddress, PlainValidator(SyslogAddress.parse), PlainSerializer(str, return_type=str)
]


class Model(BaseModel):
    """A table of the file: every key known, every value of its own type."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        hide_input_in_errors=True,  # a PIN in the wrong place must not be repeated
    )


@functools.cache  # finding the source of a class takes 10 ms and more, and a file may have many faults
def documentation(model: type[BaseModel]) -> dict[str, str]:
    """Return the line under each field, by the field's name.

    Read from the source, and only when a message needs it. pydantic's `use_attribute_docstrings` does that for all
    models at each import, which was a quarter of the time that a signing process takes to begin.
    """
    return {
        field.target.id: inspect.cleandoc(line.value.value)
        for declaration in ast.parse(inspect.getsource(model)).body
        if isinstance(declaration, ast.ClassDef)
        for field, line in itertools.pairwise(declaration.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(line, ast.Expr)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    }


class Chain(Model):
    """A chain whose transactions or blocks the keys sign."""

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """The chain id, 64 lower-case hex digits, as `cleos get info` prints it."""
    api: tuple[ApiUrl, ...] = ()
    """HTTP APIs of nodes of this chain, a list of `http://127.0.0.1:8888`; a rotation needs one, better two."""
    api_timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = DEFAULT_API_TIMEOUT_MS
    """A node's API has this long to answer one question, in ms: 100 to 60000."""
    producer: AccountName | None = None
    """The account that is registered as a producer: 1 to 12 of a-z, 1-5 and dots."""
    rotation_permission: AccountName = "rotate"
    """The producer's permission that the rotation keys have: 1 to 12 of a-z, 1-5 and dots."""
    other_rotation_keys: tuple[ConfigKey, ...] = ()
    """Rotation keys of other signers in the same permission: a list of EOS..., PUB_K1_... or PUB_R1_..."""
    producers: Annotated[int, Field(ge=1, le=1_000)] = DEFAULT_PRODUCERS
    """How many producers take turns, 1 to 1000: a round of all of them is as many times 6 s."""
    consensus: Literal["legacy", "savanna"] | None = None
    """How blocks become final, where no API tells: "legacy" or "savanna"."""

    @property
    def round_s(self) -> int:
        """A round of all producers, in s: 12 blocks of 0.5 s each (eosio config.hpp, producer_repetitions)."""
        return self.producers * 6


class Token(Model):
    """A PKCS#11 token, and where its PIN comes from."""

    uri: str
    """The token by RFC 7512: `pkcs11:token=NAME?module-path=/path/to/module.so`; the PIN is in pin_file."""
    software: bool = False
    """Whether it is a software token; then probe signatures keep it warm: true or false."""
    lanes: Annotated[int, Field(ge=1, le=MAX_LANES)] = DEFAULT_LANES
    """Processes with a logged-in session each: 1 to 16."""
    environment: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Line] = {}
    """Environment variables for this token's module: letters, digits and _ = one line of text."""
    pin_file: AbsolutePath | None = None
    """A file of mode 0400 or 0600 that holds the PIN and nothing else."""
    pin_credential: Name | None = None
    """The name of a systemd credential that holds the PIN."""
    pin_prompt: bool = False
    """Whether a person types the PIN after each start, with `cleos wallet unlock`: true or false."""
    purpose: Purpose = "block"
    """Which process opens it: "block" for the signing process, "control" for the control process."""
    allow_create_key: Name | None = None
    """The name of the chain in [chains] for whose accounts `cleos wallet create_key` may make keys in this token."""
    allow_remove_key: bool = False
    """Whether `cleos wallet remove_key` may destroy account keys in this token: true or false."""

    @field_validator("uri")
    @classmethod
    def _check_uri(cls, value: str) -> str:
        try:
            parse_uri(value)
        except UriError as error:
            raise ValueError(f"is not a token URI: {error}") from None
        return value

    @field_validator("environment", mode="after")
    @classmethod
    def _resolve_environment(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        folder = (info.context or {}).get("folder")
        if folder is None:
            return value
        resolved = {}
        for name, text in value.items():
            path = os.path.join(folder, text)  # noqa: PTH118 - the text need not be a path
            resolved[name] = path if name == SOFTHSM2_CONF or os.path.isfile(path) else text  # noqa: PTH113
        return resolved


class Node(Model):
    """A nodeos that asks for block signatures."""

    chain: Name
    """The name of a chain in [chains]."""
    timeout_ms: Annotated[int, Field(ge=1, le=10_000)] = DEFAULT_TIMEOUT_MS
    """The keosd-provider-timeout of this nodeos in ms: 1 to 10000."""
    margin_ms: Annotated[float, Field(ge=0, le=1_000)] = DEFAULT_MARGIN_MS
    """The part of timeout_ms left for the answer's way back, in ms: 0 to 1000, less than timeout_ms."""
    api: ApiUrl | None = None
    """This nodeos' own HTTP API, `http://127.0.0.1:8888`; it tells whether the node is in sync."""
    finalizer_key: FinalizerKey | None = None
    """This node's own finalizer key on a Savanna chain, `PUB_BLS_...`."""


class Listener(Model):
    """A listening socket."""

    kind: ListenerKind
    """What it serves: "node", "wallet", "admin" or "control"."""
    node: Name | None = None
    """The name of a node in [nodes]; for kind "node" and no other."""
    unix: AbsolutePath | None = None
    """The path of a unix socket, at most 107 bytes long."""
    tcp: ConfigTcp | None = None
    """An IP address and a port, `127.0.0.1:8900` or `[::1]:8900`."""
    owner: Name | None = None
    """The user that owns the unix socket."""
    group: Name | None = None
    """The group of the unix socket."""
    peers: tuple[Name | Annotated[int, Field(ge=0, le=2**32 - 2)], ...] | None = None
    """Users accepted on the unix socket: a list of names or uids."""
    expose_beyond_loopback: bool = False
    """Whether a node listener may be reached from other machines: true or false."""
    allow_wallet_on_tcp: bool = False
    """Whether a wallet listener may be on TCP, where no user is checked: true or false."""
    allow_stop: bool = False
    """Whether /v1/keosd/stop on this wallet listener stops the signer: true or false."""
    tls_certificate: AbsolutePath | None = None
    """A PEM file with the certificate of a control listener on TCP, and those that lead to its root."""
    tls_key: AbsolutePath | None = None
    """A PEM file of mode 0400 or 0600 with the private key of tls_certificate, without a password."""
    tls_client_ca: AbsolutePath | None = None
    """A PEM file with the certificates that vouch for clients: with it, whoever connects has to present one."""
    names: tuple[HostName, ...] = ()
    """Host names by which a control listener on TCP is called: a list of lower-case names, the first is its own."""

    @property
    def address(self) -> str:
        """`unix:/path` or `tcp:127.0.0.1:8900`, for logs."""
        return f"tcp:{self.tcp}" if self.unix is None else f"unix:{self.unix}"


class Key(Model):
    """A key in a token, and what it may sign."""

    public_key: ConfigKey
    """The public key: EOS..., PUB_K1_... or PUB_R1_..."""
    role: Role
    """What it signs: "block", "rotation", "account", "audit" or "probe"."""
    node: Name | None = None
    """The name of a node in [nodes]; for block keys and no others."""
    chain: Name | None = None
    """The name of a chain in [chains]; for rotation and account keys (a block key has its node's)."""
    token: Name
    """The name of a token in [tokens]."""
    label: Line
    """The CKA_LABEL of the private key: 1 to 255 characters of one line."""
    id: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}){1,64}$")] | None = None
    """The CKA_ID of the private key in lower-case hex, 1 to 64 bytes."""


class Abi(Model):
    """A contract whose actions a policy names, beside those that the signer knows."""

    account: AccountName
    """The account that has the contract: 1 to 12 of a-z, 1-5 and dots."""
    file: AbsolutePath
    """Its ABI, a JSON file as `cleos get abi ACCOUNT` saves it."""


class Constraint(Model):
    """What one argument of an action may be: exactly one of these."""

    equal: JsonValue | None = None
    """The one value, as nodeos shows it; `argument = VALUE` says the same."""
    # Not strict, because what a validator has looked at before is no JSON any more, and a list is no tuple then.
    one_of: Annotated[tuple[JsonValue, ...] | None, Field(strict=False)] = None
    """A list of values, any of which it may be."""
    at_most: str | int | None = None
    """The most in all actions of one transaction together: `10.0000 EOS`, or a whole number."""
    anything: bool = False
    """Whether any value will do: true or false."""


ConfigConstraint = Annotated[Constraint, BeforeValidator(_condition)]


class Rule(Model):
    """An action that a key may sign."""

    name: Name
    """How logs and refusals call it: 1 to 63 letters, digits, '_', '-' or '.'."""
    contract: AccountName
    """The account whose contract the action is for: 1 to 12 of a-z, 1-5 and dots."""
    action: ActionName
    """The action's exact name: 1 to 13 of a-z, 1-5 and dots."""
    authorization: Authorization
    """The one permission that authorises it, as `account@permission`."""
    arguments: dict[Line, ConfigConstraint] = {}
    """What each argument may be: a value, or a table with one of `equal`, `one_of`, `at_most` and `anything`."""


class Policy(Model):
    """What an account key may sign. Whatever no rule allows is refused."""

    key: Line
    """An account key of [[keys]], by its label or its public key."""
    max_expiration_s: Annotated[int, Field(ge=1, le=86_400)] = DEFAULT_MAX_EXPIRATION_S
    """The farthest from now that a transaction may expire, in s: 1 to 86400."""
    max_actions: Annotated[int, Field(ge=1, le=100)] = DEFAULT_MAX_ACTIONS
    """The most actions of one transaction: 1 to 100."""
    rules: tuple[Rule, ...] = ()
    """Tables [[policies.rules]]."""


class Rotation(Model):
    """How production moves from key to key."""

    approval: Approval = "never"
    """What a second person has to approve: "never", "promote" (promotions) or "always" (cycles too)."""
    evidence_max_age_h: Annotated[int, Field(ge=1, le=8_760)] = DEFAULT_EVIDENCE_MAX_AGE_H
    """Evidence of what a node's configuration lists is old after this many hours: 1 to 8760."""
    ring_low_water: Annotated[int, Field(ge=1, le=1_000)] = DEFAULT_RING_LOW_WATER
    """A node with fewer unused keys of its curve than this is a warning: 1 to 1000."""


class Lanes(Model):
    """How lanes are watched."""

    stuck_after_ms: Annotated[int, Field(ge=10, le=60_000)] = DEFAULT_STUCK_AFTER_MS
    """A lane that is silent for this many ms is killed and replaced: 10 to 60000."""
    hedge_after_ms: Annotated[float, Field(ge=0.1, le=10_000)] = DEFAULT_HEDGE_AFTER_MS
    """An R1 request asks a second lane when the first is silent for this many ms: 0.1 to 10000."""
    restart_backoff_max_ms: Annotated[int, Field(ge=100, le=60_000)] = DEFAULT_RESTART_BACKOFF_MAX_MS
    """The longest wait before a lane is started again, in ms: 100 to 60000."""


class Realtime(Model):
    """The scheduler's class of the signing process and its lanes."""

    enabled: bool = True
    """Whether they go before everything else on the machine, where the system allows it: true or false."""


class Warmth(Model):
    """Probe signatures that keep a software token fast."""

    enabled: bool = True
    """Whether software tokens are kept warm: true or false."""
    interval_ms: Annotated[int, Field(ge=5, le=1_000)] = DEFAULT_WARMTH_INTERVAL_MS
    """The pause between two probe signatures in ms: 5 to 1000."""


class Limits(Model):
    """Bounds of every listener."""

    max_body_bytes: Annotated[int, Field(ge=1_024, le=16_777_216)] = DEFAULT_MAX_BODY_BYTES
    """The largest request body in bytes: 1024 to 16777216."""
    max_header_bytes: Annotated[int, Field(ge=1_024, le=1_048_576)] = DEFAULT_MAX_HEADER_BYTES
    """The largest request head in bytes: 1024 to 1048576."""
    max_connections: Annotated[int, Field(ge=1, le=4_096)] = DEFAULT_MAX_CONNECTIONS
    """Connections of one listener at a time: 1 to 4096."""
    request_timeout_ms: Annotated[int, Field(ge=10, le=600_000)] = DEFAULT_REQUEST_TIMEOUT_MS
    """A request that is not complete after this many ms is closed: 10 to 600000."""


class Guards(Model):
    """What stops accidents that a key alone does not: two nodes that produce at once, floods, repeats.

    A mode that is not set is the default on chains with a `producer`, and "off" on others: there nobody has said that
    all nodes are of one producer.
    """

    lease: Mode | None = None
    """Whether one node at a time signs for a producer: "off", "observe" or "enforce"."""
    lease_silence_s: Annotated[int, Field(ge=12, le=86_400)] | None = None
    """Another node takes over when the holder got no signature for this many s: at least two rounds of the chain."""
    rate: Mode | None = None
    """Whether signatures of a producer are limited: "off", "observe" or "enforce"."""
    rate_limit: Annotated[int, Field(ge=1, le=100_000)] = DEFAULT_RATE_LIMIT
    """The most signatures of a producer in any rate_window_s: 1 to 100000."""
    rate_window_s: Annotated[int, Field(ge=1, le=3_600)] = DEFAULT_RATE_WINDOW_S
    """The time in which rate_limit signatures may be given, in s: 1 to 3600."""
    repeat: Mode = "enforce"
    """Whether a digest that was signed gets the same signature again: "off", "observe" or "enforce"."""
    height: Mode | None = None
    """Whether block numbers are watched on a Savanna chain: "off" or "observe"."""


class Audit(Model):
    """The audit log."""

    max_file_mb: Annotated[int, Field(ge=1, le=1_024)] = DEFAULT_MAX_FILE_MB
    """Another file begins once this one has so many MB: 1 to 1024. Old ones are kept."""
    refusals_per_minute: Annotated[int, Field(ge=1, le=600)] = DEFAULT_REFUSALS_PER_MINUTE
    """Refusals that are alike have so many lines in a minute, and the others are counted in one: 1 to 600."""
    checkpoint_every_lines: Annotated[int, Field(ge=10, le=100_000)] = DEFAULT_CHECKPOINT_LINES
    """The audit key signs a checkpoint after so many lines: 10 to 100000."""
    checkpoint_every_s: Annotated[int, Field(ge=1, le=86_400)] = DEFAULT_CHECKPOINT_S
    """And after so many seconds if there was a line: 1 to 86400."""
    checkpoint_syslog: ConfigSyslog | None = None
    """A syslog server for checkpoints: `udp:127.0.0.1:514`, `tcp:10.0.0.1:601` or `unix:/dev/log`."""
    checkpoint_file: AbsolutePath | None = None
    """A file for checkpoints, on another file system than state_dir, best on another machine."""
    signer: Name | None = None
    """What checkpoints call this signer: 1 to 63 letters, digits, '_', '-' or '.'; the host's name if absent."""


class Config(Model):
    """The whole file."""

    # Not validated: where a JSON text is, a path is taken as a string only, and the default is a path.
    state_dir: AbsolutePath = Field(default=DEFAULT_STATE_DIR, validate_default=False)
    """The folder for freeze markers, PIN markers and the audit log, of mode 0700."""
    allow_shared_token: bool = False
    """Whether one token or one PIN source may serve block and control keys: true or false."""
    chains: dict[Name, Chain] = {}
    """Tables [chains.NAME]."""
    tokens: dict[Name, Token] = {}
    """Tables [tokens.NAME]."""
    nodes: dict[Name, Node] = {}
    """Tables [nodes.NAME]."""
    listeners: tuple[Listener, ...] = ()
    """Tables [[listeners]]."""
    keys: tuple[Key, ...] = ()
    """Tables [[keys]]."""
    policies: tuple[Policy, ...] = ()
    """Tables [[policies]]."""
    abis: tuple[Abi, ...] = ()
    """Tables [[abis]]."""
    rotation: Rotation = Rotation()
    """The table [rotation]."""
    guards: Guards = Guards()
    """The table [guards]."""
    lanes: Lanes = Lanes()
    """The table [lanes]."""
    realtime: Realtime = Realtime()
    """The table [realtime]."""
    warmth: Warmth = Warmth()
    """The table [warmth]."""
    limits: Limits = Limits()
    """The table [limits]."""
    audit: Audit = Audit()
    """The table [audit]."""

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        problems = tuple(config_rules.problems(self))
        if problems:
            raise config_rules.BrokenRulesError(problems)
        return self

    @property
    def admin_socket(self) -> Path:
        """The unix socket of the one admin listener."""
        return next(Path(each.unix) for each in self.listeners if each.kind == "admin" and each.unix)

    @property
    def audit_log(self) -> Path:
        """The audit log; older files of it are beside it (signer.signing.audit_files)."""
        return self.state_dir / "audit" / "audit.jsonl"

    @property
    def freeze_dir(self) -> Path:
        """The folder of the freeze markers."""
        return self.state_dir / "frozen"

    @property
    def pin_refused_dir(self) -> Path:
        """The folder of the markers that a token refused its PIN."""
        return self.state_dir / "pin-refused"

    def lease_mode(self, chain: str) -> Mode:
        """Return how one node at a time is seen to on `chain`."""
        return self._mode(chain, self.guards.lease, "observe")

    def rate_mode(self, chain: str) -> Mode:
        """Return how signatures are limited on `chain`."""
        return self._mode(chain, self.guards.rate, "enforce")

    def height_mode(self, chain: str) -> Mode:
        """Return how block numbers are watched on `chain`, once it is known to be of Savanna."""
        return self._mode(chain, self.guards.height, "observe")

    def _mode(self, chain: str, given: Mode | None, default: Mode) -> Mode:
        if given is not None:
            return given
        return default if self.chains[chain].producer is not None else "off"

    def lease_silence_s(self, chain: str) -> int:
        """Return after how many s without a signature of the holder another node may take over."""
        return self.guards.lease_silence_s or 2 * self.chains[chain].round_s

    def chain_of(self, key: Key) -> str | None:
        """Return the name of the chain that `key` signs for, None for audit and probe keys."""
        return self.nodes[key.node].chain if key.node is not None else key.chain
