"""TLS of a control listener: TLS 1.2 or newer, a key file that nobody else can read, no question for a password.

With `tls_client_ca` a client has to present a certificate before a byte of HTTP is read. That comes before the token
and does not stand for it: a person is known by the token.
"""

from __future__ import annotations

import ssl
import stat
from typing import TYPE_CHECKING, Final

from signer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from signer.config import Listener

_MODES: Final = frozenset({0o400, 0o600})
#: For TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325, section 4.2). TLS 1.3 has no others.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


def context(listener: Listener) -> ssl.SSLContext | None:
    """Return what the listener speaks TLS with, None where it speaks none.

    Raises:
        ConfigError: a file cannot be read or used, or others can read the key.
    """
    certificate, key = listener.tls_certificate, listener.tls_key
    if certificate is None or key is None:
        return None
    _check(listener, key)
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.set_ciphers(_CIPHERS)
    found.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    found.set_alpn_protocols(["http/1.1"])
    try:
        found.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(
            f"listener {listener.address}: tls_certificate {certificate} and tls_key {key} cannot be used: {reason}; "
            "they are PEM files, the key belongs to the first certificate and has no password"
        ) from None
    if listener.tls_client_ca is not None:
        _ask_for_certificates(found, listener, listener.tls_client_ca)
    return found


def _ask_for_certificates(context: ssl.SSLContext, listener: Listener, trusted: Path) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file need not hold the root
    try:
        context.load_verify_locations(trusted)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise ConfigError(
            f"listener {listener.address}: tls_client_ca {trusted} cannot be used: {reason}; "
            "it is a PEM file with the certificates that vouch for clients"
        ) from None


def _check(listener: Listener, key: Path) -> None:
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise ConfigError(f"listener {listener.address}: tls_key {key}: {error.strerror}") from None
    if not stat.S_ISREG(mode) or stat.S_IMODE(mode) not in _MODES:
        raise ConfigError(
            f"listener {listener.address}: tls_key {key} has mode {stat.S_IMODE(mode):04o}; run chmod 0600 on it"
        )


def _no_password() -> str:
    """OpenSSL would ask on the terminal."""
    return ""
