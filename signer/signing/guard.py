"""The rules that a request must pass before the token is asked. Pure but for the freeze markers, which are stat calls.

A rule returns or raises; the message names the rule, the key and the caller, because nodeos prints it and an operator
reads it at night. What nodes of one producer must not do together is in signer.signing.producer_guard.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from signer.signing import envelope
from signer.signing.envelope import as_keosd, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signer.signing.connection import Call
    from signer.signing.freeze import FreezeMarkers
    from signer.signing.keyring import KeyEntry
    from signer.signing.producer_guard import ProducerGuard
    from signer.signing.repeats import Repeats


class Guard:
    """Decides whether a key may sign for a caller.

    Args:
        markers: the freeze markers. They are looked up on disk for each signature, so that a freeze needs no message
            to this process.
        producers: of each node, the rules of its producer; a node that is not there has none.
        repeats: what was signed lately; None: nothing is remembered.
        give_again: whether a digest that was signed gets the same signature again, or is only counted.

    Attributes:
        repeated: requests for what was signed lately.
    """

    def __init__(
        self,
        markers: FreezeMarkers,
        producers: Mapping[str, ProducerGuard] | None = None,
        repeats: Repeats | None = None,
        *,
        give_again: bool = True,
    ) -> None:
        self._markers = markers
        self._producers = producers or {}
        self._repeats = repeats
        self._give_again = give_again
        self.repeated = 0

    def check_peer(self, call: Call) -> None:
        """Refuse a caller whose uid this unix socket does not serve, and every web page.

        Raises:
            FaultError: rule `peer` or `origin`.
        """
        if not call.permitted:
            raise refuse(
                "peer",
                f"rule peer: {call.caller} may not use {call.listener.address}; "
                "its user is not among the listener's peers",
            )
        if call.from_page:
            raise refuse(
                "origin",
                f"rule origin: {call.caller} sent {call.listener.address} a header that web pages send (Origin or "
                "Sec-Fetch-Site); the signer signs for none",
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

    # -- what was signed before ----------------------------------------------------------------------

    def check_producer(self, entry: KeyEntry, digest: bytes, call: Call) -> str | None:
        """Refuse what the key's producer may not have signed now; return the signature if it was given lately.

        Raises:
            FaultError: rule `lease`, `slot` or `rate`.
        """
        producer = self._producers.get(entry.node)
        if producer is not None:
            producer.check(entry.node, entry.name, digest, call.caller)
        if self._repeats is not None:
            known = self._repeats.find(digest, entry.name, time.monotonic_ns())
            if known is not None:
                self.repeated += 1
                if self._give_again:
                    return known
        if producer is not None:
            producer.check_rate(entry.node, entry.name, call.caller)
        return None

    def give(self, entry: KeyEntry, digest: bytes, signature: str, call: Call) -> str | None:
        """Book a signature that is about to leave; return the one to send instead if another of this digest left first.

        Raises:
            FaultError: as `check_producer`: another signature left first, or the lease has moved.
        """
        producer = self._producers.get(entry.node)
        if self._repeats is not None and self._give_again:
            known = self._repeats.find(digest, entry.name, time.monotonic_ns())
            if known is not None:  # two asked at once
                if producer is not None:
                    producer.check(entry.node, entry.name, digest, call.caller)
                self.repeated += 1
                return known
        if producer is not None:
            producer.give(entry.node, entry.name, digest, call.caller)
        if self._repeats is not None:
            self._repeats.keep(digest, entry.name, signature, time.monotonic_ns())
        return None
