"""The text around keys and signatures: a prefix, then base58 of the bytes and four checksum bytes.

Guarantees that a text has exactly one form: what `decode` accepts, `encode` gives back character for
character. Leaves the meaning of the bytes to keys.py and signature.py. Error messages never repeat the text:
a person may have pasted a private key where a public one belongs.

Source: Leap libraries/libfc/include/fc/crypto/common.hpp:10-25,89-113 (checksum over the bytes and the
curve's name; the legacy EOS form leaves the name out).
"""

from __future__ import annotations

import hashlib
from typing import Final

import base58

from signer.errors import FormatError, SigningError

#: Bitcoin's alphabet, without 0, O, I and l. fc has the same in libraries/libfc/src/crypto/base58.cpp.
_ALPHABET: Final = frozenset(base58.BITCOIN_ALPHABET.decode("ascii"))

#: Bytes of RIPEMD-160 that follow the payload (common.hpp:10-25).
_CHECKSUM_SIZE: Final = 4


def encode(payload: bytes, suffix: bytes) -> str:
    """The base58 text, without prefix, of `payload` and its checksum.

    Args:
        payload: what the text carries (bytes, any length).
        suffix: the curve's name as the checksum sees it: `b"K1"`, `b"R1"`, or `b""` for the legacy form.

    Raises:
        SigningError: the OpenSSL behind Python has no RIPEMD-160.
    """
    return base58.b58encode(payload + checksum(payload, suffix)).decode("ascii")


def decode(text: str, suffix: bytes, size: int) -> bytes:
    """The payload (bytes, `size`) of a base58 text without its prefix.

    Args:
        text: base58 of the payload and its checksum, nothing around it.
        suffix: as for `encode`.
        size: the exact length of the payload in bytes.

    Raises:
        FormatError: a character outside the alphabet, another length, or a wrong checksum.
        SigningError: the OpenSSL behind Python has no RIPEMD-160.
    """
    total = size + _CHECKSUM_SIZE
    # Base58 takes at most 1.37 characters per byte: anything longer is refused before the quadratic decoding.
    if not text or len(text) > total * 137 // 100 + 1:
        raise FormatError(f"has {len(text)} characters after its prefix: {total} bytes of base58 do not")
    # The base58 package drops trailing white space by itself, so the alphabet is checked here.
    if not _ALPHABET.issuperset(text):
        raise FormatError("has a character that is not base58 (no 0, O, I, l, no space, ASCII only)")
    raw = base58.b58decode(text)
    if len(raw) != total:
        raise FormatError(f"has {len(raw)} bytes with its checksum, not {total}: is it cut off?")
    payload = raw[:size]
    if raw[size:] != checksum(payload, suffix):
        raise FormatError("has a wrong checksum: it was mistyped, or its prefix names another curve")
    return payload


def checksum(payload: bytes, suffix: bytes) -> bytes:
    """The four bytes that follow `payload` in every text form of a key.

    Args:
        payload: what the text carries (bytes, any length).
        suffix: as for `encode`.

    Raises:
        SigningError: the OpenSSL behind Python has no RIPEMD-160.
    """
    try:
        digest = hashlib.new("ripemd160", payload + suffix, usedforsecurity=False)
    except ValueError as error:
        raise SigningError(
            "this OpenSSL offers no RIPEMD-160, which every Antelope key and signature text needs: "
            "use OpenSSL 3.0.7 or later, or activate its legacy provider in openssl.cnf",
        ) from error
    return digest.digest()[:_CHECKSUM_SIZE]
