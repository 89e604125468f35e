"""Certificates for TLS, made for one test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

NAME = "signer.example.net"


def certify(
    folder: Path, stem: str, *, password: bytes | None = None, issuer: str | None = None, days: int = 1
) -> None:
    """Write STEM.pem and STEM.key: a certificate of NAME and 127.0.0.1.

    Args:
        folder: where.
        stem: of the files' names, and the subject's name.
        password: of the key file, or none.
        issuer: the stem of who signs it; by default it signs itself.
        days: until it ends; negative where it has ended.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(NAME), x509.IPAddress(IPv4Address("127.0.0.1"))])
    signing_key: ec.EllipticCurvePrivateKey = key
    if issuer is not None:
        loaded = serialization.load_pem_private_key((folder / f"{issuer}.key").read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signing_key = loaded
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(stem))
        .issuer_name(_name(issuer or stem))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(signing_key, hashes.SHA256())
    )
    (folder / f"{stem}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    hidden = (
        serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    )
    path = folder / f"{stem}.key"
    path.touch(0o600)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
