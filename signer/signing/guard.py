"""The rules that a request must pass before the token is asked. Pure but for the freeze markers, which are stat calls.

A rule returns or raises; the message names the rule, the key and the caller, because nodeos prints it and an operator
reads it at night.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signer.signing import envelope
from signer.signing.envelope import as_keosd, refuse

if TYPE_CHECKING:
    from signer.signing.connection import Call
    from signer.signing.freeze import FreezeMarkers
    from signer.signing.keyring import KeyEntry


class Guard:
    """Decides whether a key may sign for a caller.

    Args:
        markers: the freeze markers. They are looked up on disk for each signature, so that a freeze needs no message
            to this process.
    """

    def __init__(self, markers: FreezeMarkers) -> None:
        self._markers = markers

    def check_peer(self, call: Call) -> None:
        """Refuse a caller whose uid this unix socket does not serve.

        Raises:
            FaultError: rule `peer`.
        """
        if not call.permitted:
            raise refuse(
                "peer",
                f"rule peer: {call.caller} may not use {call.listener.address}; "
                "its user is not among the listener's peers",
            )

    def check_key(self, entry: KeyEntry | None, asked: str, call: Call) -> KeyEntry:
        """Return the key if it exists, belongs to the caller's node, signs digests and is in health.

        Raises:
            FaultError: keosd's missing key, or rule `wrong-node`, `wrong-role`, `frozen`, `quarantined`, `unavailable`.
        """
        if entry is None:
            raise as_keosd(
                envelope.MISSING_KEY,
                f"Public key not found in unlocked wallets {asked} (asked by {call.caller})",
            )
        if call.rehearsal and entry.role == "probe":
            return entry
        if entry.role != "block" or call.rehearsal:
            raise refuse(
                "wrong-role",
                f"rule wrong-role: {asked} is a {entry.role} key and signs no digests (asked by {call.caller})",
            )
        if entry.node != call.listener.node:
            raise refuse(
                "wrong-node",
                f"rule wrong-node: {asked} belongs to node {entry.node}, not to {call.listener.node} "
                f"(asked by {call.caller} on {call.listener.address})",
            )
        self.check_frozen(entry, call)
        if entry.state != "active":
            raise refuse(entry.state, f"rule {entry.state}: {asked}: {entry.reason} (asked by {call.caller})")
        return entry

    def check_frozen(self, entry: KeyEntry, call: Call) -> None:
        """Refuse while a freeze marker covers the key. Called before the token is asked and before a signature leaves.

        Raises:
            FaultError: rule `frozen`.
        """
        reason = self._markers.frozen(entry.node, entry.name)
        if reason is not None:
            raise refuse(
                "frozen",
                f"rule frozen: {entry.name} of node {entry.node}: {reason}; "
                f"`signer unfreeze` ends it (asked by {call.caller})",
            )
