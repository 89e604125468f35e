"""What a rotation needs of the signer around it: the tokens, the signing process, the audit log.

The control process implements it over its channel to the supervisor and its control tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from signer.antelope.keys import Digest, PublicKey
    from signer.antelope.signature import Signature


class Desk(Protocol):
    """The signer around a rotation. Where nothing else is said, a method raises AdminError if nobody answers."""

    async def probe(self, key: PublicKey) -> str:
        """Let a block key sign a random digest. Returns why it cannot, empty if it can. Raises nothing."""
        ...

    async def issued(self, signature: str) -> tuple[PublicKey, str] | None:
        """Return with which key and for which node this signer issued `signature`, None if it did not."""
        ...

    async def sign(self, key: PublicKey, digest: Digest, rotation: str) -> Signature:
        """Sign with a rotation key, and write it into the audit log.

        Args:
            key: the rotation key.
            digest: what `mandate.digest` returned.
            rotation: what it is for, for the audit log.

        Raises:
            SigningError: the token could not.
            RefusedError: the key is frozen or quarantined.
        """
        ...

    async def act(self, name: str, by: str, detail: str) -> None:
        """Write an administrative act into the audit log."""
        ...

    async def key_states(self) -> dict[PublicKey, str]:
        """Return the state of every key: active, frozen, quarantined, unavailable."""
        ...
