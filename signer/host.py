"""The Host header: the name in it, without port and brackets."""

from __future__ import annotations


def host_name(host: str) -> str:
    """Return the name in lower case, or an empty text if `host` is not `NAME`, `NAME:PORT` or `[SIX]:PORT`.

    RFC 9110, section 7.2.
    """
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        ok = bool(bracket) and ":" in name and (not port or (port[0] == ":" and _is_port(port[1:])))
    else:
        name, colon, port = host.partition(":")
        ok = not colon or _is_port(port)
    return name.lower() if ok else ""


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit()
