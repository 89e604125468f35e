"""A signer's configuration with two nodes of one producer, in memory: nothing of it need exist."""

from __future__ import annotations

import base64
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from signer.antelope.keys import Curve, PublicKey
from signer.config import Config

CHAIN_ID: Final = "aa" * 32
PRODUCER: Final = "bravo"


def public_key(number: int, curve: Curve = Curve.R1) -> PublicKey:
    """Return the public key of the private key `number`, which nobody should use."""
    group = ec.SECP256R1() if curve is Curve.R1 else ec.SECP256K1()
    point = ec.derive_private_key(number, group).public_key()
    return PublicKey(curve, point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint))


def finalizer_key(number: int) -> str:
    """Return a finalizer key of the right form (Spring bls_public_key.cpp); its point need not be on the curve."""
    point = number.to_bytes(96)
    checksum = hashlib.new("ripemd160", point).digest()[:4]
    return "PUB_BLS_" + base64.urlsafe_b64encode(point + checksum).rstrip(b"=").decode()


#: Block keys of the nodes a and b, the first of each K1; the rotation key here, and that of another signer.
A: Final = (public_key(1, Curve.K1), public_key(2), public_key(3))
B: Final = (public_key(11, Curve.K1), public_key(12), public_key(13))
ROTATION: Final = public_key(21)
OTHER_ROTATION: Final = public_key(22)


def text(*, folder: Path = Path("/srv/signer"), chain: str = "", node_a: str = "", node_b: str = "") -> str:
    """Return the file's text; `chain`, `node_a` and `node_b` are further lines of those tables."""
    keys = "".join(
        _key(key, 'role = "block"', f'node = "{node}"', "block")
        for node, ring in (("a", A), ("b", B))
        for key in ring
    )
    return f"""\
state_dir = "{folder}/state"

[chains.local]
id = "{CHAIN_ID}"
api = ["http://127.0.0.1:8888", "http://127.0.0.1:8889"]
producer = "{PRODUCER}"
other_rotation_keys = ["{OTHER_ROTATION}"]
{chain}

[tokens.block]
uri = "pkcs11:token=block?module-path=/usr/lib/softhsm/libsofthsm2.so"
pin_file = "{folder}/block.pin"

[tokens.control]
uri = "pkcs11:token=control?module-path=/usr/lib/softhsm/libsofthsm2.so"
pin_file = "{folder}/control.pin"
purpose = "control"

[nodes.a]
chain = "local"
timeout_ms = 7
{node_a}

[nodes.b]
chain = "local"
{node_b}

[[listeners]]
kind = "node"
node = "a"
tcp = "127.0.0.1:8901"

[[listeners]]
kind = "node"
node = "a"
unix = "{folder}/run/a.sock"

[[listeners]]
kind = "node"
node = "b"
tcp = "127.0.0.1:8902"

[[listeners]]
kind = "admin"
unix = "{folder}/run/admin.sock"

{keys}{_key(ROTATION, 'role = "rotation"', 'chain = "local"', "control")}"""


def config(*, chain: str = "", node_a: str = "", node_b: str = "") -> Config:
    """Return the configuration."""
    return Config.model_validate_json(
        json.dumps(tomllib.loads(text(chain=chain, node_a=node_a, node_b=node_b))),
        context={"folder": "/srv/signer"},
    )


def _key(key: PublicKey, role: str, owner: str, token: str) -> str:
    return f"""\
[[keys]]
public_key = "{key}"
{role}
{owner}
token = "{token}"
label = "{str(key)[-8:]}"

"""
