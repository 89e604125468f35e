"""Signatures in the compact form of Antelope: one header byte, r, s.

Guarantees that a `Signature` has a header that nodeos reads and 1 <= r, s < n. Says nothing about whether it
verifies: that is recovery.py. The null signature of a genesis block (65 zero bytes) is therefore refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from signer.antelope import base58check
from signer.antelope.keys import Curve
from signer.errors import FormatError

#: n, the number of points. SEC 2 version 2.0: section 2.4.1 (secp256k1) and section 2.4.2 (secp256r1).
GROUP_ORDER: Final = {
    Curve.K1: 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141,
    Curve.R1: 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551,
}

#: Bytes of r || s, as PKCS#11 CKM_ECDSA returns them.
RS_SIZE: Final = 64
_COMPACT_SIZE: Final = 65

#: Header byte: 27, plus 4 for a compressed key, plus the recovery id (Leap libfc elliptic_r1.cpp:136-183).
_HEADER_BASE: Final = 27
_HEADER_COMPRESSED: Final = 4
_RECOVERY_IDS: Final = range(4)
#: What nodeos reads: with and without the 4 (libfc elliptic_secp256k1.cpp:150-170; elliptic_r1.cpp alike).
_HEADERS: Final = range(27, 35)

_PREFIXES: Final = {f"SIG_{curve}_": curve for curve in Curve}


@dataclass(frozen=True, slots=True)
class Signature:
    """A recoverable ECDSA signature.

    Attributes:
        curve: K1 or R1.
        data: header, r, s, both big-endian (bytes, 65).

    Raises:
        FormatError: another length, a header outside 27..34, or r or s outside 1..n-1.
    """

    curve: Curve
    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) != _COMPACT_SIZE:
            raise FormatError(f"signature has {len(self.data)} bytes, not {_COMPACT_SIZE}")
        if self.data[0] not in _HEADERS:
            raise FormatError(f"signature header byte is {self.data[0]}, not 27 to 34")
        split(self.curve, self.data[1:])

    @classmethod
    def parse(cls, text: object) -> Signature:
        """The signature that `text` is: `SIG_K1_...` or `SIG_R1_...`, with nothing around it.

        Raises:
            FormatError: anything else.
        """
        if not isinstance(text, str):
            raise FormatError(f"a signature is a string, not {type(text).__name__}")
        for prefix, curve in _PREFIXES.items():
            if text.startswith(prefix):
                return cls(curve, _decode(text.removeprefix(prefix), curve.encode()))
        if text.startswith("SIG_WA_"):
            # Peers drop a connection that sends one in a block (Spring net_plugin.cpp:3203-3216).
            raise FormatError("a WebAuthn signature (SIG_WA_) cannot sign a block: SIG_K1_ or SIG_R1_ can")
        raise FormatError("a signature starts with SIG_K1_ or SIG_R1_")

    @property
    def recovery_id(self) -> int:
        """0 to 3: bit 0 is the parity of R's y, bit 1 says that R's x is r + n (SEC 1 section 4.1.6)."""
        return (self.data[0] - _HEADER_BASE) % len(_RECOVERY_IDS)

    @property
    def rs(self) -> bytes:
        """`r || s` (bytes, 64)."""
        return self.data[1:]

    def __str__(self) -> str:
        return f"SIG_{self.curve}_{base58check.encode(self.data, self.curve.encode())}"


def compact(curve: Curve, rs: bytes, recovery_id: int) -> Signature:
    """The signature made of `rs` (r || s, bytes, 64) and a recovery id (0 to 3).

    Raises:
        FormatError: another length, r or s outside 1..n-1, or another recovery id.
    """
    if recovery_id not in _RECOVERY_IDS:
        raise FormatError(f"recovery id is {recovery_id}, not 0 to 3")
    return Signature(curve, bytes((_HEADER_BASE + _HEADER_COMPRESSED + recovery_id,)) + rs)


def split(curve: Curve, rs: bytes) -> tuple[int, int]:
    """The numbers r and s of `rs` (r || s, bytes, 64).

    Raises:
        FormatError: another length, or r or s outside 1..n-1 (SEC 1 section 4.1.4, step 1).
    """
    if len(rs) != RS_SIZE:
        raise FormatError(f"r || s has {len(rs)} bytes, not {RS_SIZE}")
    r, s = int.from_bytes(rs[:32]), int.from_bytes(rs[32:])
    _check_range(curve, r, s)
    return r, s


def low_s(curve: Curve, r: int, s: int) -> tuple[int, int]:
    """The same signature with s <= n/2: (r, s) or (r, n - s).

    Changes the parity of R, so the recovery id is looked for afterwards (Leap libfc elliptic_r1.cpp:136-183).

    Raises:
        FormatError: r or s outside 1..n-1.
    """
    _check_range(curve, r, s)
    return (r, s) if is_low_s(curve, s) else (r, GROUP_ORDER[curve] - s)


def is_low_s(curve: Curve, s: int) -> bool:
    """Whether s <= n/2, the rule that nodeos has for R1 (Leap libfc elliptic_r1.cpp:527-535)."""
    return s <= GROUP_ORDER[curve] // 2


def is_canonical_k1(rs: bytes) -> bool:
    """Whether nodeos takes `rs` (r || s, bytes, 64) in a K1 signature.

    True if r and s each fill 32 bytes of DER with no padding: their top bit is clear and their first nine
    bits are not all zero. Stricter than low s; about half of all low-s signatures have it. The bytes are
    counted here from 0; nodeos counts from 1, after the header (Leap
    libraries/libfc/src/crypto/elliptic_common.cpp:152-157).
    """
    return not (
        rs[0] & 0x80
        or (rs[0] == 0 and not rs[1] & 0x80)
        or rs[32] & 0x80
        or (rs[32] == 0 and not rs[33] & 0x80)
    )


def _check_range(curve: Curve, r: int, s: int) -> None:
    n = GROUP_ORDER[curve]
    if not 0 < r < n:
        raise FormatError(f"r of a {curve} signature is not within 1 and n - 1")
    if not 0 < s < n:
        raise FormatError(f"s of a {curve} signature is not within 1 and n - 1")


def _decode(text: str, suffix: bytes) -> bytes:
    try:
        return base58check.decode(text, suffix, _COMPACT_SIZE)
    except FormatError as error:
        raise FormatError(f"signature {error}") from None
