"""Keys and signatures as text, written for the tests alone: the signer's own formats do not judge themselves.

Form: base58 of payload and checksum; the checksum is the first 4 bytes of RIPEMD-160 over payload and, but
for `EOS...`, the curve's name (libfc crypto/common.hpp:10-25, public_key.cpp:31-85, signature.cpp:19-61).
Verification by the `ecdsa` package.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import base58
import ecdsa
from ecdsa.util import sigdecode_string

if TYPE_CHECKING:
    from rig.keypair import Curve

_CURVES = {"k1": ecdsa.SECP256k1, "r1": ecdsa.NIST256p}


def _checksum(payload: bytes, suffix: str) -> bytes:
    return hashlib.new("ripemd160", payload + suffix.encode()).digest()[:4]


def _decode(text: str, suffix: str) -> bytes:
    raw = base58.b58decode(text)
    payload, checksum = raw[:-4], raw[-4:]
    assert checksum == _checksum(payload, suffix), f"bad checksum: {text}"
    return bytes(payload)


def public_key_text(curve: Curve, point: bytes, *, legacy: bool = False) -> str:
    """Return a compressed point (bytes, 33) as `PUB_K1_...`, `PUB_R1_...` or, `legacy`, as `EOS...`."""
    suffix = "" if legacy else curve.upper()
    prefix = "EOS" if legacy else f"PUB_{suffix}_"
    return prefix + base58.b58encode(point + _checksum(point, suffix)).decode()


def public_key_point(text: str) -> tuple[Curve, bytes]:
    """Return the curve and the compressed point (bytes, 33) of a key in any spelling."""
    if text.startswith("PUB_R1_"):
        return "r1", _decode(text.removeprefix("PUB_R1_"), "R1")
    if text.startswith("PUB_K1_"):
        return "k1", _decode(text.removeprefix("PUB_K1_"), "K1")
    return "k1", _decode(text.removeprefix("EOS"), "")


def public_key_hex_text(curve: Curve, hexadecimal: str) -> str:
    """Return a point in hex, compressed or not, as `PUB_...`."""
    key = ecdsa.VerifyingKey.from_string(bytes.fromhex(hexadecimal), curve=_CURVES[curve])
    return public_key_text(curve, key.to_string("compressed"))


def signer_of(signature: str, digest: bytes) -> str:
    """Return the key that made `signature` over `digest` (bytes, 32), as `PUB_...`.

    The recovery id in the signature chooses among the candidates, so a wrong one gives another key.

    Raises:
        AssertionError: the form is wrong, or the signature is not canonical as nodeos demands.
    """
    curve: Curve = "r1" if signature.startswith("SIG_R1_") else "k1"
    name = curve.upper()
    assert signature.startswith(f"SIG_{name}_"), signature
    raw = _decode(signature.removeprefix(f"SIG_{name}_"), name)
    assert len(raw) == 65, signature
    header, r, s = raw[0], raw[1:33], raw[33:]
    assert 31 <= header <= 34, f"header byte {header}: {signature}"
    order = _CURVES[curve].order
    assert int.from_bytes(s) <= order // 2, f"high s: {signature}"
    if curve == "k1":
        # elliptic_common.cpp:152-157: neither r nor s may need padding or be padded.
        assert r[0] < 0x80, f"not canonical: {signature}"
        assert not (r[0] == 0 and r[1] < 0x80), f"not canonical: {signature}"
        assert not (s[0] == 0 and s[1] < 0x80), f"not canonical: {signature}"
    candidates = ecdsa.VerifyingKey.from_public_key_recovery_with_digest(
        r + s, digest, curve=_CURVES[curve], sigdecode=sigdecode_string
    )
    # SEC1 4.1.6: the recovery id's low bit is the parity of R's y. R = s^-1 (e G + r Q).
    for key in candidates:
        inverse = pow(int.from_bytes(s), -1, order)
        point = _CURVES[curve].generator * (int.from_bytes(digest) * inverse % order) + key.pubkey.point * (
            int.from_bytes(r) * inverse % order
        )
        if point.y() & 1 == (header - 31) & 1:
            return public_key_text(curve, key.to_string("compressed"))
    raise AssertionError(f"no key for recovery id {header - 31}: {signature}")
