"""Public keys as PKCS#11 tells them: a named curve and a point. Pure.

Antelope's text forms are not known here; hsm gives the curve's name and the point's bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Curve = Literal["secp256k1", "prime256v1"]

#: DER of the curve's object identifier, as CKA_EC_PARAMS holds it (SEC 2 section A.2.1; RFC 5480 2.1.1.1).
EC_PARAMS: Final[dict[Curve, bytes]] = {
    "secp256k1": bytes.fromhex("06052b8104000a"),
    "prime256v1": bytes.fromhex("06082a8648ce3d030107"),
}

#: p, a and b of y^2 = x^3 + a x + b (SEC 2 version 2, sections 2.4.1 and 2.4.2). Both p are 3 modulo 4.
_DOMAIN: Final[dict[Curve, tuple[int, int, int]]] = {
    "secp256k1": (2**256 - 2**32 - 977, 0, 7),
    "prime256v1": (
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        -3,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
}

_DER_OCTET_STRING: Final = 0x04
_COMPRESSED_BYTES: Final = 33
_UNCOMPRESSED_BYTES: Final = 65


@dataclass(frozen=True, slots=True)
class PublicPoint:
    """A public key: a point that is on its curve. Made by `parse_point`.

    Attributes:
        curve: "secp256k1" (K1) or "prime256v1" (R1).
        compressed: 02 or 03 and x: bytes, 33.
        uncompressed: 04, x and y: bytes, 65.
    """

    curve: Curve
    compressed: bytes
    uncompressed: bytes


def parse_curve(ec_params: bytes) -> Curve:
    """Return the curve that CKA_EC_PARAMS names.

    Raises:
        ValueError: it names another curve or spells out its parameters.
    """
    for curve, der in EC_PARAMS.items():
        if der == ec_params:
            return curve
    raise ValueError(f"the curve is neither secp256k1 nor prime256v1 (CKA_EC_PARAMS {ec_params.hex()[:40]})")


def parse_point(curve: Curve, ec_point: bytes) -> PublicPoint:
    """Return the point in `ec_point`.

    Args:
        curve: the curve it must be on.
        ec_point: a point of 33 or 65 bytes, bare or in a DER OCTET STRING. The mechanisms of PKCS#11 2.40,
            section 2.3.3, ask for the OCTET STRING; some modules leave it out. The four lengths differ, so
            the two are never confused.

    Raises:
        ValueError: it has another form, or is not on the curve.
    """
    raw = ec_point
    length = len(raw) - 2
    if length in {_COMPRESSED_BYTES, _UNCOMPRESSED_BYTES} and raw[:2] == bytes((_DER_OCTET_STRING, length)):
        raw = raw[2:]
    p, a, b = _DOMAIN[curve]
    head, x = raw[:1], int.from_bytes(raw[1:33], "big")
    square = (x * x * x + a * x + b) % p
    if len(raw) == _UNCOMPRESSED_BYTES and head == b"\x04":
        y = int.from_bytes(raw[33:], "big")
    elif len(raw) == _COMPRESSED_BYTES and head in {b"\x02", b"\x03"}:
        y = pow(square, (p + 1) // 4, p)
        if y & 1 != head[0] & 1:
            y = p - y
    else:
        raise ValueError(f"{len(ec_point)} bytes are not a point of 33 or 65 bytes")
    if x >= p or y >= p or y * y % p != square:
        raise ValueError(f"the point is not on {curve}")
    tail = x.to_bytes(32, "big")
    return PublicPoint(curve, bytes((2 + (y & 1),)) + tail, b"\x04" + tail + y.to_bytes(32, "big"))
