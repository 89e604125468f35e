"""What a snapshot means in words: who signs, what is on its way, what became of each slot."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rig import two_nodes
from rotation import samples

from signer.chain.watcher import Origin, Slot, SlotState
from signer.control.pages import overview
from signer.control.pages.board import ChainSeen, Snapshot
from signer.rotation.producer_view import ChainView
from signer.rotation.rotation import State

if TYPE_CHECKING:
    from signer.antelope.keys import PublicKey

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CONFIG = two_nodes.config()
A, B = two_nodes.A[0], two_nodes.B[0]


def _view(active: tuple[PublicKey, ...], **changes: Any) -> ChainView:  # noqa: ANN401 - fields
    view = ChainView(
        "legacy", 100, NOW, 90, registered=True, row_keys=active, active=active, pending=None, proposed=None
    )
    return replace(view, **changes)


def _snapshot(view: ChainView | None, *, state: str = "active", last_s: float | None = 1.0) -> Snapshot:
    keys = [
        {
            "public_key": str(key),
            "label": f"label-{node}",
            "node": node,
            "role": "block",
            "state": state,
            "reason": "why" if state != "active" else "",
            "last_signature_at": None if last_s is None else NOW.timestamp() - last_s,
        }
        for key, node in ((A, "a"), (B, "b"))
    ]
    seen = ChainSeen(view, "" if view else "nobody answers", (), NOW)
    return Snapshot(1, NOW, {"keys": keys}, chains={"local": seen})


@pytest.mark.parametrize(
    ("snapshot", "node", "mark", "word"),
    [
        (_snapshot(_view((A,))), "a", "ok", "signing"),
        (_snapshot(_view((B,))), "b", "ok", "signing"),
        (_snapshot(_view((A,)), last_s=None), "a", "warn", "silent"),
        (_snapshot(_view((A,)), last_s=300), "a", "warn", "silent"),
        (_snapshot(_view((A,)), state="frozen"), "a", "bad", "frozen"),
        (_snapshot(_view((A,)), state="quarantined"), "a", "bad", "quarantined"),
        (_snapshot(_view((two_nodes.OTHER_ROTATION,))), "", "bad", "not ours"),
        (_snapshot(_view(())), "", "idle", "not elected"),
        (_snapshot(None), "a", "warn", "signing"),
        (_snapshot(None, state="unavailable"), "a", "bad", "unavailable"),
        (Snapshot(1, NOW, {"keys": []}), "", "idle", "not known yet"),
    ],
)
def test_the_headline(snapshot: Snapshot, node: str, mark: str, word: str) -> None:
    """With a chain the active schedule decides; without an answer of it, the last signature, and it says so."""
    [line] = overview.headlines(CONFIG, snapshot)

    assert (line.node, line.mark, line.word) == (node, mark, word)
    assert line.producer == two_nodes.PRODUCER
    assert line.text
    if snapshot.chains and snapshot.chains["local"].view is None:
        assert "No API node tells" in line.text


def test_what_is_on_its_way_is_told_from_what_is_there() -> None:
    seen = ChainSeen(_view((A,), row_keys=(B,), pending=(B,), proposed=()), "", (), NOW)

    shown = [(each.name, each.node, each.mark) for each in overview.stages(CONFIG, seen)]

    assert shown == [
        ("row", "b", "ok"),
        ("proposed", "", "idle"),
        ("pending", "b", "ok"),
        ("active", "a", "warn"),
    ]


def test_every_slot_has_a_sign_and_words_and_rounds_count_them() -> None:
    states = (SlotState.SIGNED, SlotState.MISSED, SlotState.OTHER, SlotState.UNKNOWN)
    slots = [
        Slot(
            number,
            NOW + timedelta(seconds=number / 2),
            states[number % 4],
            None,
            Origin(A, "a") if number % 4 == 0 else None,
            irreversible=True,
        )
        for number in range(16)
    ]

    newest, oldest = overview.rounds(slots[::-1])

    assert [each.state for each in oldest.squares] == [states[number % 4].value for number in range(12)]
    assert len(newest.squares) == 4
    assert oldest.text == "3 signed here, 3 missed, 3 signed elsewhere, 3 not known yet"
    assert oldest.squares[0].text == "03:04:05.0 signed here for a"
    assert oldest.squares[1].text == "03:04:05.5 missed"


def test_the_steps_of_a_rotation_that_is_under_way() -> None:
    at = samples.NOW
    live = replace(
        samples.FULL,
        state=State.REGISTERED,
        reached={State.PLANNED: at, State.PREFLIGHT: at, State.SIGNED: at, State.REGISTERED: at},
    )

    assert [each.state for each in overview.steps(live)] == ["done"] * 3 + ["now"] + ["next"] * 5
    assert overview.mark_of(live) == "warn"


def test_a_step_that_was_too_short_to_be_seen_is_done_too() -> None:
    at = samples.NOW
    done = replace(samples.FULL, state=State.DONE, reached={State.PLANNED: at, State.DONE: at})

    assert {each.state for each in overview.steps(done)} == {"done"}
    assert overview.mark_of(done) == "ok"


def test_what_is_old_is_said_to_be_old() -> None:
    seen = ChainSeen(_view((A,)), "", (), NOW - timedelta(seconds=30))

    notes = overview.notes(Snapshot(1, NOW, {}, chains={"local": seen}))

    assert notes == ["Chain local was last seen at 03:03:35 UTC."]
