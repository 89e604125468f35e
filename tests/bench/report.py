"""The results for people: tables, and how the figures that we want compare. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bench.dashboards import DASHBOARDS
from bench.parts import SLOW_OPERATION_MS
from bench.summary import upper_bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Row = dict[str, Any]

#: Samples below which a figure is not claimed.
_PAIRED: Final = 1000
_SOAK: Final = 3000
_ROUNDS: Final = 30
_ROUND: Final = 12
_BLOCKS: Final = 1200
_BESIDE: Final = 200
#: What all guards and the audit log together may add to the median, in ms.
_GUARDS_MS: Final = 0.1
_MODES: Final = {"closed": _PAIRED, "steady": _PAIRED, "rounds": _ROUNDS * _ROUND}


def text(results: Row) -> str:
    """Return everything as plain text."""
    facts = results["machine"]
    parts = [
        "\n".join(f"{name}: {value}" for name, value in facts.items()),
        _how(results["plan"]),
        _latency(results["latency"]),
        "\n".join(_cost(results["cost"])),
        "\n".join(_production(results["production"])),
        "\n".join(_slow(results["latency"])),
        "\n".join(f"PROBLEM {problem}" for problem in results["problems"]),
        _figures_text(results["figures"]),
    ]
    return "\n\n".join(part for part in parts if part)


def _how(plan: Row) -> str:
    curves = (
        "K1 and R1 interleaved in steady, a quarter of a period apart (each signer is asked twice in a period)"
        if plan["interleaved_curves"]
        else "each curve on its own"
    )
    return (
        "signer and keosd alternate in one run: closed in batches of 50, steady and rounds half a period (225 ms) "
        f"apart; {curves}; rounds after {plan['silence_s']:g} s of silence.\n"
        "ms from before the connection, if one was made, to the whole answer. "
        "lost: above the limit (5 ms; slow module 50 ms) or no signature; "
        "'at most': its part of all requests, one-sided 95 % bound (Clopper-Pearson). "
        "connects and delayed: requests that had to connect, and that began late because the answer before took long; "
        "of the whole series. cpu: of one core, of all processes of that side while the mode ran."
    )


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) if place < 5 else cell.rjust(width) for place, (cell, width) in enumerate(
            zip(line, widths, strict=True)
        )).rstrip()
        for line in (head, *lines)
    )  # fmt: skip


def _latency(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    head = (
        "who",
        "curve",
        "by",
        "mode",
        "note",
        "n",
        "p50",
        "p90",
        "p99",
        "worst",
        ">limit",
        "errors",
        "lost",
    )
    lines = [
        (
            *(row[name] for name in ("who", "curve", "transport", "mode", "note")),
            str(row["n"]),
            *(f"{row[name]:.3f}" for name in ("p50", "p90", "p99", "worst")),
            *(str(row[name]) for name in ("above_limit", "errors", "lost")),
            f"{row['lost_upper']:.3%}",
            str(row["fresh"]),
            str(row["delayed"]),
            "" if row["cores"] is None else f"{row['cores']:.1%}",
        )
        for row in rows
    ]
    shown = _table((*head, "at most", "connects", "delayed", "cpu"), lines)
    reasons = sorted({f"{row['who']} {row['curve']}: {reason}" for row in rows for reason in row["reasons"]})
    return "\n".join([shown, *(f"error: {reason}" for reason in reasons)])


def _cost(cost: Row) -> Iterator[str]:
    if "ready_s" in cost:
        yield "ready after " + ", ".join(f"{seconds:.2f}" for seconds in cost["ready_s"]) + " s"
    for who, used in cost.get("idle_cores", {}).items():
        yield f"idle: {who} uses {used:.1%} of one core, in {cost['processes'][who]} processes"
    if "idle_cores_warm_up_off" in cost:
        yield f"idle with warm-up off: signer uses {cost['idle_cores_warm_up_off']:.1%} of one core"
    for when, name in (("after the start", "pss_mb"), ("after the load", "pss_mb_after")):
        for who, used in cost.get(name, {}).items():
            shown = "not known: run as root" if used is None else f"{used:.1f} MB"
            yield f"memory (PSS of all processes) {when}: {who} {shown}"


def _production(runs: Sequence[Row]) -> Iterator[str]:
    for run in runs:
        yield (
            f"real nodeos, {run['curve']} over {run['transport']}, timeout 5 ms: {run['blocks']} blocks, "
            f"{run['requests']} requests, {run['reloads']} reloads, {run['upgrades']} upgrades, {run['failed']} failed "
            f"(at most {upper_bound(max(run['failed'], 0), run['requests']):.3%})"
        )
        yield from (f"  {failure}" for failure in run["failures"])


def _slow(rows: Sequence[Row]) -> Iterator[str]:
    slow = [row for row in rows if row["note"] == "slow module"]
    real = next((row["p50"] for row in slow if row["who"] == "C_Sign"), SLOW_OPERATION_MS)
    for row in slow:
        if row["who"] == "signer":
            for unit, of in ((SLOW_OPERATION_MS, "as configured"), (real, "as measured")):
                p50, p99 = row["p50"] / unit, row["p99"] / unit
                yield (
                    f"slow module, {row['mode']}: p50 {p50:.2f}, p99 {p99:.2f} operations of {unit:.2f} ms, {of}"
                )


# -- figures ---------------------------------------------------------------------------------------------


def figures(results: Row) -> list[Row]:
    """Return `{"figure", "measured", "verdict"}` for each figure that this run says something about.

    The verdict is `reached`, `missed`, or `too few samples` where it was reached with less than the figure asks for.
    """
    found = [
        *_r1(results["latency"]),
        *_k1(results["latency"]),
        *_blocks(results["production"]),
        *_limits(results["cost"]),
        *_operations(results["latency"]),
        *_beside(results["latency"], "no dashboard", f"{DASHBOARDS} dashboards"),
        *_beside(results["latency"], "no scrape", "scrapes"),
        *_beside(results["latency"], "no rotation", "rotations"),
        *_guards(results["latency"]),
    ]
    return [
        {
            "figure": figure,
            "measured": measured,
            "verdict": "missed" if not well else "reached" if enough else "too few samples",
        }
        for figure, measured, well, enough in found
    ]


Figure = tuple[str, str, bool, bool]


def _guards(rows: Sequence[Row]) -> Iterator[Figure]:
    for on in (row for row in rows if row["who"] == "guards-on" and row["mode"] in _MODES):
        place = ("guards-off", on["curve"], on["mode"])
        off = next(row for row in rows if (row["who"], row["curve"], row["mode"]) == place)
        enough = on["n"] >= _PAIRED
        name = f"guards and audit on against off, {on['curve'].upper()} {on['mode']}"
        more = on["p50"] - off["p50"]
        yield f"{name}: p50 within +{_GUARDS_MS} ms", f"{more:+.3f} ms", more <= _GUARDS_MS, enough
        yield (
            f"{name}: not more above 5 ms",
            f"{on['lost']} and {off['lost']} of {on['n']}",
            on["lost"] <= off["lost"],
            enough,
        )


def _r1(rows: Sequence[Row]) -> Iterator[Figure]:
    plain = [row for row in rows if row["curve"] == "r1" and not row["note"]]
    for ours in plain:
        if ours["who"] != "signer" or ours["mode"] not in _MODES:
            continue
        place = (ours["transport"], ours["mode"])
        theirs = next(
            row for row in plain if row["who"] == "keosd" and (row["transport"], row["mode"]) == place
        )
        enough = ours["n"] >= _MODES[ours["mode"]]
        name = f"R1 {ours['mode']} over {ours['transport']}"
        yield (
            f"{name}: p50 at or below keosd's",
            f"{ours['p50']:.3f} and {theirs['p50']:.3f} ms",
            ours["p50"] <= theirs["p50"],
            enough,
        )
        yield (
            f"{name}: not more above 5 ms",
            f"{ours['lost']} and {theirs['above_limit']} of {ours['n']}",
            ours["lost"] <= theirs["above_limit"],
            enough,
        )


def _k1(rows: Sequence[Row]) -> Iterator[Figure]:
    ours = [row for row in rows if row["curve"] == "k1" and row["who"] == "signer" and not row["note"]]
    for way in sorted({row["transport"] for row in ours}):
        chosen = [row for row in ours if row["transport"] == way and row["mode"] in {"steady", "rounds"}]
        if not chosen:
            continue
        counts = {row["mode"]: row["n"] for row in chosen}
        lost, total = sum(row["lost"] for row in chosen), sum(counts.values())
        yield (
            f"K1 soak of {_SOAK} and {_ROUNDS} rounds over {way}: at most 3 above 5 ms",
            f"{lost} of {total}, at most {upper_bound(lost, total):.3%}",
            lost <= 3,
            counts.get("steady", 0) >= _SOAK and counts.get("rounds", 0) >= _ROUNDS * _ROUND,
        )


def _blocks(runs: Sequence[Row]) -> Iterator[Figure]:
    for run in (run for run in runs if not run["reloads"] + run["upgrades"]):
        yield (
            f"real nodeos, {run['curve']} over {run['transport']}, {_BLOCKS} blocks: no failed signature",
            f"{run['failed']} of {run['requests']}",
            run["failed"] == 0 and not run["failures"],
            run["blocks"] >= _BLOCKS,
        )


def _limits(cost: Row) -> Iterator[Figure]:
    if "idle_cores" in cost:
        used = cost["idle_cores"]["signer"]
        yield "idle below 10 % of one core", f"{used:.1%}", used < 0.1, True
    if "ready_s" in cost:
        worst = max(cost["ready_s"])
        yield "ready in under 3 s", f"{worst:.2f} s", worst < 3, True
    memory = [cost[name]["signer"] for name in ("pss_mb", "pss_mb_after") if name in cost]
    known = [used for used in memory if used is not None]
    if known:
        yield "PSS of all processes under 250 MB", f"{max(known):.1f} MB", max(known) < 250, True


def _operations(rows: Sequence[Row]) -> Iterator[Figure]:
    for row in rows:
        if row["note"] == "slow module" and row["who"] == "signer":
            p50, p99 = row["p50"] / SLOW_OPERATION_MS, row["p99"] / SLOW_OPERATION_MS
            yield (
                f"slow module, {row['mode']}: p50 within 1.5 operations, p99 within 3",
                f"{p50:.2f} and {p99:.2f}, {row['errors']} errors",
                p50 <= 1.5 and p99 <= 3 and row["errors"] == 0,
                row["n"] >= 100,
            )


def _beside(rows: Sequence[Row], none: str, busy: str) -> Iterator[Figure]:
    """What other work costs: rows of the notes `none` and `busy`."""
    shown = {row["note"]: row for row in rows}
    if none not in shown or busy not in shown:
        return
    quiet, beside = shown[none], shown[busy]
    enough = quiet["n"] >= _BESIDE
    yield (
        f"{busy}: R1 p50 within 0.1 ms of that with {none}",
        f"{beside['p50']:.3f} and {quiet['p50']:.3f} ms",
        beside["p50"] <= quiet["p50"] + 0.1,
        enough,
    )
    yield (
        f"{busy}: not more above 5 ms",
        f"{beside['lost']} and {quiet['lost']} of {quiet['n']}",
        beside["lost"] <= quiet["lost"],
        enough,
    )


def _figures_text(found: Sequence[Row]) -> str:
    return "\n".join(f"{row['verdict']:15}  {row['figure']}: {row['measured']}" for row in found)
