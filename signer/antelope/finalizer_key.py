"""The text of a finalizer key of a Savanna chain: `PUB_BLS_` and base64url.

Guarantees that a text which `parse_finalizer_key` accepts is whole: nodeos and the system contract read it,
and write the same characters. Does no BLS arithmetic: whether the point is on its curve, and whether the key
is registered, is for the chain to say.

Source: Spring libraries/libfc/src/crypto/bls_public_key.cpp and libraries/libfc/include/fc/crypto/bls_common.hpp.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from signer.antelope import base58check
from signer.errors import FormatError

_PREFIX: Final = "PUB_BLS_"
#: An affine point of G1 (96 bytes) and its checksum (4 bytes), in base64url without padding.
_POINT_SIZE: Final = 96
_FORM: Final = re.compile(_PREFIX + r"[A-Za-z0-9_-]{134}", re.ASCII)


def parse_finalizer_key(text: object) -> str:
    """`text`, which is a finalizer key with nothing around it.

    Raises:
        FormatError: anything else. The message does not repeat the text.
        SigningError: the OpenSSL behind Python has no RIPEMD-160.
    """
    if not isinstance(text, str):
        raise FormatError(f"a finalizer key is a string, not {type(text).__name__}")
    if not _FORM.fullmatch(text):
        raise FormatError("a finalizer key is PUB_BLS_ followed by 134 characters of base64url")
    encoded = text.removeprefix(_PREFIX)
    raw = base64.urlsafe_b64decode(encoded + "==")
    # The last character has four bits that stand for nothing: only zeros there are what nodeos writes.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") != encoded:
        raise FormatError("the last character of the finalizer key is another one in nodeos' form")
    if raw[_POINT_SIZE:] != base58check.checksum(raw[:_POINT_SIZE], b""):
        raise FormatError("the finalizer key has a wrong checksum: it was mistyped")
    return text
