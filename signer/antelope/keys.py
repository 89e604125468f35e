"""Public keys and digests as Antelope writes them.

Guarantees that a `PublicKey` is a point on its curve, whatever made it, and that a `Digest` is 32 bytes.
Nothing here touches a private key. Making a new key takes about 0.1 ms (a power modulo p): on the way of a
request, look the text up in a table of `str(key)`, `key.fc` and `key.legacy` instead of parsing it.
"""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass
from typing import Final, NamedTuple, NewType

from signer.antelope import base58check
from signer.errors import FormatError

#: What is signed: 32 bytes. Made by `parse_digest` from anything that came from outside.
Digest = NewType("Digest", bytes)

_DIGEST_HEX: Final = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)


class Curve(enum.StrEnum):
    """The curves of block-signing keys. K1 is secp256k1, R1 is P-256 (secp256r1, prime256v1)."""

    K1 = "K1"
    R1 = "R1"


class _Field(NamedTuple):
    """y^2 = x^3 + a*x + b modulo p."""

    p: int
    a: int
    b: int


#: SEC 2 version 2.0: section 2.4.1 (secp256k1) and section 2.4.2 (secp256r1).
_FIELDS: Final = {
    Curve.K1: _Field(p=2**256 - 2**32 - 977, a=0, b=7),
    Curve.R1: _Field(
        p=2**256 - 2**224 + 2**192 + 2**96 - 1,
        a=-3,
        b=0x5AC635D8_AA3A93E7_B3EBBD55_769886BC_651D06B0_CC53B0F6_3BCE3C3E_27D2604B,
    ),
}

_COMPRESSED_SIZE: Final = 33
_UNCOMPRESSED_SIZE: Final = 65
#: First byte of an uncompressed point (SEC 1 section 2.3.3).
_UNCOMPRESSED: Final = 0x04
#: DER tag of an OCTET STRING (X.690 section 8.7).
_OCTET_STRING: Final = 0x04

#: Leap libraries/libfc/include/fc/crypto/public_key.hpp; the legacy prefix is K1 only (public_key.cpp:31-85).
_LEGACY_PREFIX: Final = "EOS"
_PREFIXES: Final = {f"PUB_{curve}_": curve for curve in Curve}


@dataclass(frozen=True)
class PublicKey:
    """A public key.

    Attributes:
        curve: K1 or R1.
        data: the compressed point (bytes, 33): 02 or 03, then X big-endian (SEC 1 section 2.3.3).

    Raises:
        FormatError: `data` is not a compressed point of the curve.
    """

    curve: Curve
    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) != _COMPRESSED_SIZE or self.data[0] not in (2, 3):
            raise FormatError(f"{self.curve} public key does not start with 02 or 03 followed by 32 bytes")
        if not _is_on(self.curve, self.data[1:]):
            raise FormatError(f"{self.curve} public key is not a point on its curve")

    @classmethod
    def parse(cls, text: object) -> PublicKey:
        """The key that `text` names: `EOS...`, `PUB_K1_...` or `PUB_R1_...`, with nothing around it.

        Raises:
            FormatError: anything else. The message does not repeat the text.
        """
        if not isinstance(text, str):
            raise FormatError(f"a public key is a string, not {type(text).__name__}")
        for prefix, curve in _PREFIXES.items():
            if text.startswith(prefix):
                return cls(curve, _decode(text.removeprefix(prefix), curve.encode()))
        if text.startswith(_LEGACY_PREFIX):
            return cls(Curve.K1, _decode(text.removeprefix(_LEGACY_PREFIX), b""))
        if text.startswith("PVT_"):
            raise FormatError("this is a private key: a public key starts with EOS, PUB_K1_ or PUB_R1_")
        raise FormatError("a public key starts with EOS, PUB_K1_ or PUB_R1_")

    @classmethod
    def from_ec_point(cls, curve: Curve, point: bytes) -> PublicKey:
        """The key in a PKCS#11 CKA_EC_POINT value.

        Args:
            curve: what CKA_EC_PARAMS says.
            point: 04 || X || Y (bytes, 65) or compressed (bytes, 33), bare or in a DER OCTET STRING. PKCS#11
                2.40 Current Mechanisms, section 2.3.3, asks for the wrapping; some tokens leave it out.

        Raises:
            FormatError: another length or form, or not a point on `curve`.
        """
        if len(point) in (_COMPRESSED_SIZE + 2, _UNCOMPRESSED_SIZE + 2):
            if point[:2] != bytes((_OCTET_STRING, len(point) - 2)):
                raise FormatError("EC point is neither bare nor a DER OCTET STRING")
            point = point[2:]
        if len(point) == _COMPRESSED_SIZE:
            return cls(curve, bytes(point))
        if len(point) != _UNCOMPRESSED_SIZE or point[0] != _UNCOMPRESSED:
            raise FormatError(f"EC point of {len(point)} bytes is neither compressed (33) nor 04, X, Y (65)")
        p, a, b = _FIELDS[curve]
        x, y = int.from_bytes(point[1:33]), int.from_bytes(point[33:])
        if x >= p or y >= p or (y * y - (x * x * x + a * x + b)) % p:
            raise FormatError(f"EC point is not on {curve}")
        return cls(curve, bytes((2 | y & 1,)) + point[1:33])

    @functools.cached_property
    def legacy(self) -> str | None:
        """The `EOS...` form, which only K1 has."""
        if self.curve is not Curve.K1:
            return None
        return _LEGACY_PREFIX + base58check.encode(self.data, b"")

    @property
    def fc(self) -> str:
        """What nodeos, cleos and keosd print: `EOS...` for K1, `PUB_R1_...` for R1 (public_key.cpp:75-85)."""
        return self.legacy or str(self)

    def __str__(self) -> str:
        return f"PUB_{self.curve}_{base58check.encode(self.data, self.curve.encode())}"

    def __lt__(self, other: PublicKey) -> bool:
        """The order of keosd's get_public_keys: the curve, then the bytes."""
        return (self.curve, self.data) < (other.curve, other.data)


def parse_digest(text: object) -> Digest:
    """The digest in exactly 64 hexadecimal digits, upper or lower case.

    keosd pads a short text and cuts a long one (Leap libraries/libfc/src/variant.cpp:748-758): not here.

    Raises:
        FormatError: anything else.
    """
    if not isinstance(text, str):
        raise FormatError(f"a digest is a string of 64 hexadecimal digits, not {type(text).__name__}")
    if not _DIGEST_HEX.fullmatch(text):
        raise FormatError(f"a digest is 64 hexadecimal digits; this text of {len(text)} characters is not")
    return Digest(bytes.fromhex(text))


@functools.lru_cache(maxsize=256)  # who reads the data of an action makes each key of it twice
def _is_on(curve: Curve, x_octets: bytes) -> bool:
    """Whether a point of the curve has this X."""
    p, a, b = _FIELDS[curve]
    x = int.from_bytes(x_octets)
    # Euler's criterion. No point has y = 0: both groups have odd order.
    return x < p and pow(x * x * x + a * x + b, (p - 1) // 2, p) == 1


def _decode(text: str, suffix: bytes) -> bytes:
    try:
        return base58check.decode(text, suffix, _COMPRESSED_SIZE)
    except FormatError as error:
        raise FormatError(f"public key {error}") from None
