"""What monitoring wants to know of production and only the control process knows.

Nobody is asked for it: slots and schedules are what the followers saw, the rest is in the journal and in the store of
access tokens. It is asked for with each status, so what takes long to read is kept for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from signer.control.auth import TokenStoreError
from signer.errors import JournalError
from signer.rotation import ring
from signer.rotation.evidence import strongest
from signer.rotation.rotation import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.config import Config
    from signer.control.auth import TokenStore
    from signer.control.services import ChainWatch
    from signer.rotation.journal import Journal
    from signer.rotation.rotation import Rotation

#: What every rotation of a chain has to be read for is read so often, in s, and when a rotation changes its state.
_KEPT_S: Final = 30.0
#: Rotations among which the one that ended last is looked for. At most one of each chain is live.
_NEWEST: Final = 20


@dataclass(frozen=True, slots=True)
class _Kept:
    """Rings and evidence as they were at `at`, while the rotations were in `states`."""

    at: float
    states: object
    rings: dict[str, Any]
    evidence: list[dict[str, Any]]


class Production:
    """Slots, rotations, rings and evidence.

    Args:
        config: the configuration.
        journal: rotations and evidence on disk.
        people: the access tokens.
        watches: what is seen, by chain.
        expiries: when certificates end, by the listener's address, in s since 1970.
        clock: the time of day (UTC).
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        people: TokenStore,
        watches: Mapping[str, ChainWatch],
        *,
        expiries: Mapping[str, float],
        clock: Callable[[], datetime],
    ) -> None:
        self._config = config
        self._journal = journal
        self._people = people
        self._watches = watches
        self._expiries = expiries
        self._clock = clock
        self._kept: _Kept | None = None

    def state(self) -> dict[str, Any]:
        """Return all of it in values that JSON has; `journal_error` says why the journal's part is missing."""
        found: dict[str, Any] = {
            "slots": {
                chain: {"signed": totals.signed, "other": totals.other, "missed": totals.missed}
                for chain, watch in self._watches.items()
                for totals in (watch.totals(),)
            },
            "foreign": {chain: dict(watch.foreign()) for chain, watch in self._watches.items()},
            "certificates": dict(self._expiries),
            "access_tokens": self._access_tokens(),
            "journal_error": "",
        }
        try:
            return found | self._journalled()
        except JournalError as error:
            nothing: dict[str, Any] = {"rotations": [], "ended": [], "rings": {}, "evidence": []}
            return found | nothing | {"journal_error": str(error)}

    def _access_tokens(self) -> dict[str, float | None]:
        """Return for each person when the access token ends, in s since 1970; None: never."""
        try:
            live = [each for each in self._people.list() if each.revoked_at is None]
        except TokenStoreError:
            return {}  # it is in the journal's file: journal_error says it
        return {each.name: None if each.expires_at is None else each.expires_at.timestamp() for each in live}

    def _journalled(self) -> dict[str, Any]:
        newest = self._journal.list(_NEWEST)
        live = list(self._journal.live())
        ended: dict[str, Rotation] = {}
        for each in newest:
            if each.state in TERMINAL:
                ended.setdefault(each.request.chain, each)
        states = [(each.id, each.state) for each in (*live, *newest)]
        now = self._clock()
        kept = self._kept
        if kept is None or kept.states != states or now.timestamp() - kept.at >= _KEPT_S:
            kept = self._kept = _Kept(now.timestamp(), states, self._rings(), self._evidence(now))
        return {
            "rotations": [_view(each) for each in live],
            "ended": [_view(each) for each in ended.values()],
            "rings": kept.rings,
            "evidence": kept.evidence,
        }

    def _rings(self) -> dict[str, Any]:
        """Return for each node of a producer the keys of its ring that were never registered, and how many were."""
        config = self._config
        nodes = {name: node for name, node in config.nodes.items() if config.chains[node.chain].producer}
        uses = {chain: self._journal.uses(chain) for chain in {node.chain for node in nodes.values()}}
        # Whether a key is active the signing process knows: who shows this has its states.
        states = {key.public_key: "active" for key in config.keys}
        found = {}
        for name, node in nodes.items():
            level = ring.level(config, name, uses[node.chain], states, current=self._row_key(node.chain))
            found[name] = {
                "fresh": [str(key) for key in level.unused],
                "used": len(level.used),
                "low_water": config.rotation.ring_low_water,
            }
        return found

    def _row_key(self, chain: str) -> PublicKey | None:
        """Return the one configured key that the producer's row was seen to name."""
        seen = self._watches[chain].sighting() if chain in self._watches else None
        if seen is None or seen.row is None or len(seen.row) != 1:
            return None
        return next((key.public_key for key in self._config.keys if str(key.public_key) == seen.row[0]), None)

    def _evidence(self, now: datetime) -> list[dict[str, Any]]:
        """Return the best evidence for each block key of each node; what was only declared has no age."""
        known = self._journal.evidence()
        max_age = timedelta(hours=self._config.rotation.evidence_max_age_h)
        found = []
        for key in self._config.keys:
            if key.role != "block" or key.node is None:
                continue
            best = strongest(known, key.node, key.public_key, now=now, max_age=max_age)
            if best is not None:
                at = best.at.timestamp()
                found.append(
                    {"node": key.node, "key": str(key.public_key), "kind": best.kind.value, "at": at}
                )
        return found


def _view(rotation: Rotation) -> dict[str, Any]:
    request = rotation.request
    return {
        "id": rotation.id,
        "chain": request.chain,
        "node": request.node,
        "kind": request.kind.value,
        "emergency": request.emergency,
        "state": rotation.state.value,
        "since": rotation.state_since.timestamp(),
    }
