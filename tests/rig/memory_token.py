"""A token in memory in the place of hsm.race: it signs with keys of the test's own, or does as it is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ecdsa

from hsm.curves import is_canonical, low_s
from hsm.race import Ending, Result
from signer.antelope.keys import Curve, Digest, PublicKey
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature, compact
from signer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

_CURVES = {Curve.K1: (ecdsa.SECP256k1, "secp256k1"), Curve.R1: (ecdsa.NIST256p, "prime256v1")}


class PrivateKey:
    """A key pair in memory."""

    def __init__(self, curve: Curve) -> None:
        parameters, self._name = _CURVES[curve]
        self._key = ecdsa.SigningKey.generate(curve=parameters)
        self.public = PublicKey(curve, self._key.get_verifying_key().to_string("compressed"))

    def sign(self, digest: bytes, *, canonical: bool = False) -> bytes:
        """Return r || s (bytes, 64) with low s, on request canonical."""
        while True:
            rs = low_s(self._name, self._key.sign_digest(digest))
            if not canonical or is_canonical(rs):
                return rs

    def signature(self, digest: Digest) -> Signature:
        """Return a whole signature, as a signer gives it."""
        rs = self.sign(bytes(digest), canonical=True)
        every = (compact(self.public.curve, rs, number) for number in range(4))
        return next(each for each in every if _recovers(digest, each, self.public))


def _recovers(digest: Digest, signature: Signature, key: PublicKey) -> bool:
    try:
        return recover(digest, signature) == key
    except FormatError:
        return False


@dataclass
class MemoryRace:
    """Has the two ways into a race.

    Attributes:
        keys: in the order of their index.
        script: results to give before it signs by itself; a callable is asked.
        asked: key index, canonical, deadline_ns, source and probe of each request.
        before_answer: called just before a result is given.
        busy: whether something is under way, for who asks.
    """

    keys: list[PrivateKey]
    script: list[Result | Callable[[bytes], Result]] = field(default_factory=list)
    asked: list[tuple[int, bool, int, str, bool]] = field(default_factory=list)
    before_answer: Callable[[], None] = lambda: None
    busy: bool = False

    def submit(
        self,
        key_index: int,
        digest: bytes,
        *,
        canonical: bool,
        deadline_ns: int,
        source: str,
        end: Callable[[Result], None],
        probe: bool = False,
    ) -> None:
        """As hsm.race.Race.submit."""
        self.asked.append((key_index, canonical, deadline_ns, source, probe))
        if self.script:
            step = self.script.pop(0)
            result = step if isinstance(step, Result) else step(digest)
        else:
            rs = self.keys[key_index].sign(digest, canonical=canonical)
            result = Result(Ending.SIGNED, rs, lane=3, tries=2)
        self.before_answer()
        end(result)

    def sign(
        self,
        key_index: int,
        digest: bytes,
        *,
        canonical: bool,
        deadline_ns: int,
        source: str,
        probe: bool = False,
    ) -> asyncio.Future[Result]:
        """As hsm.race.Race.sign."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.submit(
            key_index,
            digest,
            canonical=canonical,
            deadline_ns=deadline_ns,
            source=source,
            end=future.set_result,
            probe=probe,
        )
        return future
