"""Every rule of the configuration: what is refused, and what the message says.

Each case changes the small valid configuration in one place. `key` is the key path that the message names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from signer import config_file
from signer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.config import Config

    Load = Callable[[str], Config]

R1 = "PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr"
K1 = "EOS5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1ZeXbgf"
K1_PUB = "PUB_K1_5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1a4bJPT"
URI = "pkcs11:token=primary?module-path=/usr/lib/softhsm/libsofthsm2.so"

#: More tables, to be added at the end.
CHAIN = '[chains.other]\nid = "' + "b" * 64 + '"\n'
CHAIN_ID = 'id = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"'
NODE_B = (
    '[nodes.b]\nchain = "{chain}"\n[[listeners]]\nkind = "node"\nnode = "b"\nunix = "run/b.sock"\n'
    '[[keys]]\npublic_key = "{key}"\nrole = "block"\nnode = "b"\ntoken = "primary"\nlabel = "b"\n'
)
CONTROL = (
    '[tokens.control]\nuri = "pkcs11:token=control?module-path=/usr/lib/softhsm/libsofthsm2.so"\n'
    'purpose = "control"\n{pin}\n'
)


def key(**fields: str) -> str:
    """A [[keys]] table."""
    return "[[keys]]\n" + "".join(f'{name} = "{value}"\n' for name, value in fields.items())


def listener(lines: str) -> str:
    """A [[listeners]] table."""
    return f"[[listeners]]\n{lines}\n"


class Case(NamedTuple):
    """Replace `old` (a place that exists once; empty: append) by `new`; expect `key` and each of `words`."""

    name: str
    old: str
    new: str
    key: str
    words: tuple[str, ...]


CASES = [
    # -- guards
    Case(
        "a silence of less than two rounds",
        "",
        "[guards]\nlease_silence_s = 251\n",
        "guards.lease_silence_s",
        ("less than two rounds of chains.local, 252 s", "chains.local.producers = 21"),
    ),
    Case(
        "a silence of less than two rounds of few producers",
        CHAIN_ID,
        CHAIN_ID + "\nproducers = 4\n[guards]\nlease_silence_s = 47",
        "guards.lease_silence_s",
        ("less than two rounds of chains.local, 48 s",),
    ),
    Case(
        "heights that refuse",
        "",
        '[guards]\nheight = "enforce"\n',
        "guards.height",
        ("would lose blocks", "forks", 'use "observe"'),
    ),
    Case(
        "a mode that does not exist",
        "",
        '[guards]\nlease = "on"\n',
        "guards.lease",
        ('"off", "observe" or "enforce"',),
    ),
    # -- what a rotation needs
    Case(
        "no finalizer key",
        '[nodes.a]\nchain = "local"',
        '[nodes.a]\nchain = "local"\nfinalizer_key = "PUB_BLS_abc"',
        "nodes.a.finalizer_key",
        ("is not a finalizer key", "134 characters"),
    ),
    Case(
        "producer without a node to ask",
        CHAIN_ID,
        CHAIN_ID + '\nproducer = "bp"',
        "chains.local.api",
        ("is missing beside producer", "better two"),
    ),
    Case(
        "a node twice",
        CHAIN_ID,
        CHAIN_ID + '\napi = ["http://127.0.0.1:1", "http://127.0.0.1:1/"]',
        "chains.local.api",
        ("one node twice",),
    ),
    Case(
        "API with a password",
        CHAIN_ID,
        CHAIN_ID + '\napi = ["http://me:hunter2@127.0.0.1:1"]',
        "chains.local.api[0]",
        ("user name or password",),
    ),
    Case(
        "API with a path",
        CHAIN_ID,
        CHAIN_ID + '\napi = ["http://127.0.0.1:1/v1/chain"]',
        "chains.local.api[0]",
        ("the address alone",),
    ),
    Case(
        "API by another protocol",
        CHAIN_ID,
        CHAIN_ID + '\napi = ["ftp://127.0.0.1:1"]',
        "chains.local.api[0]",
        ("http://HOST:PORT",),
    ),
    Case(
        "no account name",
        CHAIN_ID,
        CHAIN_ID + '\nproducer = "UPPER"',
        "chains.local.producer",
        ("right form", "a-z, 1-5"),
    ),
    Case(
        "rotation by active",
        CHAIN_ID,
        CHAIN_ID + '\nrotation_permission = "active"',
        "chains.local.rotation_permission",
        ("can do everything", "rotate"),
    ),
    Case(
        "another signer's key is ours",
        CHAIN_ID,
        CHAIN_ID + '\nother_rotation_keys = ["PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr"]',
        "chains.local.other_rotation_keys[0]",
        ("other signers",),
    ),
    # -- the form of values
    Case(
        "unknown top key", "state_dir", "state_dri", "state_dri", ("unknown key", 'did you mean "state_dir"')
    ),
    Case("unknown key", 'label = "r1-1"', 'lable = "r1-1"', "keys[0].lable", ("unknown key", '"label"')),
    Case("unknown key, nothing near", 'label = "r1-1"', 'xyzzy = "r"', "keys[0].xyzzy", ("known here are",)),
    Case("unknown limit", "", "[limits]\nmax_body = 4096", "limits.max_body", ('"max_body_bytes"',)),
    Case("missing key", 'label = "r1-1"\n', "", "keys[0].label", ("is missing", "CKA_LABEL")),
    Case("wrong type", 'label = "r1-1"', "label = 7", "keys[0].label", ("a whole number", "expected")),
    Case(
        "number as text",
        'chain = "local"',
        'chain = "local"\ntimeout_ms = "5"',
        "nodes.a.timeout_ms",
        ("text",),
    ),
    Case("true as a number", "", "[warmth]\ninterval_ms = true", "warmth.interval_ms", ("true or false",)),
    Case("list as table", "", "limits = 3", "limits", ("expected",)),
    Case("a date", 'label = "r1-1"', "label = 2024-01-01", "", ("date or time", "quotes")),
    Case("chain id", "a" * 64, "a" * 63, "chains.local.id", ("right form", "64 lower-case hex digits")),
    Case("chain name", "[chains.local]", '[chains."lo cal"]', 'chains."lo cal"', ("not a name", "letters")),
    Case("role", 'role = "block"', 'role = "blok"', "keys[0].role", ('"blok"', "rotation")),
    Case("kind", 'kind = "admin"', 'kind = "root"', "listeners[1].kind", ('"root"', "wallet")),
    Case("purpose", "pin_file", 'purpose = "x"\npin_file', "tokens.primary.purpose", ('"x"', '"control"')),
    Case("empty label", '"r1-1"', '""', "keys[0].label", ("1 to 255",)),
    Case("label of two lines", '"r1-1"', '"a\\nb"', "keys[0].label", ("right form",)),
    Case("id", 'label = "r1-1"', 'label = "r1-1"\nid = "0A1"', "keys[0].id", ("lower-case hex",)),
    Case(
        "environment name",
        "pin_file",
        'environment = {"A B" = "x"}\npin_file',
        "tokens.primary.environment",
        (),
    ),
    Case(
        "environment value", "pin_file", "environment = {A = 1}\npin_file", "tokens.primary.environment.A", ()
    ),
    Case("path too long", '"run/admin.sock"', f'"{"x/" * 2000}"', "listeners[1].unix", ("longer",)),
    Case("name too long", '"run/admin.sock"', f'"{"x" * 256}"', "listeners[1].unix", ("longer",)),
    Case("path with NUL", '"run/admin.sock"', '"run/\\u0000"', "listeners[1].unix", ("characters",)),
    Case(
        "peer",
        'unix = "run/a/sign.sock"',
        'unix = "run/a/s"\npeers = [-1]',
        "listeners[0].peers[0]",
        ("uids",),
    ),
    # -- ranges
    Case(
        "timeout 0",
        'chain = "local"',
        'chain = "local"\ntimeout_ms = 0',
        "nodes.a.timeout_ms",
        ("1 to 10000",),
    ),
    Case(
        "timeout with fraction",
        'chain = "local"',
        'chain = "local"\ntimeout_ms = 5.5',
        "nodes.a.timeout_ms",
        (),
    ),
    Case(
        "margin", 'chain = "local"', 'chain = "local"\nmargin_ms = -0.1', "nodes.a.margin_ms", ("0 to 1000",)
    ),
    Case(
        "margin is NaN",
        'chain = "local"',
        'chain = "local"\nmargin_ms = nan',
        "nodes.a.margin_ms",
        ("finite",),
    ),
    Case("lanes of a token", "pin_file", "lanes = 17\npin_file", "tokens.primary.lanes", ("1 to 16", "17")),
    Case("stuck_after_ms", "", "[lanes]\nstuck_after_ms = 1", "lanes.stuck_after_ms", ("10 to 60000",)),
    Case("hedge_after_ms", "", "[lanes]\nhedge_after_ms = 0", "lanes.hedge_after_ms", ("0.1 to 10000",)),
    Case("hedge is inf", "", "[lanes]\nhedge_after_ms = inf", "lanes.hedge_after_ms", ("0.1 to 10000",)),
    Case(
        "backoff",
        "",
        "[lanes]\nrestart_backoff_max_ms = 1",
        "lanes.restart_backoff_max_ms",
        ("100 to 60000",),
    ),
    Case("warmth", "", "[warmth]\ninterval_ms = 1", "warmth.interval_ms", ("5 to 1000",)),
    Case("body", "", "[limits]\nmax_body_bytes = 1", "limits.max_body_bytes", ("1024 to 16777216",)),
    Case("header", "", "[limits]\nmax_header_bytes = 1", "limits.max_header_bytes", ("1024 to 1048576",)),
    Case("connections", "", "[limits]\nmax_connections = 0", "limits.max_connections", ("1 to 4096",)),
    Case(
        "request time", "", "[limits]\nrequest_timeout_ms = 1", "limits.request_timeout_ms", ("10 to 600000",)
    ),
    # -- chains and tokens
    Case(
        "chain twice",
        "",
        CHAIN.replace("b" * 64, "a" * 64),
        "chains.other.id",
        ("chains.local too", "one name"),
    ),
    Case("not a URI", URI, "softhsm", "tokens.primary.uri", ("pkcs11:",)),
    Case("pin-value", URI, URI + "&pin-value=1234", "tokens.primary.uri", ("pin-value", "pin_file")),
    Case("pin-source", URI, URI + "&pin-source=/pin", "tokens.primary.uri", ("pin-source", "pin_file")),
    Case("relative module", "/usr/lib/softhsm/lib", "lib", "tokens.primary.uri", ("absolute",)),
    Case(
        "typed PIN and nowhere to type it",
        'pin_file = "pins/primary.pin"',
        "pin_prompt = true",
        "tokens.primary.pin_prompt",
        ('listener of kind "wallet"', "cleos wallet unlock"),
    ),
    Case(
        "typed PIN beside a file",
        "pin_file",
        "pin_prompt = true\npin_file",
        "tokens.primary.pin_prompt",
        ("second PIN source beside pin_file",),
    ),
    Case(
        "typed PIN of a control token",
        "",
        CONTROL.format(pin="pin_prompt = true") + listener('kind = "wallet"\nunix = "run/w.sock"'),
        "tokens.control.pin_prompt",
        ('purpose "block"', "remove"),
    ),
    Case(
        "keys for a chain that is not there",
        "pin_file",
        'allow_create_key = "lokal"\npin_file',
        "tokens.primary.allow_create_key",
        ("no [chains.lokal]", 'did you mean "local"'),
    ),
    Case(
        "keys removed from a control token",
        "",
        CONTROL.format(pin='pin_file = "c.pin"\nallow_remove_key = true'),
        "tokens.control.allow_remove_key",
        ('purpose "block"',),
    ),
    Case(
        "a node listener that stops",
        'unix = "run/a/sign.sock"',
        'unix = "run/a/sign.sock"\nallow_stop = true',
        "listeners[0].allow_stop",
        ('kind "wallet"', "remove"),
    ),
    Case(
        "no PIN source",
        'pin_file = "pins/primary.pin"\n',
        "",
        "tokens.primary",
        ("no PIN source", "exactly one"),
    ),
    Case(
        "two PIN sources",
        "pin_file",
        'pin_credential = "p"\npin_file',
        "tokens.primary.pin_credential",
        ("second PIN",),
    ),
    Case(
        "PIN in the URI's place is not repeated",
        'pin_file = "pins/primary.pin"',
        'pin = "1234"',
        "tokens.primary.pin",
        ("unknown key",),
    ),
    Case(
        "PIN file of two purposes",
        "",
        CONTROL.format(pin='pin_file = "pins/./x/../primary.pin"'),
        "tokens.control.pin_file",
        ("tokens.primary", "allow_shared_token"),
    ),
    Case(
        "token of two purposes",
        "",
        CONTROL.format(pin='pin_file = "c.pin"').replace("token=control", "token=primary"),
        "tokens.control.uri",
        ("tokens.primary", "allow_shared_token"),
    ),
    Case(
        "token twice",
        "",
        f'[tokens.again]\nuri = "{URI}"\npin_file = "b.pin"',
        "tokens.again.uri",
        ("lanes",),
    ),
    # -- nodes
    Case("unknown chain", 'chain = "local"', 'chain = "lokal"', "nodes.a.chain", ('did you mean "local"',)),
    Case(
        "margin too wide",
        'chain = "local"',
        'chain = "local"\nmargin_ms = 5',
        "nodes.a.margin_ms",
        ("no time",),
    ),
    Case("node without key", "", '[nodes.b]\nchain = "local"', "nodes.b", ("has no key", 'role = "block"')),
    Case("node without listener", "", '[nodes.b]\nchain = "local"', "nodes.b", ("has no listener",)),
    # -- listeners
    Case("no address", "", listener('kind = "wallet"'), "listeners[2]", ("exactly one of unix and tcp",)),
    Case(
        "both addresses",
        'unix = "run/a/sign.sock"',
        'unix = "a"\ntcp = "127.0.0.1:1"',
        "listeners[0]",
        ("both",),
    ),
    Case(
        "host name",
        'unix = "run/a/sign.sock"',
        'tcp = "localhost:8900"',
        "listeners[0].tcp",
        ("localhost", "host names are refused", "main thread", "127.0.0.1:8900"),
    ),
    Case("no port", 'unix = "run/a/sign.sock"', 'tcp = "127.0.0.1"', "listeners[0].tcp", ("ADDRESS:PORT",)),
    Case("port 0", 'unix = "run/a/sign.sock"', 'tcp = "127.0.0.1:0"', "listeners[0].tcp", ("1 to 65535",)),
    Case("port 65536", 'unix = "run/a/sign.sock"', 'tcp = "127.0.0.1:65536"', "listeners[0].tcp", ("65535",)),
    Case("zone", 'unix = "run/a/sign.sock"', 'tcp = "[fe80::1%eth0]:1"', "listeners[0].tcp", ("zone",)),
    Case("tcp is a number", 'unix = "run/a/sign.sock"', "tcp = 8900", "listeners[0].tcp", ("ADDRESS:PORT",)),
    Case(
        "beyond loopback",
        'unix = "run/a/sign.sock"',
        'tcp = "10.0.0.1:8900"',
        "listeners[0].tcp",
        ("other machines", "expose_beyond_loopback = true"),
    ),
    Case(
        "any address", 'unix = "run/a/sign.sock"', 'tcp = "[::]:8900"', "listeners[0].tcp", ("expose_beyond",)
    ),
    Case(
        "wallet on TCP",
        "",
        listener('kind = "wallet"\ntcp = "127.0.0.1:1"'),
        "listeners[2].tcp",
        ("allow_wallet_on_tcp = true",),
    ),
    Case(
        "wallet beyond loopback",
        "",
        listener('kind = "wallet"\ntcp = "10.0.0.1:1"\nallow_wallet_on_tcp = true'),
        "listeners[2].tcp",
        ("use 127.0.0.1",),
    ),
    Case(
        "control beyond loopback",
        "",
        listener('kind = "control"\ntcp = "10.0.0.1:1"'),
        "listeners[2].tcp",
        ("use 127.0.0.1", "tls_certificate and tls_key"),
    ),
    Case(
        "control on every address",
        "",
        listener('kind = "control"\ntcp = "0.0.0.0:1"'),
        "listeners[2].tcp",
        ("in the clear",),
    ),
    Case(
        "certificate without key",
        "",
        listener('kind = "control"\ntcp = "10.0.0.1:1"\ntls_certificate = "c"'),
        "listeners[2].tls_key",
        ("missing beside tls_certificate",),
    ),
    Case(
        "key without certificate",
        "",
        listener('kind = "control"\ntcp = "127.0.0.1:1"\ntls_key = "k"'),
        "listeners[2].tls_certificate",
        ("missing beside tls_key",),
    ),
    Case(
        "client certificates without TLS",
        "",
        listener('kind = "control"\ntcp = "127.0.0.1:1"\ntls_client_ca = "c"'),
        "listeners[2].tls_client_ca",
        ("in TLS only",),
    ),
    Case(
        "client certificates of a node",
        'unix = "run/a/sign.sock"',
        'tcp = "127.0.0.1:1"\ntls_client_ca = "c"',
        "listeners[0].tls_client_ca",
        ('kind "control"',),
    ),
    Case(
        "TLS on a unix socket",
        "",
        listener('kind = "control"\nunix = "c.sock"\ntls_certificate = "c"\ntls_key = "k"'),
        "listeners[2].tls_certificate",
        ("is for TCP",),
    ),
    Case(
        "names of a unix socket",
        "",
        listener('kind = "control"\nunix = "c.sock"\nnames = ["a"]'),
        "listeners[2].names",
        ("is for TCP",),
    ),
    Case(
        "TLS for a node",
        'unix = "run/a/sign.sock"',
        'tcp = "127.0.0.1:1"\ntls_certificate = "c"\ntls_key = "k"',
        "listeners[0].tls_certificate",
        ('kind "control"',),
    ),
    Case(
        "a name that is none",
        "",
        listener('kind = "control"\ntcp = "127.0.0.1:1"\nnames = ["Signer.example"]'),
        "listeners[2].names[0]",
        ("lower-case",),
    ),
    Case(
        "peers on TCP with TLS",
        "",
        listener('kind = "control"\ntcp = "10.0.0.1:1"\ntls_certificate = "c"\ntls_key = "k"\npeers = [0]'),
        "listeners[2].peers",
        ("unix sockets",),
    ),
    Case(
        "expose a control listener",
        "",
        listener('kind = "control"\ntcp = "10.0.0.1:1"\nexpose_beyond_loopback = true'),
        "listeners[2].expose_beyond_loopback",
        ("remove this line",),
    ),
    Case(
        "admin on TCP", 'unix = "run/admin.sock"', 'tcp = "127.0.0.1:1"', "listeners[1].tcp", ("unix socket",)
    ),
    Case("no admin", 'kind = "admin"', 'kind = "control"', "listeners", ('no listener of kind "admin"',)),
    Case("two admins", "", listener('kind = "admin"\nunix = "b.sock"'), "listeners[2].kind", ("keep one",)),
    Case(
        "socket twice",
        'unix = "run/admin.sock"',
        'unix = "run/../run/a/sign.sock"',
        "listeners[1].unix",
        ("socket of listeners[0]",),
    ),
    Case(
        "port twice",
        'unix = "run/a/sign.sock"',
        'tcp = "127.0.0.1:1"\n[[listeners]]\nkind = "control"\ntcp = "127.0.0.1:1"',
        "listeners[1].tcp",
        ("collides", "listeners[0]"),
    ),
    Case(
        "port under any address",
        'unix = "run/a/sign.sock"',
        'tcp = "0.0.0.0:1"\nexpose_beyond_loopback = true\n'
        '[[listeners]]\nkind = "control"\ntcp = "127.0.0.1:1"',
        "listeners[1].tcp",
        ("collides",),
    ),
    Case(
        "long socket", '"run/admin.sock"', '"/' + "x" * 107 + '"', "listeners[1].unix", ("108 bytes", "107")
    ),
    Case("node listener without node", 'node = "a"\nunix', "unix", "listeners[0].node", ("is missing",)),
    Case("unknown node", 'node = "a"\nunix', 'node = "aa"\nunix', "listeners[0].node", ('did you mean "a"',)),
    Case(
        "admin of a node",
        'unix = "run/admin.sock"',
        'unix = "b"\nnode = "a"',
        "listeners[1].node",
        ("no node",),
    ),
    Case(
        "owner on TCP",
        'unix = "run/a/sign.sock"',
        'tcp = "127.0.0.1:1"\nowner = "me"',
        "listeners[0].owner",
        ("unix sockets",),
    ),
    Case(
        "group on TCP",
        'unix = "run/a/sign.sock"',
        'tcp = "127.0.0.1:1"\ngroup = "me"',
        "listeners[0].group",
        ("unix sockets",),
    ),
    Case(
        "peers on TCP",
        'unix = "run/a/sign.sock"',
        'tcp = "127.0.0.1:1"\npeers = [1]',
        "listeners[0].peers",
        ("unix sockets",),
    ),
    Case(
        "expose a unix socket",
        '"run/admin.sock"',
        '"b"\nexpose_beyond_loopback = true',
        "listeners[1].expose_beyond_loopback",
        ("remove this line",),
    ),
    Case(
        "wallet word on a unix socket",
        '"run/admin.sock"',
        '"b"\nallow_wallet_on_tcp = true',
        "listeners[1].allow_wallet_on_tcp",
        ("remove this line",),
    ),
    Case(
        "wallet word on a node",
        'unix = "run/a/sign.sock"',
        'tcp = "127.0.0.1:1"\nallow_wallet_on_tcp = true',
        "listeners[0].allow_wallet_on_tcp",
        ('kind "wallet"',),
    ),
    # -- keys
    Case("not a key", R1, "PUB_R1_abc", "keys[0].public_key", ("not a public key", "PUB_K1_")),
    Case("key is a number", f'"{R1}"', "1", "keys[0].public_key", ("not text",)),
    Case(
        "unknown token", 'token = "primary"', 'token = "primry"', "keys[0].token", ('did you mean "primary"',)
    ),
    Case(
        "block key without node",
        'role = "block"\nnode = "a"',
        'role = "block"',
        "keys[0].node",
        ("is missing",),
    ),
    Case(
        "block key of unknown node",
        'role = "block"\nnode = "a"',
        'role = "block"\nnode = "x"',
        "keys[0].node",
        ("no [nodes.x]", "known are: a"),
    ),
    Case(
        "block key of another chain",
        'role = "block"',
        'role = "block"\nchain = "other"',
        "keys[0].chain",
        ("not the chain of nodes.a", "one chain"),
    ),
    Case(
        "account key with node",
        "",
        key(public_key=K1, role="account", node="a", token="primary", label="x"),
        "keys[1].node",
        ('role "block"', "remove this line"),
    ),
    Case(
        "account key without chain",
        "",
        key(public_key=K1, role="account", token="primary", label="x"),
        "keys[1].chain",
        ("is missing", "one chain"),
    ),
    Case(
        "account key of unknown chain",
        "",
        key(public_key=K1, role="account", chain="lcoal", token="primary", label="x"),
        "keys[1].chain",
        ('did you mean "local"',),
    ),
    Case(
        "probe key with chain",
        "",
        key(public_key=K1, role="probe", chain="local", token="primary", label="x"),
        "keys[1].chain",
        ("no chain", "remove this line"),
    ),
    Case(
        "rotation key in a block token",
        "",
        key(public_key=K1, role="rotation", chain="local", token="primary", label="x"),
        "keys[1].token",
        ('purpose "block"', 'needs purpose "control"', "allow_shared_token"),
    ),
    Case(
        "audit key in a block token",
        "",
        key(public_key=K1, role="audit", token="primary", label="x"),
        "keys[1].token",
        ('needs purpose "control"',),
    ),
    Case(
        "block key in a control token",
        "pin_file",
        'purpose = "control"\npin_file',
        "keys[0].token",
        ('needs purpose "block"',),
    ),
    Case(
        "key of two nodes",
        "",
        NODE_B.format(chain="local", key=R1),
        "keys[1].public_key",
        (R1, 'node "a"', 'node "b"', "two blocks for one slot"),
    ),
    Case(
        "key on two chains",
        "",
        CHAIN + key(public_key=R1, role="account", chain="other", token="primary", label="x"),
        "keys[1].public_key",
        ('chain "local" in keys[0]', '"other" here'),
    ),
    Case(
        "key twice",
        "",
        key(public_key=R1, role="block", node="a", token="primary", label="x"),
        "keys[1].public_key",
        ("listed in keys[0] already", "remove one"),
    ),
    Case(
        "key twice in two forms",
        "",
        key(public_key=K1, role="block", node="a", token="primary", label="x")
        + key(public_key=K1_PUB, role="block", node="a", token="primary", label="y"),
        "keys[2].public_key",
        ("listed in keys[1] already",),
    ),
    Case(
        "label twice",
        "",
        key(public_key=K1, role="block", node="a", token="primary", label="r1-1"),
        "keys[1].label",
        ("label of keys[0]", "different id"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_breaks_a_rule_is_refused_with_file_key_and_remedy(
    case: Case, valid_text: str, load: Load, tmp_path: Path
) -> None:
    """The message names the file and the key, and has the words that tell what is right."""
    if case.old:
        assert valid_text.count(case.old) == 1, f"ambiguous: {case.old}"
        text = valid_text.replace(case.old, case.new)
    elif case.new.startswith("limits"):
        text = f"{case.new}\n{valid_text}"
    else:
        text = f"{valid_text}\n{case.new}\n"

    with pytest.raises(ConfigError) as caught:
        load(text)

    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{tmp_path}/signer.toml: ") for line in lines)
    ours = [line for line in lines if line.startswith(f"{tmp_path}/signer.toml: {case.key}")]
    assert any(all(word in line for word in case.words) for line in ours), lines


def test_every_fault_is_told_at_once(valid_text: str, load: Load) -> None:
    """Two faults give two lines."""
    text = valid_text.replace('token = "primary"', 'token = "x"').replace('chain = "local"', 'chain = "y"')

    with pytest.raises(ConfigError) as caught:
        load(text)

    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("old", "new", "secret"),
    [
        ('pin_file = "pins/primary.pin"', 'pin = "98765432"', "98765432"),
        ('pin_file = "pins/primary.pin"', "pin_file = 98765432", "98765432"),
        ("?module-path", "?pin-value=98765432&module-path", "98765432"),
        ('pin_file = "pins/primary.pin"', 'pin_file = "x"\nenvironment = { PIN = "987\\t65432" }', "65432"),
        (R1, "PVT_R1_iyQmnyPEGvFd8uffnk152WC2WryBjgTrg22fXQryuGL9mU6qW", "iyQmnyPEGv"),
        ('pin_file = "pins/primary.pin"', 'pin_file = "98765432', "98765432"),
    ],
)
def test_no_message_repeats_what_could_be_a_secret(
    old: str, new: str, secret: str, valid_text: str, load: Load
) -> None:
    """PINs and private keys in a wrong place stay out of messages."""
    assert valid_text.count(old) == 1

    with pytest.raises(ConfigError) as caught:
        load(valid_text.replace(old, new))

    assert secret not in str(caught.value)
    assert secret not in repr(caught.value.__context__ and str(caught.value.__context__))


def test_a_file_that_is_no_toml_is_refused_with_its_line(load: Load, tmp_path: Path) -> None:
    """A syntax error names the line."""
    with pytest.raises(ConfigError, match=r"signer\.toml: is not TOML: .*line 2"):
        load('state_dir = "x"\nchains = = 3\n')


def test_a_file_that_is_not_utf8_is_refused_with_its_line(load: Load, tmp_path: Path) -> None:
    """An encoding error names the line."""
    path = tmp_path / "latin.toml"
    path.write_bytes(b'a = "x"\nb = "\xe9"\n')

    with pytest.raises(ConfigError, match=r"line 2: is not UTF-8"):
        config_file.load(path)


def test_a_file_that_is_not_there_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """An absent file is named."""
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: .*--config"):
        config_file.load(tmp_path / "absent.toml")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder in the file's place is named."""
    with pytest.raises(ConfigError, match="cannot be read"):
        config_file.load(tmp_path)


def test_a_file_that_does_not_end_is_refused() -> None:
    """Reading ends, whatever the file is."""
    with pytest.raises(ConfigError, match="larger than"):
        config_file.load(Path("/dev/zero"))


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "{b = " * 5000, "[a" + ".a" * 5000 + "]"])
def test_deep_nesting_is_refused(text: str, load: Load) -> None:
    """A file that would exhaust the stack is an ordinary refusal."""
    with pytest.raises(ConfigError):
        load(text)
