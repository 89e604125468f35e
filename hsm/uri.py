"""Token URIs (RFC 7512), as far as a signer needs them. Pure: opens nothing.

    pkcs11:token=primary?module-path=/usr/lib/softhsm/libsofthsm2.so

A token is named by `token` (its label) or `serial`, narrowed by `manufacturer` and `model`, and reached
through `module-path`. Everything else is refused: with an attribute read over, the URI names another token
than the reader thinks. A PIN never stands in a URI, because URIs are logged and copied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from hsm.errors import UriError

_SCHEME: Final = "pkcs11:"

#: RFC 7512 section 2.3: unreserved characters, pk11-res-avail and "&" in the path.
_PATH_SAFE: Final = ":[]@!$'()*+,=&"
#: RFC 7512 section 2.3: pk11-qchar has "/", "?" and "|" in place of "&". A second "?" is refused all the same: it is a
#: slip for "&", and the PIN behind it would be part of a path that is logged.
_QUERY_SAFE: Final = ":[]@!$'()*+,=/|"
_PATH_VALUE: Final = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*")
_QUERY_VALUE: Final = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=/|]|%[0-9A-Fa-f]{2})*")

#: Path attributes, and the size in bytes of the CK_TOKEN_INFO field of each (PKCS#11 2.40, section 3.2).
_TOKEN_FIELDS: Final = {"token": 32, "manufacturer": 32, "serial": 16, "model": 16}

_REFUSED: Final = {
    "pin-value": "a PIN in a URI ends in logs; write it to a PIN file of mode 0400 and name that",
    "pin-source": "the PIN source has one place, the PIN file or credential beside the URI",
    "module-name": "name the library by its full path in module-path",
    "object": "the URI names a token; name the key by its label",
    "type": "the URI names a token; name the key by its label",
    "id": "the URI names a token; name the key by its label and, where needed, its id",
    "slot-id": "slot numbers change when a token is added; use token or serial",
}


@dataclass(frozen=True, slots=True)
class TokenUri:
    """A parsed token URI; `str()` gives the canonical text.

    Attributes:
        module_path: absolute path of the PKCS#11 library.
        token: CKA label of the token, at most 32 bytes of UTF-8, or None for any.
        serial: serial number, at most 16 bytes, or None for any.
        manufacturer: manufacturer ID, at most 32 bytes, or None for any.
        model: model, at most 16 bytes, or None for any.
    """

    module_path: str
    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None

    def __str__(self) -> str:
        path = ";".join(
            f"{name}={quote(value, safe=_PATH_SAFE)}"
            for name in _TOKEN_FIELDS
            if (value := getattr(self, name)) is not None
        )
        return f"{_SCHEME}{path}?module-path={quote(self.module_path, safe=_QUERY_SAFE)}"


def parse_uri(text: str) -> TokenUri:
    """Return the token URI in `text`.

    Raises:
        UriError: the text is not a PKCS#11 URI, names no token or no module, repeats an attribute, or has one
            that we refuse. The message never repeats a value.
    """
    if text[: len(_SCHEME)].lower() != _SCHEME:
        example = TokenUri("/path/to/module.so", "primary")
        raise UriError(f"a token URI starts with '{_SCHEME}', for example {example}")
    path, question, query = text[len(_SCHEME) :].partition("?")
    named = _attributes(path, ";", _PATH_VALUE, frozenset(_TOKEN_FIELDS))
    reached = _attributes(query, "&", _QUERY_VALUE, frozenset({"module-path"})) if question else {}

    if "token" not in named and "serial" not in named:
        raise UriError("the URI names no token; add token=LABEL or serial=NUMBER after 'pkcs11:'")
    if "module-path" not in reached:
        raise UriError("the URI names no module; add ?module-path=/path/to/module.so at its end")
    for name, value in named.items():
        if len(value.encode()) > _TOKEN_FIELDS[name]:
            raise UriError(f"{name} is longer than {_TOKEN_FIELDS[name]} bytes, which no token can have")
    module_path = reached["module-path"]
    if not module_path.startswith("/"):
        raise UriError("module-path must be absolute: a bare name would load whatever the loader finds first")
    return TokenUri(module_path=module_path, **named)


def _attributes(part: str, separator: str, allowed: re.Pattern[str], known: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for piece in part.split(separator) if part else ():
        name, equals, raw = piece.partition("=")
        if name in _REFUSED:
            raise UriError(f"{name} is refused: {_REFUSED[name]}")
        if name not in known:
            # The name may be a slip that holds a secret, so only well-formed names are repeated.
            shown = f"'{name}'" if re.fullmatch(r"[a-z\-]{1,32}", name) else "an attribute"
            raise UriError(f"{shown} is not understood here; use {', '.join(sorted(known))}")
        if name in found:
            raise UriError(f"{name} stands twice; keep one")
        if not equals or not raw:
            raise UriError(f"{name} has no value; write {name}=VALUE or leave it out")
        if not allowed.fullmatch(raw):
            raise UriError(
                f"{name} has a character that must be percent-encoded (a space is %20, a question mark %3F)"
            )
        found[name] = _decode(name, raw)
    return found


def _decode(name: str, raw: str) -> str:
    try:
        value = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise UriError(f"{name} is not UTF-8 after percent-decoding") from None
    if not value.isprintable():
        raise UriError(f"{name} has a control character")
    return value
