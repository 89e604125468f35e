"""The body of sign_digest: bytes in, digest and key text out, or keosd's error.

keosd's body rules: http_plugin.hpp:190-237 (what counts as no body) and wallet_api_plugin.cpp:39-77 (arity is
checked inside parse_params and gives 400, conversions run outside and give 500). Stricter than keosd on purpose:
a digest is exactly 64 hex digits, where keosd pads and truncates (sha256.cpp:210-219), and JSON is JSON.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from signer.antelope.keys import Digest, parse_digest
from signer.errors import FormatError
from signer.signing import envelope
from signer.signing.envelope import as_keosd

if TYPE_CHECKING:
    from signer.signing.envelope import FaultError

#: sign_digest takes [digest, public key].
_ARITY = 2
#: Bytes. A request has some 130, and is as long as this only by blanks. What is longer is not parsed: JSON of 64 kB
#: takes 0.7 to 1.7 ms of the event loop, and 100 of those a second made others' signatures late (deploy/figures.md).
_MAX_BYTES = 1024
_HEX = re.compile("[0-9a-fA-F]*")


def parse(body: bytes) -> tuple[Digest, str]:
    """Return the digest (bytes, 32) and the key as the caller wrote it.

    Raises:
        FaultError: keosd's error for such a body.
    """
    text = body.strip(b" \t\r\n")
    if text in (b"", b"{}"):
        raise as_keosd(envelope.INVALID_REQUEST, "A Request body is required")
    if len(text) > _MAX_BYTES:
        raise _unparsable()
    try:
        params = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _unparsable() from None
    if not isinstance(params, list) or len(params) != _ARITY:
        raise _unparsable()
    digest, key = params
    if not isinstance(digest, str) or not isinstance(key, str):
        raise as_keosd(envelope.BAD_CAST, 'expected ["<64 hex digits>", "<public key>"]: two strings')
    try:
        return parse_digest(digest), key
    except FormatError as error:
        # keosd looks at the length first, then at the digits: hex.cpp:6-15.
        fault = envelope.ASSERT if len(digest) % 2 or _HEX.fullmatch(digest) else envelope.UNSPECIFIED
        raise as_keosd(fault, str(error)) from None


def _unparsable() -> FaultError:
    return as_keosd(
        envelope.INVALID_REQUEST,
        'Unable to parse valid input from POST body: expected ["<64 hex digits>", "<public key>"]',
    )
