"""When the certificates of the control listeners end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from asn1crypto import pem, x509

from signer import selection

if TYPE_CHECKING:
    from pathlib import Path

    from signer.config import Config

log = logging.getLogger("signer.control")


def expiries(config: Config) -> dict[str, float]:
    """Return by the listener's address when its own certificate ends, in s since 1970.

    One that cannot be read as a certificate is left out: OpenSSL serves it, or has said why not (signer.control.tls).
    """
    found = {}
    for listener in selection.control_listeners(config):
        if listener.tls_certificate is None:
            continue
        try:
            found[listener.address] = _expiry(listener.tls_certificate)
        except (OSError, ValueError) as error:
            fields = {"address": listener.address, "reason": f"its certificate's end is not known: {error}"}
            log.warning("certificate", extra=fields)
    return found


def _expiry(path: Path) -> float:
    """Return the end of the first certificate in a PEM file: that is the listener's own, the rest are its chain."""
    _, _, data = pem.unarmor(path.read_bytes())
    certificate = x509.Certificate.load(data)
    return float(certificate.not_valid_after.timestamp())
