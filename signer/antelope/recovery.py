"""From r and s to a signature that nodeos takes: the recovery id, found by checking the signature.

Guarantees that `Verifier.seal` returns only what recovers to exactly the expected key under the digest, in
the form that nodeos demands. It is the last look at a signature before it leaves: it trusts nothing of the
token. `recover` answers for any key, is slow, and knows no rule of form: it is for audit and chain proof.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import coincurve
import ecdsa
from ecdsa.ellipticcurve import INFINITY, PointJacobi
from ecdsa.errors import MalformedPointError

from signer.antelope.keys import Curve, PublicKey
from signer.antelope.libcrypto import PointSum
from signer.antelope.signature import GROUP_ORDER, compact, is_canonical_k1, is_low_s, split
from signer.errors import FormatError, SigningError

if TYPE_CHECKING:
    from signer.antelope.keys import Digest
    from signer.antelope.signature import Signature

_DIGEST_SIZE = 32


class Verifier(ABC):
    """The self-check for one key. Make it with `verifier_for` and keep it. Not thread-safe.

    Attributes:
        key: the key that must come out of the recovery.
    """

    def __init__(self, key: PublicKey) -> None:
        self.key = key

    def seal(self, digest: Digest, rs: bytes) -> Signature:
        """The signature made of `rs`, with its recovery id.

        Args:
            digest: what was signed (bytes, 32).
            rs: r || s with low s (bytes, 64).

        Raises:
            SigningError: it does not verify for `digest` and `key`, s is high, or (K1) it is not canonical.
        """
        if len(digest) != _DIGEST_SIZE:
            raise SigningError(f"digest has {len(digest)} bytes, not {_DIGEST_SIZE}")
        try:
            r, s = split(self.key.curve, rs)
        except FormatError as error:
            raise SigningError(f"the token's signature is malformed: {error}") from error
        if not is_low_s(self.key.curve, s):
            raise SigningError("the token's signature has a high s: it was not normalised")
        return compact(self.key.curve, rs, self._recovery_id(digest, rs, r, s))

    @abstractmethod
    def _recovery_id(self, digest: Digest, rs: bytes, r: int, s: int) -> int:
        """The id under which recovery gives `key`, or SigningError."""

    def _mismatch(self) -> SigningError:
        return SigningError(
            f"the token's signature does not verify with {self.key}: the private key under this label is "
            "another one, or the token is faulty",
        )


def verifier_for(key: PublicKey) -> Verifier:
    """A new verifier for `key`. R1 takes about 30 ms and 150 kB: make it once per key, not per request.

    Raises:
        SigningError: R1, and OpenSSL's libcrypto is not usable.
    """
    return _K1Verifier(key) if key.curve is Curve.K1 else _R1Verifier(key)


class _K1Verifier(Verifier):
    """By recovery with libsecp256k1, as nodeos does it."""

    def _recovery_id(self, digest: Digest, rs: bytes, r: int, s: int) -> int:  # noqa: ARG002 (R1 needs r and s)
        if not is_canonical_k1(rs):
            raise SigningError("the token's signature is not canonical: nodeos refuses it, sign again")
        # Ids 2 and 3 need r < p - n < 2^129, and such an r is never canonical: its first two bytes are zero.
        for recovery_id in (0, 1):
            if _recover_k1(digest, rs, recovery_id) == self.key.data:
                return recovery_id
        raise self._mismatch()


class _R1Verifier(Verifier):
    """By verification (SEC 1 section 4.1.4): R = u1*G + u2*Q must have r's x, and its y gives the id."""

    def __init__(self, key: PublicKey) -> None:
        super().__init__(key)
        self._sum = PointSum(key.data)

    def _recovery_id(self, digest: Digest, rs: bytes, r: int, s: int) -> int:  # noqa: ARG002 (K1 needs rs)
        n = GROUP_ORDER[Curve.R1]
        w = pow(s, -1, n)
        octets = self._sum.compressed(int.from_bytes(digest) * w % n, r * w % n)
        x = int.from_bytes(octets[1:])
        if x % n != r:
            raise self._mismatch()
        return octets[0] & 1 | (x >= n) << 1


def recover(digest: Digest, signature: Signature) -> PublicKey:
    """The key that made `signature` over `digest` (SEC 1 section 4.1.6). Slow for R1: some milliseconds.

    Takes high s and non-canonical signatures too, as arithmetic does. Nearly every signature has some key:
    it proves nothing until the key is compared.

    Raises:
        SigningError: no key can have made it.
    """
    recover_point = _recover_k1 if signature.curve is Curve.K1 else _recover_r1
    data = recover_point(digest, signature.rs, signature.recovery_id)
    if data is None:
        raise SigningError("no public key can have made this signature")
    return PublicKey(signature.curve, data)


def _recover_k1(digest: Digest, rs: bytes, recovery_id: int) -> bytes | None:
    """The compressed key (bytes, 33), or None where there is none."""
    try:
        key = coincurve.PublicKey.from_signature_and_message(rs + bytes((recovery_id,)), digest, hasher=None)
    except ValueError:  # r is the x of no point, or the key would be the point at infinity
        return None
    data: bytes = key.format()
    return data


def _recover_r1(digest: Digest, rs: bytes, recovery_id: int) -> bytes | None:
    """The compressed key (bytes, 33), or None where there is none."""
    curve = ecdsa.NIST256p
    n = GROUP_ORDER[Curve.R1]
    r, s = split(Curve.R1, rs)
    x = r + n * (recovery_id >> 1)
    if x >= curve.curve.p():
        return None
    try:
        point = PointJacobi.from_bytes(curve.curve, bytes((2 | recovery_id & 1,)) + x.to_bytes(32))
    except MalformedPointError:  # x is that of no point
        return None
    w = pow(r, -1, n)
    key = point * (s * w % n) + curve.generator * (-int.from_bytes(digest) * w % n)
    if key == INFINITY:
        return None
    data: bytes = key.to_bytes("compressed")
    return data
