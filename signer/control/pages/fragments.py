"""The parts of a page that change by themselves, drawn once for everybody who may see the same.

What a part shows depends on the snapshot and on the scopes of who looks, and on nothing of a session: forms are on
pages of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signer.control.pages import overview, page, plot
from signer.control.rotation_view import awaited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signer.control.pages.board import Snapshot
    from signer.control.services import Services
    from signer.rotation.entry import Entry
    from signer.rotation.rotation import Rotation

#: Kinds of readers that are remembered: sets of scopes, times the rotations that somebody looks at.
_MAX_KINDS: Final = 64
#: The parts of the dashboard, by the id that the page has for them.
PARTS: Final = ("now", "alarms", "rotation", "schedule", "slots", "latency", "tokens", "rings", "frozen")


class Fragments:
    """Draws parts and remembers them until there is another snapshot.

    Args:
        services: configuration and rotations.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._drawn: dict[tuple[int, frozenset[str]], tuple[int, dict[str, str]]] = {}

    def draw(self, snapshot: Snapshot, scopes: frozenset[str], rotation_id: int = 0) -> dict[str, str]:
        """Return the parts of the dashboard, or of the page of one rotation.

        Raises:
            RotationError: there is no such rotation.
            JournalError: the journal cannot be read.
        """
        kind = (rotation_id, scopes)
        number, parts = self._drawn.get(kind, (-1, {}))
        if number != snapshot.number:
            if len(self._drawn) >= _MAX_KINDS:
                self._drawn.clear()
            parts = self._rotation(rotation_id, scopes) if rotation_id else self._dashboard(snapshot, scopes)
            self._drawn[kind] = (snapshot.number, parts)
        return parts

    def _rotation(self, rotation_id: int, scopes: frozenset[str]) -> dict[str, str]:
        rotations = self._services.rotating()
        rotation = rotations.get(rotation_id)
        entries = rotations.entries(rotation_id)
        expected_s = rotations.expected_s(rotation.request.chain) if rotation.live else None
        return {
            "progress": page.fragment(
                "progress", **_shown(rotation), scopes=scopes, expected_s=expected_s, linked=False
            ),
            "history": page.fragment("history", entries=_newest_first(entries)),
        }

    def _dashboard(self, snapshot: Snapshot, scopes: frozenset[str]) -> dict[str, str]:
        config, status = self._services.config, snapshot.status or {}
        live = [each for each in snapshot.rotations if each.live]
        waiting = [each for each in snapshot.rotations if each.needs_approval and not each.approved_by]
        labels = {str(key.public_key): key.label for key in config.keys}
        return {
            "now": page.fragment(
                "now", lines=overview.headlines(config, snapshot), status=snapshot.status, scopes=scopes
            ),
            "alarms": page.fragment(
                "alarms",
                alarms=status.get("alarms", ()),
                problems=overview.problems(status),
                notes=overview.notes(snapshot),
                known=snapshot.status is not None,
            ),
            "rotation": page.fragment(
                "rotation",
                rotations=[
                    _shown(each) | {"expected_s": self._services.rotating().expected_s(each.request.chain)}
                    for each in live
                ],
                waiting=waiting,
                last=next((each for each in snapshot.rotations if not each.live), None),
                configured=self._services.rotations is not None,
                scopes=scopes,
                mark_of=overview.mark_of,
            ),
            "schedule": page.fragment(
                "schedule",
                chains=[
                    (name, seen, overview.stages(config, seen)) for name, seen in snapshot.chains.items()
                ],
                configured=bool(self._services.chains),
                labels=labels,
            ),
            "slots": page.fragment(
                "slots",
                chains=[(name, overview.rounds(slots)) for name, slots in snapshot.slots.items()],
                configured=bool(self._services.watches),
            ),
            "latency": page.fragment(
                "latency",
                plots=plot.plots(
                    status.get("latency", {}),
                    {name: float(node.timeout_ms) for name, node in config.nodes.items()},
                ),
                width=plot.WIDTH,
                height=plot.HEIGHT,
            ),
            "tokens": page.fragment("tokens", status=snapshot.status),
            "rings": page.fragment("rings", rings=snapshot.rings, low_water=config.rotation.ring_low_water),
            "frozen": page.fragment("frozen", frozen=status.get("frozen"), scopes=scopes, labels=labels),
        }


def _shown(rotation: Rotation) -> dict[str, object]:
    return {
        "rotation": rotation,
        "steps": overview.steps(rotation),
        "awaited": awaited(rotation),
        "mark": overview.mark_of(rotation),
    }


def _newest_first(entries: Sequence[Entry]) -> list[Entry]:
    return list(reversed(entries))
