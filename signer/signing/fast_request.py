"""A sign_digest request as nodeos sends it, whole in one read: bytes in, its parts out, or nothing. Pure.

nodeos: http_client.cpp:269-275. One line, one Host, one Content-Length, no transfer coding, nothing to wait for.
Whatever is not exactly that is left to uvicorn's parser. Each byte is looked at a fixed number of times: nothing here
can be made to try combinations.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_LINES: Final = {
    b"POST /v1/wallet/sign_digest HTTP/1.1": False,
    b"POST / HTTP/1.1": True,
}
#: A header's name: RFC 9110, section 5.6.2.
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: What a header's value may have: visible characters, blank and tab.
_PLAIN: Final = bytes([9, *range(0x20, 0x7F)])
#: A web page cannot leave these out where it posts; nodeos and cleos send neither (fetch.spec.whatwg.org,
#: w3.org/TR/fetch-metadata).
OF_WEB_PAGES: Final = frozenset({b"origin", b"sec-fetch-site"})
#: With one of these the request says more than nodeos does.
_UNUSUAL: Final = OF_WEB_PAGES | {b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te"}
#: nodeos sends five headers.
_MAX_HEADERS: Final = 16
_MAX_LENGTH_DIGITS: Final = 4


class FastRequest(NamedTuple):
    """The parts that matter: whether it is for `/`, the Host header, the body, and whether its answer must be the last.

    nodeos never says so. Any `Connection` header is taken for it (RFC 9112, section 9.6).
    """

    root: bool
    host: str
    body: bytes
    ends: bool


def parse(data: bytes) -> FastRequest | None:
    """Return the request in `data`, or None if it is anything but one whole request as nodeos sends it."""
    head, end, body = data.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n", _MAX_HEADERS)
    root = _LINES.get(line)
    if not end or root is None or len(lines) >= _MAX_HEADERS:
        return None
    headers: dict[bytes, bytes] = {}
    for text in lines:
        name, colon, value = text.partition(b":")
        name = name.lower()
        if not colon or name in headers or name in _UNUSUAL or not _is_plain(name, value):
            return None
        headers[name] = value.strip(b" \t")
    host, length = headers.get(b"host"), headers.get(b"content-length", b"")
    if host is None or not length.isdigit() or len(length) > _MAX_LENGTH_DIGITS or int(length) != len(body):
        return None
    return FastRequest(root, host.decode("ascii"), body, b"connection" in headers)


def _is_plain(name: bytes, value: bytes) -> bool:
    """Whether a header is a token and visible text."""
    return _TOKEN.fullmatch(name) is not None and not value.translate(None, _PLAIN)
