"""A signer's tokens in memory, as a rotation and the nodes see them: keys, what they signed, and for whom."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import ecdsa
from ecdsa.util import sigencode_strings
from rig import two_nodes

from signer.antelope.keys import Curve, Digest, PublicKey
from signer.antelope.recovery import verifier_for
from signer.antelope.signature import is_canonical_k1, low_s
from signer.errors import RefusedError, SigningError

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.antelope.signature import Signature

_GROUPS: Final = {Curve.K1: ecdsa.SECP256k1, Curve.R1: ecdsa.NIST256p}
#: The private keys of `two_nodes`: their numbers.
NUMBERS: Final = {
    two_nodes.public_key(number, curve): number
    for number, curve in [
        *((number, Curve.R1) for number in (2, 3, 12, 13, 21, 22, 31)),
        *((number, Curve.K1) for number in (1, 11)),
    ]
}
_verifier = functools.cache(verifier_for)


@functools.cache
def _private(key: PublicKey) -> ecdsa.SigningKey:
    return ecdsa.SigningKey.from_secret_exponent(NUMBERS[key], curve=_GROUPS[key.curve])


def sign(key: PublicKey, digest: Digest) -> Signature:
    """Return a signature that nodeos takes, always the same one (RFC 6979)."""
    for attempt in range(100):
        r, s = _private(key).sign_digest_deterministic(
            digest,
            hashfunc=hashlib.sha256,
            sigencode=lambda r, s, _: (r, s),
            extra_entropy=bytes([attempt]) if attempt else b"",
        )
        r, s = low_s(key.curve, r, s)
        rs = b"".join(sigencode_strings(r, s, _GROUPS[key.curve].order))
        if key.curve is Curve.R1 or is_canonical_k1(rs):
            return _verifier(key).seal(digest, rs)
    raise AssertionError("no canonical signature")


@dataclass
class MemoryDesk:
    """The Desk of signer.rotation, and the signing process beside it.

    Attributes:
        monotonic: the time, s.
        states: of every key.
        unable: why a key cannot sign.
        sign_faults: how many more signatures of rotation keys fail.
        sign_takes_s: how long a rotation key takes over a signature.
        issued_after_s: how long after a block the supervisor knows its signature.
        before_sign: called before a rotation key signs.
        blocks: signature -> key, node and time, of every block signature that was issued.
        signed: what rotation keys signed: the digest and the rotation.
        acts: administrative acts: name, person, detail.
    """

    monotonic: Callable[[], float]
    states: dict[PublicKey, str] = field(default_factory=lambda: dict.fromkeys(NUMBERS, "active"))
    unable: dict[PublicKey, str] = field(default_factory=dict)
    sign_faults: int = 0
    sign_takes_s: float = 0.0
    issued_after_s: float = 0.0
    before_sign: Callable[[], None] = lambda: None
    blocks: dict[str, tuple[PublicKey, str, float]] = field(default_factory=dict)
    signed: list[tuple[Digest, str]] = field(default_factory=list)
    acts: list[tuple[str, str, str]] = field(default_factory=list)

    def sign_block(self, key: PublicKey, node: str, digest: Digest) -> str:
        """Sign a block for a node, as the signing process does."""
        signature = str(sign(key, digest))
        self.blocks[signature] = key, node, self.monotonic()
        return signature

    # -- signer.rotation.desk.Desk --------------------------------------------------------------------------

    async def probe(self, key: PublicKey) -> str:
        """As Desk.probe."""
        return self.unable.get(key, "")

    async def issued(self, signature: str) -> tuple[PublicKey, str] | None:
        """As Desk.issued."""
        key, node, at = self.blocks.get(signature, (None, "", 0.0))
        if key is None or self.monotonic() - at < self.issued_after_s:
            return None
        return key, node

    async def sign(self, key: PublicKey, digest: Digest, rotation: str) -> Signature:
        """As Desk.sign."""
        self.before_sign()
        if self.sign_takes_s:
            await asyncio.sleep(self.sign_takes_s)
        if self.states[key] != "active":
            raise RefusedError("frozen", f"{key} is {self.states[key]}")
        if self.sign_faults:
            self.sign_faults -= 1
            raise SigningError("the token is gone")
        self.signed.append((digest, rotation))
        return sign(key, digest)

    async def act(self, name: str, by: str, detail: str) -> None:
        """As Desk.act."""
        self.acts.append((name, by, detail))

    async def key_states(self) -> dict[PublicKey, str]:
        """As Desk.key_states."""
        return dict(self.states)
