"""What a lane must know of a signature's numbers: low s, and whether nodeos takes a K1 signature."""

from __future__ import annotations

from typing import Final

#: Group orders n: SEC 2 v2, sections 2.4.1 (secp256k1) and 2.4.2 (secp256r1, also prime256v1).
ORDERS: Final = {
    "secp256k1": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
    "prime256v1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
}
_HALF: Final = {curve: order // 2 for curve, order in ORDERS.items()}
_TOP_BIT: Final = 0x80


def low_s(curve: str, rs: bytes) -> bytes:
    """Return r || s (bytes, 64) with the lower of s and n - s (nodeos: elliptic_r1.cpp:527-535)."""
    s = int.from_bytes(rs[32:], "big")
    if s <= _HALF[curve]:
        return rs
    return rs[:32] + (ORDERS[curve] - s).to_bytes(32, "big")


def is_canonical(rs: bytes) -> bool:
    """Return whether r and s have 32 bytes with the top bit clear and no superfluous zero.

    nodeos: libfc elliptic_common.cpp:152-157. Stricter than low s: r counts too.
    """
    return (
        rs[0] < _TOP_BIT
        and rs[32] < _TOP_BIT
        and (rs[0] != 0 or rs[1] >= _TOP_BIT)
        and (rs[32] != 0 or rs[33] >= _TOP_BIT)
    )
