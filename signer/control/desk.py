"""The signer around a rotation, as the control process has it: its supervisor and its own tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signer.antelope.keys import PublicKey

if TYPE_CHECKING:
    from signer.antelope.keys import Digest
    from signer.antelope.signature import Signature
    from signer.control.keys import ControlKeys
    from signer.control.supervisor import Supervisor

#: Who asks for probes, as the audit log says it.
_CALLER = "rotation"


class ControlDesk:
    """Implements signer.rotation.desk.Desk.

    Args:
        supervisor: the signing process, the audit log, what was signed.
        keys: the rotation keys.
    """

    def __init__(self, supervisor: Supervisor, keys: ControlKeys) -> None:
        self._supervisor = supervisor
        self._keys = keys

    async def probe(self, key: PublicKey) -> str:
        """Let a block key sign a random digest. Returns why it cannot, empty if it can."""
        return await self._supervisor.probe(key, _CALLER)

    async def issued(self, signature: str) -> tuple[PublicKey, str] | None:
        """Return with which key and for which node this signer issued `signature`. Raises AdminError."""
        found = await self._supervisor.issued(signature)
        return None if found is None else (found.key, found.node)

    async def sign(self, key: PublicKey, digest: Digest, rotation: str) -> Signature:
        """Sign with a rotation key. Raises SigningError and RefusedError."""
        return await self._keys.sign(key, digest, rotation, role="rotation")

    async def act(self, name: str, by: str, detail: str) -> None:
        """Write an administrative act into the audit log. Raises AdminError."""
        await self._supervisor.act(name, by, detail)

    async def key_states(self) -> dict[PublicKey, str]:
        """Return the state of every key, at a start once ours were looked at. Raises AdminError."""
        await self._keys.looked_at()
        status = await self._supervisor.status()
        return {PublicKey.parse(key["public_key"]): key["state"] for key in status["keys"]}
