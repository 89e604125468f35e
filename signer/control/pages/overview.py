"""The dashboard's words: what a snapshot means to the person who looks. Pure; times are UTC.

Every state has a word of its own and one of four marks: `ok`, `warn`, `bad`, `idle`. Colour only repeats the word.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from signer.chain.watcher import SlotState
from signer.control import chains
from signer.rotation.rotation import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signer.antelope.keys import PublicKey
    from signer.chain.watcher import Slot
    from signer.config import Config
    from signer.control.pages.board import ChainSeen, Snapshot
    from signer.rotation.rotation import Rotation

#: A producer of 21 asks 12 times in 6 s and is then silent for 120 s; twice that is too long.
SILENT: Final = timedelta(seconds=252)
#: What is older than this was not seen at the last ticks.
STALE: Final = timedelta(seconds=3)
#: The way of a rotation that goes well, as a person follows it.
STEPS: Final = (
    (State.PLANNED, "asked for"),
    (State.PREFLIGHT, "checked"),
    (State.SIGNED, "sent"),
    (State.REGISTERED, "in the row"),
    (State.PROPOSED, "proposed"),
    (State.PENDING, "pending"),
    (State.ACTIVE, "active"),
    (State.VERIFIED, "proved"),
    (State.DONE, "final"),
)
#: A sign and a word for each state of a slot.
_SLOTS: Final = {
    SlotState.SIGNED: ("✓", "signed here"),
    SlotState.MISSED: ("✕", "missed"),
    SlotState.OTHER: ("○", "signed elsewhere"),
    SlotState.UNKNOWN: ("?", "not known yet"),
}
_LAST: Final = "This key signed last."
_STATE_MARKS: Final = {
    State.DONE: "ok",
    State.UNSCHEDULED: "ok",
    State.RETURNING: "warn",
    State.APPROVAL: "warn",
    State.RETURNED: "bad",
    State.FAILED: "bad",
    State.REFUSED: "bad",
    State.SUPERSEDED: "warn",
    State.ABORTED: "idle",
}


@dataclass(frozen=True, slots=True)
class Headline:
    """Who signs now.

    Attributes:
        producer: the account, or empty where no chain is configured.
        chain: its chain's name.
        node: the node that signs; empty: none of this signer, or not known.
        key: the key it signs with.
        label: that key's label.
        mark: `ok`, `warn`, `bad` or `idle`.
        word: the state in one or two words.
        text: one sentence: how that is known.
        last_at: when that key last signed (s since 1970), None if nobody knows.
    """

    producer: str
    chain: str
    node: str
    key: str
    label: str
    mark: str
    word: str
    text: str
    last_at: float | None


@dataclass(frozen=True, slots=True)
class Stage:
    """One of row, proposed, pending and active.

    Attributes:
        name: of the stage.
        node: the node that has its key; empty: there is none.
        keys: the keys.
        mark: `ok` where it is as the row, `warn` where it is on its way, `idle` where there is nothing.
        text: in words where there is no key.
    """

    name: str
    node: str
    keys: tuple[str, ...]
    mark: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a rotation. `state` is `done`, `now` or `next`; `at` when it was entered."""

    name: str
    state: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Square:
    """A slot as it is drawn: its state, a sign, and the same in words."""

    state: str
    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class Round:
    """A round of our producer: when it began, its slots, the oldest first, and what became of it in words."""

    at: datetime
    squares: tuple[Square, ...]
    text: str


def headlines(config: Config, snapshot: Snapshot) -> list[Headline]:
    """Return one headline for each chain that has a producer; without any, one from the signatures alone."""
    keys = _keys(snapshot)
    producing = [name for name, chain in config.chains.items() if chain.producer is not None]
    if not producing:
        return [_by_signatures(keys, snapshot)]
    return [_headline(config, snapshot, keys, name) for name in producing]


def _headline(config: Config, snapshot: Snapshot, keys: dict[str, Any], name: str) -> Headline:
    producer = config.chains[name].producer or ""

    def line(mark: str, word: str, text: str, key: str = "", node: str = "") -> Headline:
        known = keys.get(key, {})
        return Headline(
            producer,
            name,
            node,
            key,
            known.get("label") or "",
            mark,
            word,
            text,
            known.get("last_signature_at"),
        )

    seen = snapshot.chains.get(name)
    if seen is None:
        return line("idle", "not known yet", "The chain is being asked.")
    if seen.view is None:
        last = _by_signatures(keys, snapshot)
        mark, text = ("bad", last.text) if last.mark == "bad" else ("warn", _LAST)
        return replace(
            last, producer=producer, chain=name, mark=mark, text=f"No API node tells who produces. {text}"
        )
    active = seen.view.active
    if not active:
        text = "The producer is not in the active schedule: nobody asks it for blocks."
        return line("idle", "not elected", text)
    key = next((str(each) for each in active if str(each) in keys), "")
    if not key:
        text = "The active schedule names a key that is not in this signer."
        return line("bad", "not ours", text, str(active[0]))
    mark, word, text = _fares(keys[key], snapshot.at)
    return line(mark, word, text, key, chains.node_of(config, active) or keys[key].get("node") or "")


def _fares(key: dict[str, Any], now: datetime | None) -> tuple[str, str, str]:
    """Return mark, word and sentence of a key that the active schedule names."""
    if key["state"] != "active":
        return "bad", key["state"], f"The key of the active schedule does not sign: {key['reason']}."
    last = key.get("last_signature_at")
    if last is None or now is None or now - datetime.fromtimestamp(last, UTC) > SILENT:
        return (
            "warn",
            "silent",
            "The active schedule names this key, but nodeos has not asked for a while.",
        )
    return "ok", "signing", "The active schedule names this key, and it signs."


def _by_signatures(keys: dict[str, Any], snapshot: Snapshot) -> Headline:
    """Return what can be said without a chain: which key signed last."""
    if snapshot.status is None:
        return Headline("", "", "", "", "", "idle", "not known yet", "The signer is being asked.", None)
    block = [key for key in keys.values() if key["role"] == "block" and key.get("last_signature_at")]
    if not block:
        text = "No node has asked for a signature yet. No chain is configured, so nothing is known of the schedule."
        return Headline("", "", "", "", "", "idle", "nothing signed", text, None)
    last = max(block, key=lambda key: key["last_signature_at"])
    at = datetime.fromtimestamp(last["last_signature_at"], UTC)
    fresh = snapshot.at is not None and snapshot.at - at <= SILENT
    mark, word = ("ok", "signing") if fresh else ("warn", "silent")
    text = f"{_LAST} No chain is configured, so nothing is known of the schedule."
    if last["state"] != "active":
        mark, word = "bad", last["state"]
        text = f"The key that signed last does not sign: {last['reason']}."
    return Headline(
        "",
        "",
        last["node"] or "",
        last["public_key"],
        last["label"],
        mark,
        word,
        text,
        last["last_signature_at"],
    )


def stages(config: Config, seen: ChainSeen) -> list[Stage]:
    """Return row, proposed, pending and active, in the order in which a change passes through them."""
    view = seen.view
    if view is None:
        return []
    hidden = "not shown on Savanna" if view.consensus == "savanna" else "nothing on its way"
    return [
        _stage(config, "row", view.row_keys, view.row_keys, "no row: not registered"),
        _stage(config, "proposed", view.proposed, view.row_keys, hidden),
        _stage(config, "pending", view.pending, view.row_keys, "nothing on its way"),
        _stage(config, "active", view.active, view.row_keys, "not elected"),
    ]


def _stage(
    config: Config, name: str, keys: Sequence[PublicKey] | None, row: Sequence[PublicKey], nothing: str
) -> Stage:
    if not keys:
        return Stage(name, "", (), "idle", nothing)
    mark = "ok" if set(keys) == set(row) else "warn"
    node = chains.node_of(config, keys) or "not in this signer"
    return Stage(name, node, tuple(map(str, keys)), mark, "")


def rounds(slots: Sequence[Slot]) -> list[Round]:
    """Return the rounds of slots that come with the newest first; so do the rounds."""
    found = []
    for _, group in groupby(slots, key=lambda each: each.round):
        ordered = list(group)[::-1]
        counts = Counter(each.state for each in ordered)
        text = ", ".join(f"{counts[state]} {word}" for state, (_, word) in _SLOTS.items() if counts[state])
        found.append(Round(ordered[0].time, tuple(map(_square, ordered)), text))
    return found


def _square(slot: Slot) -> Square:
    sign, word = _SLOTS[slot.state]
    block = "" if slot.block is None else f", block {slot.block.number}"
    node = f" for {slot.origin.node}" if slot.origin is not None and slot.origin.node else ""
    final = "" if slot.irreversible else ", not irreversible yet"
    return Square(slot.state.value, sign, f"{slot.time:%H:%M:%S.%f}"[:-5] + f" {word}{node}{block}{final}")


def steps(rotation: Rotation) -> list[Step]:
    """Return the way of a rotation, and where it is on it."""
    reached = rotation.reached
    last = max((index for index, (state, _) in enumerate(STEPS) if state in reached), default=0)
    found = []
    for index, (state, name) in enumerate(STEPS):
        if index < last or (index == last and state is State.DONE):
            where = "done"
        elif index == last and rotation.live:
            where = "now"
        elif index == last:
            where = "done"
        else:
            where = "next"
        found.append(Step(name, where, reached.get(state)))
    return found


def mark_of(rotation: Rotation) -> str:
    """Return the mark of a rotation's state."""
    return _STATE_MARKS.get(rotation.state, "warn" if rotation.live else "idle")


def notes(snapshot: Snapshot) -> list[str]:
    """Return what is not of this moment, and why: a page must not look fresh when it is not."""
    found = []
    if snapshot.at is not None and snapshot.status_problem:
        found.append(f"The state of the signer is not fresh: {snapshot.status_problem}.")
    if snapshot.journal_problem:
        found.append(f"Rotations are not fresh: {snapshot.journal_problem}.")
    for name, seen in snapshot.chains.items():
        if seen.view is None:
            found.append(f"Chain {name}: {seen.problem}.")
        elif snapshot.at is not None and snapshot.at - seen.at > STALE:
            found.append(f"Chain {name} was last seen at {seen.at:%H:%M:%S} UTC.")
    return found


def problems(status: dict[str, Any]) -> list[str]:
    """Return the sentences of the status that no alarm says already."""
    said = {f"alarm {each['name']}: {each['text']}" for each in status.get("alarms", ())}
    return [each for each in status.get("problems", ()) if each not in said]


def _keys(snapshot: Snapshot) -> dict[str, Any]:
    status = snapshot.status or {}
    return {key["public_key"]: key for key in status.get("keys", ())}
