"""What `signer watch` shows: lines for a terminal of some size, the most important first. Values in, lines out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from signer.commands.status_report import age, lanes_open, serves_well
from signer.commands.table import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from signer.config import Config

#: Problems take no more lines than that: what signs must stay in sight.
_MAX_PROBLEMS: Final = 5
#: A slot as one character: a block of ours, of somebody else, not known yet, none.
_SLOTS: Final = {
    "signed": ("\u2588", "green"),
    "other": ("o", "yellow"),
    "unknown": ("?", "cyan"),
    "missed": ("x", "bold red"),
}
_BAR: Final = 10
_VERDICTS: Final = {"signed": "green", "late": "bold red", "failed": "bold red", "refused": "yellow"}
_MICROS: Final = 1000


@dataclass(slots=True)
class Producer:
    """A producer, and the rounds of its last slots, as the control API shows them."""

    detail: Mapping[str, Any]
    rounds: Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class Seen:
    """What is known now. Each part is replaced as a whole, so a reader in another thread sees no half of it.

    Attributes:
        status: of the admin socket; None while nobody answers.
        silence: why nobody does.
        producers: who signs, by chain.
        no_producers: why that is not known; empty if it is.
        decisions: the audit log's last ones, the newest last.
        no_decisions: why the log cannot be read.
    """

    status: Mapping[str, Any] | None = None
    silence: str = "asking"
    producers: Sequence[Producer] = ()
    no_producers: str = "asking"
    decisions: Sequence[Mapping[str, Any]] = field(default_factory=list)
    no_decisions: str = ""


def view(seen: Seen, config: Config, now: float, width: int, height: int) -> list[Text]:
    """Return at most `height` lines of at most `width` characters. `now` is in s since 1970."""
    lines = [_head(seen, now), *_problems(seen, now)]
    labels = {str(key.public_key): key.label for key in config.keys}
    lines += [Text(), *_producers(seen, labels, now, width)]
    if seen.status is not None:
        lines += [Text(), _tokens(seen.status), *_latency(seen.status)]
    room = height - len(lines) - 2
    lines += [Text(), *_decisions(seen, config, labels, max(1, room))]
    shown = lines[:height]
    for line in shown:
        line.truncate(width, overflow="ellipsis")
    return shown


def _say(text: object, style: str = "") -> Text:
    return Text(plain(text), style)


def _head(seen: Seen, now: float) -> Text:
    clock = datetime.fromtimestamp(now, UTC).strftime("%H:%M:%SZ")
    if seen.status is None:
        asking = seen.silence == "asking"
        return _say(f"{clock}  ", "bold").append(
            "asking" if asking else "DOWN", "cyan" if asking else "bold red"
        )
    status = seen.status
    ready = status.get("ready") is True
    line = _say(f"{clock}  ", "bold").append(
        "READY" if ready else "NOT READY", "bold green" if ready else "bold red"
    )
    started = age(status.get("started_at"), now).removesuffix(" ago")
    return line.append(
        plain(
            f"  {status.get('state', '?')} for {started}, version {status.get('version', '?')}, Ctrl-C ends this view"
        )
    )


def _problems(seen: Seen, now: float) -> Iterator[Text]:
    if seen.status is None:
        if seen.silence != "asking":
            yield _say(seen.silence, "red")
            yield _say("asking again every second; `signer doctor` says more")
        return
    status = seen.status
    found = [
        (f"FROZEN {each.get('scope')} {each.get('name') or ''}: {each.get('reason')}", "bold red")
        for each in status.get("frozen") or []
    ]
    alarms = [
        (f"ALARM {each.get('name')}: {each.get('text')} ({age(each.get('since'), now)})", "bold red")
        for each in status.get("alarms") or []
    ]
    said = {each.get("text") for each in status.get("alarms") or []}
    problems = [(str(each), "yellow") for each in status.get("problems") or [] if each not in said]
    every = [*found, *alarms, *problems]
    for text, style in every[:_MAX_PROBLEMS]:
        yield _say(text, style)
    if len(every) > _MAX_PROBLEMS:
        yield _say(f"and {len(every) - _MAX_PROBLEMS} more: signer status", "yellow")


def _producers(seen: Seen, labels: Mapping[str, str], now: float, width: int) -> Iterator[Text]:
    if seen.no_producers:
        yield _say(f"who signs is not shown: {seen.no_producers}", "cyan")
    for each in seen.producers:
        yield from _producer(each, labels, now, width)


def _producer(producer: Producer, labels: Mapping[str, str], now: float, width: int) -> Iterator[Text]:
    found = producer.detail
    who = Text(plain(f"{found['producer']} on {found['chain']}: "), "bold")
    chain = found.get("on_chain")
    if chain is None:
        yield who.append(plain(f"NOBODY TELLS: {found.get('problem')}"), "bold red")
    else:
        yield who.append_text(_signer(found, chain, labels, now))
        yield from _schedules(chain, labels)
    rotation = found.get("rotation")
    if rotation is not None:
        yield from _rotation(rotation, now)
    if producer.rounds:
        yield _slots(producer.rounds, width)


def _signer(
    found: Mapping[str, Any], chain: Mapping[str, Any], labels: Mapping[str, str], now: float
) -> Text:
    active = ", ".join(labels.get(str(each["key"]), str(each["key"])) for each in chain["active"])
    head = f"; head {chain['head_number']}, {age(chain['head_time'], now)}"
    if not chain["active"]:
        return Text("not in the schedule, nobody signs", "yellow").append(plain(head))
    if found.get("signs") is None:
        return Text("NOT THIS SIGNER ", "bold yellow").append(plain(f"{active}{head}"))
    return Text(plain(f"{found['signs']} signs "), "bold green").append(plain(f"with {active}{head}"))


def _schedules(chain: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[Text]:
    """What is on its way, where that is another key than the active one."""
    active = [each["key"] for each in chain["active"]]
    for name in ("row", "proposed", "pending"):
        keys = chain.get(name)
        if keys and [each["key"] for each in keys] != active:
            told = ", ".join(
                f"{each['node'] or 'not in this signer'} {labels.get(str(each['key']), each['key'])}"
                for each in keys
            )
            yield _say(f"  {name}: {told}", "cyan")


def _rotation(rotation: Mapping[str, Any], now: float) -> Iterator[Text]:
    after = now - datetime.fromisoformat(str(rotation["created_at"])).timestamp()
    expected = "" if rotation.get("expected_s") is None else f" of about {rotation['expected_s']:.0f}"
    yield _say(
        f"  ROTATION {rotation['id']}, {rotation['kind']} to {rotation['node']}: {rotation['state']}, "
        f"{max(0.0, after):.0f}{expected} s",
        "bold cyan",
    )
    yield _say(f"    waits for {rotation.get('awaited')}", "cyan")


def _slots(rounds: Sequence[Mapping[str, Any]], width: int) -> Text:
    """Return the counts, then one character for each slot, a blank between rounds, the newest last.

    Args:
        rounds: the newest first.
        width: rounds that it has no room for are left out, the oldest first.
    """
    counts = {name: sum(s["state"] == name for each in rounds for s in each["slots"]) for name in _SLOTS}
    line = Text(f"  slots: {counts['signed']} signed, ")
    line.append(f"{counts['missed']} missed", "bold red" if counts["missed"] else "")
    line.append(f", {counts['other']} by others" if counts["other"] else "")
    shown: list[Text] = []
    for each in rounds:
        drawn = Text(" ")
        for slot in each["slots"]:
            drawn.append(*_SLOTS.get(str(slot["state"]), _SLOTS["unknown"]))
        if len(line) + sum(map(len, shown)) + len(drawn) > width:
            break
        shown.insert(0, drawn)
    return line.append_text(Text().join(shown))


def _tokens(status: Mapping[str, Any]) -> Text:
    line = Text("tokens ")
    for name, token in (status.get("tokens") or {}).items():
        what = lanes_open(token) if token.get("state") == "logged-in" else str(token.get("state"))
        line.append(plain(f" {name} {what} "), "green" if serves_well(token) else "bold red")
    return line


def _latency(status: Mapping[str, Any]) -> Iterator[Text]:
    terms = status.get("nodes") or {}
    for node, curves in (status.get("latency") or {}).items():
        waits = (terms.get(node) or {}).get("timeout_ms", "?")
        for curve, seen in curves.items():
            late = seen["above_timeout"]
            yield _say(
                f"latency {node} {curve}: p50 {seen['p50_ms']:.1f}, p99 {seen['p99_ms']:.1f}, longest "
                f"{seen['worst_ms']:.1f} of {waits} ms; {late} of {seen['count']} too late",
                "yellow" if late else "",
            )


def _decisions(seen: Seen, config: Config, labels: Mapping[str, str], room: int) -> Iterator[Text]:
    if seen.no_decisions:
        yield _say(f"signatures are not shown: {seen.no_decisions}", "cyan")
        return
    yield Text("last requests", "bold") if seen.decisions else Text("no request yet", "bold")
    for each in reversed(seen.decisions[-room:]):
        yield _decision(each, config, labels)


def _decision(decision: Mapping[str, Any], config: Config, labels: Mapping[str, str]) -> Text:
    node = str(decision.get("node") or "-")
    took_ms = int(decision.get("micros") or 0) / _MICROS
    verdict = str(decision.get("verdict"))
    key = labels.get(str(decision.get("key")), str(decision.get("key") or "-"))
    line = _say(f"{_clock(decision.get('at'))}  {node:<10.10} {key:<16.16} ")
    line.append(plain(f"{verdict:<8}"), _VERDICTS.get(verdict, ""))
    limit = config.nodes[node].timeout_ms if node in config.nodes else None
    if verdict in ("signed", "late") and limit:
        full = min(_BAR, round(took_ms / limit * _BAR))
        line.append(f"{took_ms:6.1f} ms ").append("\u2588" * full, "red" if took_ms > limit else "green")
        return line.append("\u2591" * (_BAR - full), "dim").append(f" {limit} ms")
    return line.append(plain(f" {decision.get('rule') or ''}"))


def _clock(at: object) -> str:
    try:
        return datetime.fromisoformat(str(at)).astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]
    except ValueError:
        return "?"
