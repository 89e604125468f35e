"""The parts of a run: each starts what it needs, measures, ends it, and adds to the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from bench import machine, processes, servers
from bench.client import Mode, Samples
from bench.dashboards import DASHBOARDS, Readers
from bench.production import produce
from bench.rotations import Rotating
from bench.scrapes import Scraper
from bench.servers import Reference, Setup, Signer
from bench.summary import LIMIT_NS, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rig.keypair import Curve
    from rig.signer_process import Way
    from rig.tools import Tools

    from bench.client import Kind, Side

#: A module as slow as a network HSM, and the terms it is measured on.
SLOW_OPERATION_MS: Final = 5.0
_SLOW_LANES: Final = 4
_SLOW_TIMEOUT_MS: Final = 50
_SLOW_OPERATIONS: Final = 50
#: s. What a start leaves to be done (audit file, first probes) is over by then.
_SETTLE_S: Final = 3.0
_PERIOD_S: Final = 0.45
_ROUND: Final = 12
#: Requests with dashboards open, then as many without: 18 s each.
_BATCH: Final = 40
#: A limit that a closed loop does not reach; every other rule is asked as in production, heights too.
GUARDS_ON: Final = """
[guards]
lease = "enforce"
rate = "enforce"
rate_limit = 100000
height = "observe"
"""
GUARDS_OFF: Final = """
[guards]
lease = "off"
rate = "off"
repeat = "off"
height = "off"
"""
_NO_CORES: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True)
class Plan:
    """What to measure. A count of 0 leaves that out.

    Attributes:
        closed: requests in a closed loop, for each side.
        steady: one each 450 ms, for each side.
        soak: as steady, for K1 and in the place of `steady`.
        rounds: rounds of 12.
        silence_s: before each round, s.
        floor_closed: operations of raw C_Sign.
        floor_steady: the same, one each 450 ms.
        unwarmed_steady: requests to a signer whose warm-up is off.
        unwarmed_rounds: rounds with it.
        idle_s: how long idle processor time is counted, s.
        starts: starts that are timed.
        blocks: blocks of real nodeos, for each curve.
        reloads: reloads while a real nodeos produces, for each curve.
        upgrades: upgrades while a real nodeos produces, for each curve.
        guards_closed: requests to a signer with all guards and its audit log, and to one with neither.
        guards_steady: the same, one each 450 ms.
        slow_closed: requests to a signer with a slow module.
        slow_steady: the same, one each 450 ms.
        dashboards: R1 requests, one each 450 ms, with ten dashboards open and with none.
        rotations: the same, while production moves and while it does not.
        scrapes: the same, while somebody reads the metrics once a second and while nobody does.
    """

    closed: int = 0
    steady: int = 0
    soak: int = 0
    rounds: int = 0
    silence_s: float = 20.0
    floor_closed: int = 0
    floor_steady: int = 0
    unwarmed_steady: int = 0
    unwarmed_rounds: int = 0
    idle_s: float = 0.0
    starts: int = 0
    blocks: int = 0
    reloads: int = 0
    upgrades: int = 0
    guards_closed: int = 0
    guards_steady: int = 0
    slow_closed: int = 0
    slow_steady: int = 0
    dashboards: int = 0
    rotations: int = 0
    scrapes: int = 0

    def steady_of(self, curve: Curve) -> int:
        """Return the samples of steady for a curve."""
        return self.soak if curve == "k1" and self.soak else self.steady

    def seconds(self, curves: Sequence[Curve], ways: int, *, interleaved: bool) -> float:
        """Return how long this takes, roughly."""
        count = len(curves)
        steady = [self.steady_of(curve) for curve in curves]
        paced = max(steady) if interleaved else sum(steady)
        a_round = self.silence_s + _ROUND * _PERIOD_S
        return (
            ways * (paced * _PERIOD_S + count * (self.rounds * a_round + self.closed * 0.004))
            + count * (self.floor_steady + self.unwarmed_steady) * _PERIOD_S
            + count * self.unwarmed_rounds * a_round
            + 2 * self.idle_s
            + ways * count * (self.blocks * 0.5 + self.reloads * 4.0 + self.upgrades * 6.0)
            + count * (self.guards_steady * _PERIOD_S + self.guards_closed * 0.004)
            + self.slow_steady * _PERIOD_S
            + 2 * (self.dashboards + self.rotations + self.scrapes) * _PERIOD_S
            + self.slow_closed * 0.008
            + 15
        )


@dataclass
class Bench:
    """One run.

    Attributes:
        folder: short, because a unix socket's path is; removed by the caller.
        interleaved: whether steady measures both curves at once, each request a quarter of a period apart.
        keep: whether the results hold every sample.
        save: called after each part.
    """

    tools: Tools
    folder: Path
    plan: Plan
    curves: tuple[Curve, ...]
    ways: tuple[Way, ...]
    interleaved: bool
    keep: bool
    save: Callable[[dict[str, Any]], None]
    rows: list[dict[str, Any]] = field(default_factory=list)
    cost: dict[str, Any] = field(default_factory=dict)
    production: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _roots: dict[str, int] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Measure everything and return the results. A part that fails is noted, and the others go on."""
        self._facts = machine.facts(self.tools)
        setup = servers.set_up(self.folder / "s")
        plan = self.plan
        if plan.starts:
            with self._part("starts"):
                self._time_starts(setup)
        if plan.closed or plan.steady or plan.soak or plan.rounds or plan.idle_s:
            with self._part("beside keosd"):
                self._beside_keosd(setup)
        if plan.unwarmed_steady or plan.unwarmed_rounds:
            with self._part("warm-up off"):
                self._unwarmed(setup)
        if plan.floor_closed or plan.floor_steady:
            with self._part("raw C_Sign"):
                self._floor(setup)
        self._nodeos(setup)
        if plan.guards_closed or plan.guards_steady:
            with self._part("guards"):
                self._guards(setup)
        if plan.slow_closed or plan.slow_steady:
            with self._part("slow module"):
                self._slow()
        for name, count, measure in (
            ("dashboards", plan.dashboards, partial(self._dashboards, setup)),
            ("scrapes", plan.scrapes, partial(self._scrapes, setup)),
            ("rotations", plan.rotations, self._rotations),
        ):
            if count:
                with self._part(name):
                    measure()
        return self.results()

    def results(self) -> dict[str, Any]:
        """Return what is known so far."""
        return {
            "machine": self._facts | {"load_average_now": os.getloadavg()},
            "plan": asdict(self.plan)
            | {"curves": self.curves, "transports": self.ways, "interleaved_curves": self.interleaved},
            "latency": self.rows,
            "cost": self.cost,
            "production": self.production,
            "problems": self.problems,
        }

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        say(name)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - an hour's other figures must not be lost with it
            traceback.print_exc()
            self.problems.append(f"{name}: {type(error).__name__}: {str(error)[:600]}")
        say(f"{name}: {time.monotonic() - began:.0f} s")
        self.save(self.results())

    # -- parts -----------------------------------------------------------------------------------------

    def _time_starts(self, setup: Setup) -> None:
        times = []
        for _ in range(self.plan.starts):
            with Signer(setup) as signer:
                times.append(signer.ready_s)
        self.cost["ready_s"] = times

    def _beside_keosd(self, setup: Setup) -> None:
        with Reference(self.tools, self.folder / "k") as reference, Signer(setup) as signer:
            roots = self._roots = {"signer": signer.pid, "keosd": reference.keosd.pid}
            if self.plan.idle_s:
                time.sleep(_SETTLE_S)
                with processes.used(roots) as idle:
                    time.sleep(self.plan.idle_s)
                self.cost["idle_cores"] = idle
                self.cost["processes"] = {name: len(processes.tree(root)) for name, root in roots.items()}
                self.cost["pss_mb"] = self._memory(roots)
            for way in self.ways:
                self._modes(setup, reference, way)
            if self.plan.idle_s:
                self.cost["pss_mb_after"] = self._memory(roots)

    @staticmethod
    def _memory(roots: dict[str, int]) -> dict[str, float | None]:
        return {name: processes.pss_mb(root) for name, root in roots.items()}

    def _modes(self, setup: Setup, reference: Reference, way: Way) -> None:
        plan = self.plan

        def sides(*curves: Curve) -> list[Side]:
            # Half a period lies between the two sides of a curve, also with two curves.
            ours = [setup.side(curve, way) for curve in curves]
            return ours + [reference.side(curve, way) for curve in curves]

        for curve in self.curves:
            self._ask(sides(curve), "closed", plan.closed)
        if self.interleaved:
            self._ask(sides(*self.curves), "steady", plan.steady)
        else:
            for curve in self.curves:
                self._ask(sides(curve), "steady", plan.steady_of(curve))
        for curve in self.curves:
            self._ask(sides(curve), "rounds", plan.rounds)

    def _unwarmed(self, setup: Setup) -> None:
        way = self.ways[0]
        with (
            Reference(self.tools, self.folder / "u") as reference,
            Signer(setup, warmth=False) as signer,
        ):
            self._roots = {"signer": signer.pid, "keosd": reference.keosd.pid}
            if self.plan.idle_s:
                time.sleep(_SETTLE_S)
                with processes.used({"signer": signer.pid}) as idle:
                    time.sleep(self.plan.idle_s)
                self.cost["idle_cores_warm_up_off"] = idle["signer"]
            for curve in self.curves:
                sides = [setup.side(curve, way), reference.side(curve, way)]
                self._ask(sides, "steady", self.plan.unwarmed_steady, note="warm-up off")
                self._ask(sides, "rounds", self.plan.unwarmed_rounds, note="warm-up off")

    def _floor(self, setup: Setup) -> None:
        for curve in self.curves:
            self._sign(setup, curve, Mode("closed", self.plan.floor_closed))
            self._sign(setup, curve, Mode("steady", self.plan.floor_steady))

    def _sign(
        self, setup: Setup, curve: Curve, mode: Mode, *, note: str = "", limit_ns: int = LIMIT_NS
    ) -> None:
        if mode.count:
            plan = {"key": asdict(setup.tokens[curve]), "mode": asdict(mode)}
            samples = Samples(**_child("bench.floor", plan, setup))
            self._add(f"C_Sign {curve} module", mode.kind, samples, note=note, limit_ns=limit_ns)

    def _nodeos(self, setup: Setup) -> None:
        plan = self.plan
        runs = ({"blocks": plan.blocks}, {"reloads": plan.reloads}, {"upgrades": plan.upgrades})
        for run, way, curve in product(runs, self.ways, self.curves):
            if not any(run.values()):
                continue
            with self._part(f"real nodeos, {curve} over {way}"), Signer(setup) as signer:
                folder = self.folder / f"n-{curve}-{way}-{next(iter(run))}"
                shown = produce(self.tools, folder, signer, curve=curve, way=way, **run)
                self.production.append({"curve": curve, "transport": way} | asdict(shown))

    def _guards(self, setup: Setup) -> None:
        """Two signers, alike but for their guards and the decisions in the audit log, asked in turns."""
        other = servers.set_up(self.folder / "g")
        with Signer(setup, further=GUARDS_ON) as on, Signer(other, further=GUARDS_OFF, audited=False) as off:
            self._roots = {"guards-on": on.pid, "guards-off": off.pid}
            for curve in self.curves:
                sides = [
                    replace(each.side(curve, self.ways[0]), name=f"{name} {curve} {self.ways[0]}")
                    for name, each in (("guards-on", setup), ("guards-off", other))
                ]
                self._ask(sides, "closed", self.plan.guards_closed, note="guards")
                self._ask(sides, "steady", self.plan.guards_steady, note="guards")

    def _slow(self) -> None:
        setup = servers.set_up_slow(
            self.folder / "h", lanes=_SLOW_LANES, delay_ms=SLOW_OPERATION_MS, timeout_ms=_SLOW_TIMEOUT_MS
        )
        # What an operation really takes: the delay, and what SoftHSM needs itself.
        limit_ns = _SLOW_TIMEOUT_MS * 1_000_000
        self._sign(setup, "k1", Mode("closed", _SLOW_OPERATIONS), note="slow module", limit_ns=limit_ns)
        with Signer(setup) as signer:
            self._roots = {"signer": signer.pid}
            sides = [setup.side("k1", self.ways[0])]
            self._ask(sides, "closed", self.plan.slow_closed, note="slow module", limit_ns=limit_ns)
            self._ask(sides, "steady", self.plan.slow_steady, note="slow module", limit_ns=limit_ns)

    def _dashboards(self, setup: Setup) -> None:
        """R1 signatures with no dashboard open, and with ten."""
        with Signer(setup) as signer:
            self._roots = {"signer": signer.pid}
            readers = Readers(setup, self.folder / "d")
            notes = "no dashboard", f"{DASHBOARDS} dashboards"
            self._turns(setup.side("r1", self.ways[0]), self.plan.dashboards, notes, readers.open)

    def _scrapes(self, setup: Setup) -> None:
        """R1 signatures while nobody reads the metrics, and while somebody does once a second."""
        with Signer(setup) as signer:
            self._roots = {"signer": signer.pid}
            scraper = Scraper(setup)
            side = setup.side("r1", self.ways[0])
            self._turns(side, self.plan.scrapes, ("no scrape", "scrapes"), scraper.scraping)
        took = sorted(scraper.took_ms)
        say(f"{len(took)} scrapes: p50 {took[len(took) // 2]:.1f} ms, longest {took[-1]:.1f} ms")

    def _rotations(self) -> None:
        """R1 signatures while production stays where it is, and while it moves."""
        rotating = Rotating(self.folder / "r")
        with rotating.up():
            self._roots = {"signer": rotating.pid}
            notes = "no rotation", "rotations"
            self._turns(rotating.side(), self.plan.rotations, notes, rotating.moving)
        say(f"{rotating.done} rotations")

    def _turns(
        self,
        side: Side,
        count: int,
        notes: tuple[str, str],
        busy: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Ask one side in turns: a batch with nothing beside it, a batch while something is busy."""
        quiet, beside = Samples(), Samples()
        for left in range(count, 0, -_BATCH):
            plan = {"sides": [asdict(side)], "mode": asdict(Mode("steady", min(left, _BATCH)))}
            for samples, context in ((quiet, nullcontext), (beside, busy)):
                with context():
                    [answer] = _child("bench.client", plan)
                _extend(samples, Samples(**answer))
        for note, samples in zip(notes, (quiet, beside), strict=True):
            self._add(side.name, "steady", samples, note=note)

    # -- measuring -------------------------------------------------------------------------------------

    def _ask(
        self, sides: list[Side], kind: Kind, count: int, *, note: str = "", limit_ns: int = LIMIT_NS
    ) -> None:
        if count == 0:
            return
        mode = Mode(kind, count, _ROUND if kind == "rounds" else 50, silence_s=self.plan.silence_s)
        say(f"{note or 'measure'} {kind} {count}: {', '.join(side.name for side in sides)}")
        plan = {"sides": [asdict(side) for side in sides], "mode": asdict(mode)}
        with processes.used(self._roots) as cores:
            shown = _child("bench.client", plan)
        for side, samples in zip(sides, shown, strict=True):
            self._add(side.name, kind, Samples(**samples), note=note, cores=cores, limit_ns=limit_ns)

    def _add(
        self,
        name: str,
        mode: str,
        samples: Samples,
        *,
        note: str = "",
        cores: Mapping[str, float] = _NO_CORES,
        limit_ns: int = LIMIT_NS,
    ) -> None:
        who, curve, way = name.split()
        about = {
            "who": who,
            "curve": curve,
            "transport": way,
            "mode": mode,
            "note": note,
            "cores": cores.get(who),
        }
        row = about | asdict(summarise(samples, limit_ns=limit_ns))
        if self.keep:
            row["samples_ns"] = samples.ns
        self.rows.append(row)
        if samples.firsts:
            self.rows.append(
                about
                | {"mode": f"{mode}, first"}
                | asdict(summarise(samples, limit_ns=limit_ns, firsts_only=True))
            )


def _extend(samples: Samples, more: Samples) -> None:
    samples.failed += [len(samples.ns) + place for place in more.failed]
    samples.ns += more.ns
    samples.fresh += more.fresh
    samples.delayed += more.delayed
    samples.reasons += more.reasons


def say(text: str) -> None:
    """Say on stderr what happens."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _child(module: str, plan: dict[str, Any], setup: Setup | None = None) -> Any:  # noqa: ANN401 - JSON
    """Run a measuring process of our own on `plan`; return what it printed.

    Raises:
        subprocess.CalledProcessError: it failed; it said why on stderr.
    """
    environment = dict(os.environ)
    if setup is not None:
        environment |= setup.environment
    done = subprocess.run(
        # With this process gone it would ask for an hour, and nobody would answer.
        ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-P", "-m", module],
        input=json.dumps(plan),
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        check=True,
    )
    return json.loads(done.stdout)
