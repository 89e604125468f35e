"""`signer serve`: owns the sockets and the PINs, starts, replaces and stops the other processes.

What it guarantees:
- One supervisor per state folder.
- A reload that is invalid, or would lose a key that signed in the last hour, leaves the old process serving.
- An upgrade replaces the code of this process and no socket, lock or signing process is without it meanwhile.
- A freeze is on disk and confirmed by every signing process, or that process is killed, before it is acknowledged. If
  the disk hangs, it is confirmed all the same, and that it may not outlive a crash of the host is said.
- One writer of the audit log, whatever signing processes come and go.
- Nothing that it does for block signatures or a freeze waits for the control process.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import uvloop

from hsm import beginning
from hsm.hardening import harden, lock_memory
from signer import __version__, config_file, selection
from signer.antelope.keys import PublicKey
from signer.errors import AdminError, ConfigError, FormatError
from signer.logs import configure
from signer.policy import policies
from signer.signing import audit, server
from signer.signing.connection import Listener
from signer.signing.freeze import FreezeMarkers
from signer.supervisor import estate as estates
from signer.supervisor import readiness, sockets, status, upgrade, worker
from signer.supervisor.admin import AdminApp
from signer.supervisor.alarms import Alarms
from signer.supervisor.answers import Answers
from signer.supervisor.audit import AuditLog, Head
from signer.supervisor.control import ControlKeeper
from signer.supervisor.expected import Expected
from signer.supervisor.generation import Generation
from signer.supervisor.issued import Issued
from signer.supervisor.leases import Leases
from signer.supervisor.marking import Marking
from signer.supervisor.pins import Pins
from signer.supervisor.status import View
from signer.supervisor.totals import Totals
from signer.supervisor.wallet import Wallet

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from signer.alarm import Alarm
    from signer.chain.sighting import Sighting
    from signer.channel import Message
    from signer.config import Config, Key
    from signer.supervisor.estate import Estate
    from signer.supervisor.lanes import LaneKeeper
    from signer.supervisor.marking import Cleared
    from signer.supervisor.worker import Worker

log = logging.getLogger("signer.supervisor")

#: Longest wait for tokens at start and at reload, in s.
_RESOLVE_S = 45.0
#: A first start listens after this long even if a module is still busy opening, in s.
_LISTEN_ANYWAY_S = 2.5
#: A task that is to end is told so again after this long, in s.
_CANCEL_AGAIN_S = 1.0
#: An old generation has this long to answer what it accepted, in s.
_DRAIN_S = 10.0
#: A freeze waits this long for a signing process before it is killed, in s.
_FREEZE_S = 0.05
#: A signing process has this long to take a lease that a person gave, in s.
_LEASE_S = 2.0
#: A reload must not lose a key that signed within this time, in s.
_RECENT_S = 3600.0
#: A signing process that lived this long was healthy; another starts without delay.
_HEALTHY_S = 5.0
_CRASH_BACKOFF_S = 0.05
#: How often a signing process is asked whether its event loop turns, and how long it may take to say so, in s.
_PING_S = 0.5
_HUNG_S = 3.0
#: What is added to that, as a multiple of how late the supervisor itself wakes up.
_FORBEARANCE = 20
_CRASH_BACKOFF_MAX_S = 2.0
#: A new one answers first when it has loaded its code. On a starved machine, killing it earlier would only begin that
#: again, for ever.
_BEGIN_S = 20.0
#: A probe is given this long, in s: as long as the key's own check at the start (signer.signing.keyring), and a bit.
_PROBE_S = 6.0
#: The processes, and the purpose of their tokens.
_PURPOSES = (("signing", "block"), ("control", "control"))


class Reloaded(NamedTuple):
    """What a reload came to: the number of the generation, and why, by key (PUB_ form), some are quarantined."""

    generation: int
    quarantined: dict[str, str]


class Upgrade(NamedTuple):
    """The last upgrade that was asked for.

    Attributes:
        attempt: its number, 0 if there was none.
        state: `none`, `leaving` (the image before), `renewing` (this one), `done` or `refused`.
        reason: why, where it was refused.
        quarantined: as Reloaded.
    """

    attempt: int = 0
    state: str = "none"
    reason: str = ""
    quarantined: dict[str, str] = {}  # noqa: RUF012 - never changed


class Supervisor:
    """Everything of this process, tied together.

    Attributes:
        path: the configuration file.
        config: what is in service of it.
        pins: where PINs come from.
        wallet: what cleos may do with tokens.
        issued: the signatures of this signer.
        sightings: what was last seen of our producer, by chain. It may be old: `at` says so.
        alarms: what a person has to look at.
        leases: which node may sign for a producer.
    """

    def __init__(self, path: Path, config: Config, lock: int, *, only: str | None) -> None:
        self.path = path
        self.config = config
        self.pins = Pins()
        self._expected = Expected()
        self.wallet = Wallet(self, config, self._expected)
        self._only = only
        self._lock = lock
        self._upgrade = Upgrade()
        self._leaving: asyncio.Task[None] | None = None
        self._admin: tuple[server.Server, asyncio.Task[None]] | None = None
        self._bound: dict[str, socket.socket] = {}
        self._number = 0
        self._current: Generation | None = None
        self._draining: dict[Generation, asyncio.Task[None]] = {}
        self._preparing: Generation | None = None
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = time.time()
        self.issued = Issued()
        self._totals = Totals(config)
        self.sightings: dict[str, Sighting] = {}
        self._failure = ""
        self._crashes = 0
        self._restarts = 0
        self._markers = FreezeMarkers(config.freeze_dir)
        self._marking = Marking(self._markers)
        self._audit_path = config.audit_log
        self._audit = AuditLog(self._audit_path, config.audit)
        self.alarms = Alarms(config.state_dir / "alarms.json", self._alarm_changed)
        raised = partial(self.alarms.raised, "supervisor")
        self.leases = Leases(config.state_dir / "leases.json", config, self.act, raised)
        self._control = ControlKeeper(
            Answers(self).answer,
            self._control_decision,
            self.pins,
            partial(self._token_changed, None),
            on_lane_lost=self._totals.lane_lost,
            on_hung=self._control_hung,
            on_ended=partial(self.alarms.ended, "control"),
            expected=self._expected,
        )

    # -- life ----------------------------------------------------------------------------------------

    async def run(self, estate: Estate | None = None) -> int:
        """Serve until stopped. Returns the exit code.

        Args:
            estate: of the image before, which this one takes over.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop, "SIGTERM")
        loop.add_signal_handler(signal.SIGINT, self.stop, "SIGINT")
        loop.add_signal_handler(signal.SIGHUP, self._reload_on_signal)
        with contextlib.suppress(OSError):  # a freeze tries again, and says why it cannot
            self._markers.prepare()
        if estate is None:
            self._begin()
        else:
            self._take_over(estate)
        upgrade.take_signals()
        self._admin = self._start_admin()
        code = 0
        try:
            if estate is None:
                code = await self._first_processes()
            else:
                self._spawn(self._renew(estate.by))
            if code == 0:
                self._spawn(self.issued.learn(self._audit_path))
                await self._stopping.wait()
        finally:
            log.info("stopping")
            await self._end()
            await self._stop_admin()
            for sock in self._bound.values():
                sockets.release(sock)
            await self._marking.settle()
            self.act(audit.STOP, f"uid {os.geteuid()}", None)
            self.leases.close()
            await self._audit.close()
        return code

    def _begin(self) -> None:
        self.act(audit.START, f"uid {os.geteuid()}", f"version {__version__}, configuration {self.path}")
        for mark in self._markers.standing():
            self.act(
                audit.FREEZE,
                str(mark["by"]),
                f"in force at start: {mark['scope']} {mark['name']}: {mark['reason']}",
            )
        self._bind(self.config)

    async def _first_processes(self) -> int:
        code = 0
        if self._only != "control":
            code = await self._first_generation()
        if code == 0 and self._only != "signing":
            self._control.start(self.config, self._control_sockets())
        return code

    async def _first_generation(self) -> int:
        generation = await self._start_generation(self.config)
        self._current = generation
        resolved = asyncio.create_task(generation.resolved(_RESOLVE_S))
        await asyncio.wait({resolved}, timeout=_LISTEN_ANYWAY_S)
        generation.listen()
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({resolved, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if generation.ended.is_set():
            log.error(
                "the signing process ended while it started; the signer ends", extra={"pid": generation.pid}
            )
            return 1
        if self._hopeless(generation):
            log.error(
                "no block key can be used; the signer ends",
                extra={
                    "reason": self._failure,
                    "remedy": "see the quarantined keys above; `signer-hsm audit` helps",
                },
            )
            return 1
        log.info("serving", extra={"generation": generation.number, "version": __version__})
        self._watch(generation)
        return 0

    def _hopeless(self, generation: Generation) -> bool:
        """Whether every block key is quarantined. A token that is away or a PIN that waits may still come."""
        block = [str(key.public_key) for key in self.config.keys if key.role == "block"]
        states = [generation.states.get(name, "unavailable") for name in block]
        self._failure = "; ".join(f"{name}: {generation.reasons.get(name, '')}" for name in block)
        return bool(block) and all(state == "quarantined" for state in states)

    def _generation(self, number: int, config: Config) -> Generation:
        return Generation(
            number,
            config,
            self.pins,
            self.wallet,
            self.alarms,
            on_audit=partial(self._signing_decision, number),
            on_token=partial(self._token_changed, number),
            on_lane_lost=self._totals.lane_lost,
            on_lease=self._lease_moved,
            on_kept=self._connection_left,
            expected=self._expected,
        )

    async def _start_generation(self, config: Config) -> Generation:
        self._number += 1
        generation = self._generation(self._number, config)
        await generation.start(
            [self._bound[listener.address] for listener in selection.signing_listeners(config)]
        )
        self._brief(generation)
        return generation

    def _brief(self, generation: Generation) -> None:
        for message in self.leases.brief(generation.config):
            generation.send(message)

    def _generations(self) -> list[Generation]:
        """Every one that may sign: a reload has two, for a while."""
        return [*self._draining, *(each for each in (self._current, self._preparing) if each)]

    def _connection_left(self, generation: Generation, message: Message, fds: list[int]) -> None:
        """Hand a connection that an old generation kept to the one in its place; without one it is closed."""
        next_one = self._current if self._current is not generation else None
        try:
            if next_one is not None and next_one.accepts:
                next_one.send(message, fds)
            elif not self._stopping.is_set():
                log.warning("a kept connection is lost", extra={"reason": "no other process takes it"})
        except OSError as error:
            log.warning("a kept connection is lost", extra={"reason": error.strerror})
        finally:
            for fd in fds:
                os.close(fd)

    def _watch(self, generation: Generation) -> None:
        self._spawn(self._replace_when_ended(generation))
        self._spawn(self._kill_when_hung(generation))

    def _lost_with(self, generation: Generation) -> None:
        """Have it in the audit log that decisions of the last ms may be missing: they were not handed over yet."""
        detail = f"generation {generation.number}, {generation.how_it_ended()}: its last signatures may be missing here"
        self.act(audit.SIGNING_ENDED, "signer", detail)

    async def _kill_when_hung(self, generation: Generation) -> None:
        """A signing process whose event loop does not turn signs for nobody: another takes its place."""
        patience_s = _BEGIN_S
        while not generation.ended.is_set():
            began = time.monotonic()
            await asyncio.sleep(_PING_S)
            # Where we are late ourselves the machine is too busy, and another start would only make it worse.
            late_s = time.monotonic() - began - _PING_S
            if await generation.alive(patience_s + _FORBEARANCE * late_s) or generation.ended.is_set():
                patience_s = _HUNG_S
                continue
            log.error("signing process does not answer; killed", extra={"pid": generation.pid})
            self._hung(generation)
            with contextlib.suppress(ProcessLookupError):
                os.kill(generation.pid, signal.SIGKILL)
            return

    async def _replace_when_ended(self, generation: Generation) -> None:
        """A signing process that ends unasked is replaced; its sockets stay, so callers wait in their queue."""
        await generation.ended.wait()
        if generation is not self._current or self._stopping.is_set():
            return
        await generation.kill()
        fields = {"generation": generation.number, "reason": generation.how_it_ended()}
        log.error("signing process ended; starting another", extra=fields)
        self._lost_with(generation)
        self._restarts += 1
        if generation is not self._current or self._stopping.is_set():
            return
        healthy = time.monotonic() - generation.started > _HEALTHY_S
        self._crashes = 0 if healthy else self._crashes + 1
        replacement = await self._start_another(generation)
        if replacement is None:
            return
        if generation is not self._current or self._stopping.is_set():
            await replacement.kill()  # a reload was faster
            return
        self._current = replacement
        self._watch(replacement)
        await replacement.resolved(_LISTEN_ANYWAY_S)
        replacement.listen()

    async def _start_another(self, ended: Generation) -> Generation | None:
        """Start one in the place of `ended`, as often as the system refuses; None: it is not wanted any more."""
        while ended is self._current and not self._stopping.is_set():
            if self._crashes:
                delay_s = min(_CRASH_BACKOFF_MAX_S, _CRASH_BACKOFF_S * 2 ** min(self._crashes, 10))
                await asyncio.sleep(delay_s)
            try:
                return await self._start_generation(self.config)
            except OSError as error:
                log.error("signing process cannot be started", extra={"reason": error.strerror})
                self._crashes += 1
        return None

    async def _end(self) -> None:
        self._stopping.set()
        if self._leaving is not None:
            await asyncio.wait({self._leaving}, timeout=_DRAIN_S)
            await _end_all({self._leaving})
            if self._current is not None:
                self._current.stay()
        self.wallet.close()
        self.pins.wipe()
        generations = self._generations()
        self._current = None
        await asyncio.gather(
            self._control.stop(), *(generation.drain(_DRAIN_S) for generation in generations)
        )
        await _end_all(self._tasks)

    def _spawn(self, coroutine: Any) -> asyncio.Task[None]:  # noqa: ANN401 - any coroutine
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- sockets -------------------------------------------------------------------------------------

    def _bind(self, config: Config) -> None:
        for listener in selection.served_listeners(config, self._only):
            if listener.address not in self._bound:
                self._bound[listener.address] = sockets.bind(listener)

    def _control_sockets(self) -> list[socket.socket]:
        return [self._bound[listener.address] for listener in selection.control_listeners(self.config)]

    def _start_admin(self) -> tuple[server.Server, asyncio.Task[None]]:
        wanted = [listener for listener in self.config.listeners if listener.kind == "admin"]
        bound = [self._bound[listener.address] for listener in wanted]
        listeners = [Listener.of(listener, self.config.limits) for listener in wanted]
        for listener in listeners:
            listener.peers = frozenset({0, os.geteuid()})
        admin = server.build(AdminApp(self), listeners, bound)
        return admin, asyncio.create_task(admin.serve(sockets=[sock.dup() for sock in bound]))

    async def _stop_admin(self) -> None:
        if self._admin is not None:
            admin, task = self._admin
            admin.end()
            await asyncio.gather(task, return_exceptions=True)
            self._admin = None

    # -- audit ---------------------------------------------------------------------------------------

    def _signing_decision(self, number: int, entry: dict[str, Any]) -> None:
        self._expected.note(entry)
        given = self._decision(entry)
        if given is None:
            return
        for generation in self._generations():
            if generation.number != number:  # both accept, while one is about to take the other's place
                generation.send(given)

    def _decision(self, entry: dict[str, Any]) -> Message | None:
        if entry["verdict"] == audit.Verdict.SIGNED:
            self.wallet.used()
        self.issued.add(entry)
        self._totals.decision(entry)
        given = self.leases.given(entry)
        self._audit.decision(entry)
        return given

    def _control_decision(self, entry: dict[str, Any]) -> None:
        """Take a decision of the control process; a signature only if it is of one of its own keys."""
        tokens = selection.control_tokens(self.config)
        own = {str(key.public_key) for key in self.config.keys if key.token in tokens}
        if entry["verdict"] == audit.Verdict.SIGNED and entry["key"] not in own:
            log.error(
                "decision of the control process on a key that is not its own", extra={"key": entry["key"]}
            )
            return
        self._decision(entry)

    def audit_head(self) -> Head:
        """Return the last line of the audit log that is on the disk, to make a checkpoint of."""
        return self._audit.give_head()

    async def checkpoint(self, checkpoint: audit.Checkpoint) -> int:
        """Write a checkpoint into the audit log; return the number of the last line once it is on the disk.

        Raises:
            FormatError: it is of no line that was given for it, or not by an audit key of the configuration.
            AuditError: it cannot be written now.
        """
        if checkpoint.key not in {str(key.public_key) for key in self.config.keys if key.role == "audit"}:
            raise FormatError(f"{checkpoint.key} is no audit key of this signer")
        return await self._audit.checkpoint(checkpoint)

    def act(self, name: str, by: str, detail: str | None) -> None:
        """Write an administrative act into the audit log."""
        self._audit.act(name, by, detail, datetime.now(UTC))

    def _alarm_changed(self, alarm: Alarm, on: bool) -> None:  # noqa: FBT001 - as Alarms calls it
        self.act(
            audit.ALARM if on else audit.ALARM_ENDED, "signer", f"{alarm.name} {alarm.subject}: {alarm.text}"
        )

    def _lease_moved(self, generation: Generation, message: Message) -> None:
        news = self.leases.moved(message)
        for other in self._generations():
            if news is not None and other is not generation:
                other.send(news)

    async def take_lease(self, chain: str, node: str, by: str, reason: str) -> None:
        """Give the lease of a chain's producer to a node. When this returns, no other node is given a signature.

        Raises:
            AdminError: there is no such chain, node or lease, or the signing process did not confirm it.
        """
        news = await self.leases.take(chain, node, by, reason)
        generations = self._generations()
        took = await asyncio.gather(*(each.lease(news, _LEASE_S) for each in generations))
        if not all(took):
            raise AdminError(
                "the signing process did not confirm the lease in time; `signer status` says who holds it"
            )

    def _hung(self, generation: Generation) -> None:
        text = f"signing process {generation.pid} did not answer and was killed; the log has the time"
        self.alarms.raised("supervisor", "signing-hung", "", text)

    def _control_hung(self, pid: int) -> None:
        text = f"control process {pid} did not answer and was killed; the log has the time"
        self.alarms.raised("supervisor", "control-hung", "", text)

    def dismiss(self, name: str, subject: str | None, by: str, reason: str) -> int:
        """End alarms that a person has seen. Returns how many.

        Raises:
            AdminError: there is no alarm of that name.
        """
        found = self.alarms.dismiss(name, subject)
        for alarm in found:
            self.act(audit.DISMISS, by, f"{alarm.name} {alarm.subject}: {reason}")
        return len(found)

    def _token_changed(self, generation: int | None, token: str, state: str, reason: str) -> None:
        level = logging.INFO if state == "logged-in" else logging.WARNING
        fields: dict[str, object] = {"token": token, "status": state, "reason": reason}
        if generation is not None:
            fields["generation"] = generation
        log.log(level, "token state", extra=fields)
        if state == "pin-refused":
            self.act(audit.PIN_REFUSED, "signer", f"token {token}: {reason}")
            typed = self.pins.typed(self.config, token) if token in self.config.tokens else None
            if typed is not None:
                typed.wipe()  # a token may have got another PIN since

    # -- chains --------------------------------------------------------------------------------------

    def sighted(self, sighting: Sighting) -> bool:
        """Take what the control process saw of a chain; of one that is not configured it is dropped.

        Returns:
            whether block signatures are given here, so that one which is not known is another's.
        """
        if sighting.chain in self.config.chains:
            self.sightings[sighting.chain] = sighting
            news = self.leases.see(sighting)
            for generation in self._generations():
                if news is not None:
                    generation.send(news)
        return self._only != "control"

    # -- tokens --------------------------------------------------------------------------------------

    def keeper(self, token: str) -> LaneKeeper | None:
        """Return who keeps the lanes of a block token, None where no signing process has it."""
        return self._current.keepers.get(token) if self._current else None

    async def checked(self, token: str, timeout_s: float) -> None:
        """Wait until the keys of a block token that opens are checked, and not longer than `timeout_s`."""
        if self._current is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._current.checked[token].wait()

    def log_out(self, token: str) -> None:
        """End the lanes of a block token in every signing process, after its PIN was wiped."""
        for generation in self._generations():
            if token in generation.keepers:
                generation.lock(token)

    def is_frozen(self, key: Key) -> bool:
        """Whether a freeze marker covers the key."""
        return self._markers.frozen(key.node or "", str(key.public_key)) is not None

    # -- administration ------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """Return what `signer status` shows."""
        generation = self._current
        views = await self._views()
        inner = views["block"].said
        keys = status.key_states(self.config, views)
        frozen = self._markers.standing()
        for key in keys:
            reason = self._markers.frozen(key["node"] or "", key["public_key"])
            if reason is not None:
                key.update(state="frozen", reason=reason)
            last = self.issued.last(key["public_key"])
            key["signatures"] = self.issued.count(key["public_key"])
            key["last_signature_at"] = last.at if last else None
        listening = generation is not None and generation.listening.is_set()
        serving = self._control.ready if self._only == "control" else listening
        tokens = status.token_states(self.config, views)
        silence = "" if inner is not None and listening else views["block"].silence or self._no_signing()
        obstacles = readiness.obstacles(self.config, keys, tokens, silence, time.time())
        return {
            "state": "stopping" if self._stopping.is_set() else "serving" if serving else "starting",
            "ready": not obstacles,
            "obstacles": obstacles,
            "only": self._only,
            "pid": os.getpid(),
            "signing_pid": generation.pid if generation else None,
            "version": __version__,
            "started_at": self._started,
            "config": str(self.path),
            "generation": generation.number if generation else self._number,
            "problems": self._problems(views, keys),
            "alarms": self.alarms.as_json(),
            "restarts": self._restarts,
            "upgrade": self._upgrade._asdict(),
            "frozen": frozen,
            "answers": {name: views[purpose].said is not None for name, purpose in _PURPOSES},
            "nodes": status.node_terms(self.config),
            "tokens": tokens,
            "keys": keys,
            "counters": self._totals.state() | (inner["counters"] if inner else {}),
            "latency": self._totals.latency(),
            "guards": inner["guards"] if inner else {},
            "audit": self._audit.state(),
            "realtime": inner["realtime"] if inner else None,
            "disk": status.space(self.config.state_dir),
            "control": self._control.state(),
            "production": (views["control"].said or {}).get("production"),
            "chains": {
                name: each.to_fields() for name, each in self.sightings.items() if name in self.config.chains
            },
        }

    async def _views(self) -> dict[str, View]:
        """Return both processes, by the purpose of their tokens."""
        control = self._control.process
        said = await asyncio.gather(
            _ask(self._current), _ask(control if control is not None and control.ready else None)
        )
        return {
            "block": View(self._current, said[0], "" if said[0] else self._no_signing()),
            "control": View(control, said[1], "" if said[1] else self._no_control()),
        }

    def _no_signing(self) -> str:
        """Return why the signing process is silent."""
        if self._only == "control":
            return "no signing process here: started with --only control"
        began = self._current is not None and self._current.listening.is_set()
        return f"the signing process {'does not answer' if began else 'is being started'}"

    def _no_control(self) -> str:
        """Return why the control process is silent."""
        if self._only == "signing":
            return "no control process here: started with --only signing"
        if not selection.control_listeners(self.config):
            return "no control process here: the configuration has no listener of kind control"
        return f"the control process {'does not answer' if self._control.ready else 'is being started'}"

    def _problems(self, views: dict[str, View], keys: list[dict[str, Any]]) -> list[str]:
        """Return one sentence for everything that a person should look at."""
        found = []
        inner = views["block"].said
        if self._only != "control":
            found = [] if inner is not None else [views["block"].silence]
            found.extend(self._current.problems() if self._current else [])
        if self._control.ready and views["control"].said is None:
            found.append(views["control"].silence)
        found.extend(self._control.problems())
        found.extend(status.key_problems(keys))
        found.extend(self.leases.problems())
        degraded = self._audit.state()["degraded"]
        if degraded:
            found.append(f"the audit log is not written: {degraded}")
        late = self._totals.late
        if late:
            found.append(f"{late} signatures came too late and were not sent, since the signer started")
        found.extend(f"alarm {alarm.name}: {alarm.text}" for alarm in self.alarms.standing())
        if self._restarts:
            found.append(f"the signing process was replaced {self._restarts} times; the log says why")
        return found

    async def probe(self, key: str, by: str) -> tuple[bool, str]:
        """Let the signing process prove that the block key `key` (PUB_ form) can sign now.

        Returns:
            whether it did, and if not, why.
        """
        generation = None if self._only == "control" else self._current
        answer = await generation.probe(key, _PROBE_S) if generation else None
        ok, reason = (answer["ok"], answer["reason"]) if answer else (False, self._no_signing())
        self.act(audit.PROBE, by, f"{key}: {'signed and verified' if ok else reason}")
        return ok, reason

    async def measure(self, token: str, curve: str) -> int:
        """Return how long one probe signature of a software token takes, in microseconds. For the doctor.

        Raises:
            AdminError: none was made; the message says why.
        """
        generation = None if self._only == "control" else self._current
        answer = await generation.measure(token, curve, _PROBE_S) if generation else None
        if answer is None:
            raise AdminError(self._no_signing())
        if answer["reason"]:
            raise AdminError(answer["reason"])
        return int(answer["micros"])

    def frozen_name(self, scope: str, name: str) -> str:
        """Return the name under which `scope` is frozen.

        Raises:
            AdminError: there is no such node or key, and no marker of that name.
        """
        if scope == "all":
            return ""
        with contextlib.suppress(FormatError, OSError):
            if self._markers.has(scope, name):
                return name  # of a node or key that has left the configuration since: it must be possible to end it
        if scope == "node":
            if name not in self.config.nodes:
                raise AdminError(f"there is no node {name!r}; nodes: {', '.join(self.config.nodes)}")
            return name
        try:
            key = PublicKey.parse(name)
        except FormatError as error:
            raise AdminError(str(error)) from None
        if str(key) not in {str(own.public_key) for own in self.config.keys}:
            raise AdminError(f"{name} is not among the configured keys; `signer keys list` shows them")
        return str(key)

    async def freeze(self, scope: str, name: str, by: str, reason: str) -> bool:
        """Freeze: marker, then every signing process confirms or dies, then this returns.

        Returns:
            whether the marker is on the disk; if not, the disk hangs, and a crash of the host would end the freeze.

        Raises:
            OSError: there is no marker, and nothing is frozen by this.
        """
        frozen = partial(self._frozen, scope, name, by, reason)
        durable = await self._marking.set(scope, name, by, reason, late=frozen)
        frozen()
        # One that just starts signs nothing yet, and cannot answer in time; when it signs, it looks at the marker.
        generations = [each for each in self._generations() if each.accepts]
        answers = await asyncio.gather(
            *(generation.acknowledge_freeze(_FREEZE_S) for generation in generations)
        )
        for generation, confirmed in zip(generations, answers, strict=True):
            if not confirmed and not generation.ended.is_set():
                log.error("signing process did not confirm the freeze; killed", extra={"pid": generation.pid})
                self._hung(generation)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(generation.pid, signal.SIGKILL)
        if not durable:
            log.error("the disk does not take a freeze marker", extra={"status": scope, "key": name})
        return durable

    def _frozen(self, scope: str, name: str, by: str, reason: str) -> None:
        log.warning("frozen", extra={"status": scope, "key": name, "caller": by, "reason": reason})
        self.act(audit.FREEZE, by, f"{scope} {name}: {reason}")
        self.wallet.lock_frozen()

    async def unfreeze(self, scope: str, name: str, by: str, reason: str) -> Cleared:
        """End a freeze. The reason may be empty.

        Raises:
            AdminError: the marker is still there.
        """
        unfrozen = partial(self._unfrozen, scope, name, by, reason)
        try:
            cleared = await self._marking.clear(scope, name, late=unfrozen)
        except OSError as error:
            raise AdminError(f"the freeze marker cannot be removed: {error.strerror}") from None
        if cleared.found:
            unfrozen()
        return cleared

    def _unfrozen(self, scope: str, name: str, by: str, reason: str) -> None:
        log.warning("unfrozen", extra={"status": scope, "key": name, "caller": by})
        self.act(audit.UNFREEZE, by, f"{scope} {name}{': ' if reason else ''}{reason}")

    def token_retry(self, token: str, by: str) -> None:
        """Let a refused PIN be tried again.

        Raises:
            AdminError: there is no such token, or the process that opens it is not there.
        """
        if token not in self.config.tokens:
            raise AdminError(f"there is no token {token!r}; tokens: {', '.join(self.config.tokens)}")
        block = self.config.tokens[token].purpose == "block"
        worker: Worker | None = self._current if block else self._control.process
        keeper = worker.keepers.get(token) if worker else None
        if keeper is None:
            raise AdminError(
                f"token {token!r} is not open here: {self._no_signing() if block else self._no_control()}"
            )
        keeper.retry()
        self.wallet.forgive(token)
        self.act(audit.TOKEN_RETRY, by, f"token {token}")

    def stop(self, by: str) -> None:
        """Stop after what was accepted is answered."""
        log.info("stop asked for", extra={"caller": by})
        self._stopping.set()

    def refuse_loss_of_audit(self) -> None:
        """See that nothing waits for an audit log that cannot be written.

        Raises:
            AdminError: something does.
        """
        degraded = self._audit.state()["degraded"]
        if degraded:
            raise AdminError(f"what waits for the audit log would be lost: {degraded}")

    def _reload_on_signal(self) -> None:
        async def attempt() -> None:
            with contextlib.suppress(ConfigError, AdminError):  # logged there
                await self.reload("SIGHUP")

        self._spawn(attempt())

    async def reload(
        self, by: str, *, wait: bool = True, giving_up: frozenset[str] = frozenset()
    ) -> Reloaded:
        """Start a generation with the configuration on disk, hand over, and wait until the old one has ended.

        The control process is replaced too. With --only control there is nothing else to replace.

        Args:
            by: who wants it.
            wait: whether to wait for the end of the old one. Who is asked by it must not.
            giving_up: keys (PUB_ form) that may be lost.

        Raises:
            ConfigError: the file is invalid. The old process serves on.
            AdminError: the new process would not serve a key that signed in the last hour, or did not start.
        """
        self.refuse_while_leaving()
        async with self._reloading:
            try:
                return await self._reload(by, wait, giving_up)
            except (ConfigError, AdminError) as error:
                log.error(
                    "reload refused; the old configuration serves on",
                    extra={"reason": str(error), "caller": by},
                )
                raise

    async def _reload(self, by: str, wait: bool, giving_up: frozenset[str]) -> Reloaded:  # noqa: FBT001 - as reload
        config = _load(self.path, self.config)
        bound = set(self._bound)
        try:
            self._bind(config)
            replacement = None if self._only == "control" else await self._prepare(config, giving_up)
        except BaseException:
            for address in set(self._bound) - bound:
                sockets.release(self._bound.pop(address))
            raise
        if replacement is None:
            self._number += 1
        number = self._number
        draining = self._hand_over(config, replacement)
        self.act(audit.RELOAD, by, f"generation {number}")
        log.info("reloaded", extra={"generation": number, "caller": by})
        if draining is not None and wait:
            # Whoever took a key out of the configuration may use it elsewhere once this returns.
            await asyncio.wait({draining})
        states = replacement.states if replacement is not None else {}
        quarantined = [name for name, state in states.items() if state == "quarantined"]
        reasons = replacement.reasons if replacement is not None else {}
        return Reloaded(number, {name: reasons[name] for name in quarantined})

    async def _prepare(self, config: Config, giving_up: frozenset[str]) -> Generation:
        """Return a generation that listens, at a good time for a hand-over, or none at all."""
        replacement = await self._start_generation(config)
        self._preparing = replacement
        try:
            await replacement.resolved(_RESOLVE_S)
            if replacement.ended.is_set():
                raise AdminError("the new signing process ended while it started; see the log")
            await self._refuse_loss(replacement, giving_up)
            self._brief(replacement)  # the old one has signed meanwhile
            replacement.listen()
            try:
                async with asyncio.timeout(_LISTEN_ANYWAY_S):
                    await replacement.listening.wait()
            except TimeoutError:
                raise AdminError("the new signing process does not listen; see the log") from None
            await self._expected.quiet()
            if replacement.ended.is_set():
                raise AdminError("the new signing process ended before the hand-over; see the log")
        except BaseException:
            self._preparing = None
            await replacement.kill()
            raise
        return replacement

    async def _refuse_loss(self, replacement: Generation, giving_up: frozenset[str]) -> None:
        """Refuse a generation that cannot use a key which signed in the last hour and works now."""
        inner = await _ask(self._current)
        if inner is not None:
            works = {key["public_key"] for key in inner["keys"] if key["state"] == "active"}
        else:  # too busy to answer: as it last said
            states = self._current.states if self._current else {}
            works = {name for name, state in states.items() if state == "active"}
        with contextlib.suppress(AdminError):  # a log that cannot be read in time must not stop a reload
            await self.issued.learned()
        recent = (self.issued.since(time.time() - _RECENT_S) & works) - giving_up
        lost = sorted(name for name in recent if replacement.states.get(name) != "active")
        if lost:
            why = "; ".join(f"{name}: {_why_lost(replacement, name)}" for name in lost)
            raise AdminError(
                f"the new configuration would lose a key that signed in the last hour: {why}. Reload an hour after its "
                "last signature; runbook, Reload"
            )

    def _hand_over(self, config: Config, replacement: Generation | None) -> asyncio.Task[None] | None:
        """Let `replacement` be the current generation. Returns the draining of the one before."""
        old, self._current, self._preparing = self._current, replacement, None
        self.alarms.cleared("supervisor", "upgrade-incomplete", "")
        wanted = {listener.address for listener in selection.served_listeners(config, self._only)}
        for address in set(self._bound) - wanted:
            sockets.release(self._bound.pop(address))
        self.config = config
        self._totals.configured(config)
        self._audit.configure(config.audit)
        self.pins.keep(config)
        self.leases.reconfigure(config)
        if replacement is not None:
            self._watch(replacement)
        if self._only != "signing":
            self._control.start(config, self._control_sockets())
        if old is None:
            return None
        old.stop_accepting()  # before anyone is told that the new configuration is in service
        task = self._draining[old] = self._spawn(self._drain(old))
        return task

    async def _drain(self, old: Generation) -> None:
        await old.drain(_DRAIN_S)
        if old.how_it_ended().startswith("killed"):
            self._lost_with(old)
        self._draining.pop(old, None)

    # -- upgrade -------------------------------------------------------------------------------------

    async def upgrade(self, by: str) -> int:
        """See that the code on disk starts, and let it take the place of this one. Returns the attempt's number.

        This returns before it does. `status` of the next image says what became of it.

        Raises:
            AdminError: it does not start, or something would be lost. Nothing has happened.
        """
        self.refuse_while_leaving()
        async with self._reloading:
            self.refuse_while_leaving()
            self.refuse_loss_of_audit()
            try:
                estate = self._estate(by, self._upgrade.attempt + 1)
                await self._unless_stopping(upgrade.rehearse(estate, self._expected))
            except AdminError as error:
                log.error("upgrade refused", extra={"reason": str(error), "caller": by})
                raise
            self._upgrade = Upgrade(self._upgrade.attempt + 1, "leaving")
            self._leaving = self._spawn(self._leave(by, self._upgrade.attempt))
            return self._upgrade.attempt

    def refuse_while_leaving(self) -> None:
        """See that no upgrade is under way: it waits for who asks, and who asks would wait for it.

        Raises:
            AdminError: one is.
        """
        if self._leaving is not None and not self._leaving.done():
            raise AdminError("an upgrade is under way; ask again when `signer status` says what became of it")

    async def _unless_stopping(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, and break it off when the signer stops.

        Raises:
            AdminError: it was broken off; and what `work` raises.
        """
        task, stopping = asyncio.create_task(work), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise AdminError("the signer stops")
            await task
        finally:
            stopping.cancel()
            task.cancel()

    def _estate(self, by: str, attempt: int, *, pins: int = -1) -> Estate:
        return estates.Estate(
            format=estates.FORMAT,
            version=__version__,
            rehearsal=False,
            attempt=attempt,
            by=by,
            config=self.config,
            lock=self._lock,
            sockets={address: sock.fileno() for address, sock in self._bound.items()},
            pins=pins,
            generation=self._current.remains() if self._current is not None else None,
            number=self._number,
            started=self._started,
            restarts=self._restarts,
            next_lane=worker.next_lane(),
            wallet=self.wallet.remains(),
            paces=self._expected.remains(),
            given=self.leases.remains(),
        )

    async def _leave(self, by: str, attempt: int) -> None:
        """End as this image, or go on as it was."""
        async with self._reloading:
            try:
                await self._hand_over_to_next(by, attempt)
            except OSError as error:
                reason = f"the new code cannot be executed: {error.strerror}; the old one serves on"
            except Exception as error:  # a fault of ours must not leave a signer without an admin socket
                log.exception("upgrade broken off")
                reason = f"a fault of the signer, {type(error).__name__}; the log has the place"
            else:
                return
            await self._let_go()
            self._stay(reason)

    async def _hand_over_to_next(self, by: str, attempt: int) -> None:
        """Let go of everything and execute the code on disk; return if the signer stops meanwhile.

        Only a freeze cannot be confirmed meanwhile: its marker works all the same.

        Raises:
            OSError: it cannot be executed.
        """
        current = self._current
        steps = [self._drained, self._expected.quiet, self._control.stop, self._stop_admin, self._let_go]
        if current is not None:
            steps = [steps[0], current.settle, *steps[1:], current.leave]
        for step in steps:
            if self._stopping.is_set():
                return
            await step()
        await upgrade.reaped(current.pids if current is not None else set())
        await self._expected.quiet()
        self.act(audit.UPGRADE, by, f"version {__version__} hands over")
        log.info("handing over to the code on disk", extra={"caller": by, "version": __version__})
        upgrade.hold_signals()
        await self.leases.written()
        await self._marking.settle()
        await self._audit.close()
        if self._stopping.is_set():
            self._audit = AuditLog(self._audit_path, self.config.audit)
            return
        pins = estates.seal_pins(self.pins.reveal_typed(self.config))
        try:
            upgrade.replace(self._estate(by, attempt, pins=pins), self._expected.soon())
        finally:
            if pins >= 0:
                os.close(pins)

    async def _drained(self) -> None:
        if self._draining:
            await asyncio.wait(set(self._draining.values()))

    async def _let_go(self) -> None:
        """End everything that would start or kill a process."""
        await _end_all(self._tasks - {self._leaving})

    def _stay(self, reason: str) -> None:
        """Take back `_leave`, as far as it came."""
        upgrade.take_signals()
        if self._audit.closed:
            self._audit = AuditLog(self._audit_path, self.config.audit)
        self._refused_upgrade(reason)
        if self._current is not None:
            self._current.stay()
            self._watch(self._current)
        if self._admin is None:
            self._admin = self._start_admin()
        if self._only != "signing":
            self._control.start(self.config, self._control_sockets())
        self._spawn(self.issued.learn(self._audit_path))

    def _take_over(self, estate: Estate) -> None:
        """Become the owner of what the image before left."""
        for address, descriptor in estate.sockets.items():
            sock = self._bound[address] = socket.socket(fileno=descriptor)
            sock.setblocking(False)
        self._number, self._started, self._restarts = estate.number, estate.started, estate.restarts
        self._upgrade = Upgrade(estate.attempt, "renewing")
        worker.number_lanes_from(estate.next_lane)
        self.pins.restore(self.config, estates.unseal_pins(estate.pins))
        self.wallet.adopt(estate.wallet)
        self._expected.adopt(estate.paces)
        self.leases.adopt(estate.given)
        self.act(audit.UPGRADE, estate.by, f"version {__version__} after {estate.version}")
        remains = estate.generation
        if remains is not None:
            generation = self._generation(remains.number, self.config)
            generation.take_over(remains)
            self._current = generation
            self._watch(generation)

    async def _renew(self, by: str) -> None:
        """Replace the processes of the image before, by a reload. If that is refused, they serve on."""
        attempt = self._upgrade.attempt
        try:
            done = await self.reload(by)
        except (ConfigError, AdminError) as error:
            self._incomplete(str(error))
        except Exception as error:  # the old signing process must not end over a fault of the new code
            log.exception("upgrade incomplete")
            self._incomplete(f"a fault of the new code, {type(error).__name__}; the log has the place")
        else:
            self._upgrade = Upgrade(attempt, "done", "", done.quarantined)
            log.info("upgraded", extra={"caller": by, "version": __version__, "generation": done.generation})

    def _incomplete(self, reason: str) -> None:
        self._refused_upgrade(
            f"the supervisor runs {__version__}, the signing process is the old one: {reason}"
        )
        self.alarms.raised("supervisor", "upgrade-incomplete", "", self._upgrade.reason)
        if self._only != "signing":
            self._control.start(self.config, self._control_sockets())

    def _refused_upgrade(self, reason: str) -> None:
        self._upgrade = Upgrade(self._upgrade.attempt, "refused", reason)
        log.error("upgrade refused", extra={"reason": reason})


async def _end_all(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end; again, if one did not mind: nothing would come of waiting for it."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)  # what became of them is of no interest


async def _ask(worker: Worker | None) -> Message | None:
    """Return what a process says of itself, None without one or without an answer."""
    return await worker.status() if worker is not None else None


def _why_lost(generation: Generation, name: str) -> str:
    """Return why `generation` cannot sign with the key `name`."""
    key = next((key for key in generation.config.keys if str(key.public_key) == name), None)
    if key is None:
        return "it is not in the new configuration"
    state = generation.keepers[key.token].state
    if state.state != "logged-in":
        return f"token {key.token} is {state.state}: {state.reason}"
    return generation.reasons.get(name, "it was not checked in time")


def _load(path: Path, running: Config) -> Config:
    """Return the configuration on disk, for a signer that runs with another one.

    Raises:
        ConfigError: it is invalid, or another place than the running signer's.
    """
    config = config_file.load(path)
    policies.load(config)  # the signing process would end over a file that is no ABI
    if config.state_dir != running.state_dir:
        raise ConfigError(f"{path}: state_dir: cannot change while the signer runs; restart it")
    if config.admin_socket != running.admin_socket:
        raise ConfigError(f"{path}: the admin socket cannot change while the signer runs; restart it")
    return config


def _lock(state_dir: Path) -> int:
    """Take the state folder for this process.

    Raises:
        ConfigError: another signer has it, or it cannot be used.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state_dir / "signer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"state_dir {state_dir}: cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ConfigError(
            f"state_dir {state_dir}: another signer runs on it; `signer stop` ends it"
        ) from None
    return descriptor


def run(path: Path, only: str | None = None) -> int:
    """Serve the configuration at `path` until stopped. Returns the exit code.

    Args:
        path: the configuration file.
        only: `signing`, `control` or None for both processes, which is the rule.

            `signing` leaves the control process out: no control listener, no control token, no rotation.
            `control` leaves the signing process out: no node or wallet listener, no block token; `ready` stays
            false, because it speaks of block signatures alone.

            Two units do not find each other. A state folder belongs to one supervisor, so each needs a
            configuration of its own, with its own `state_dir` and admin socket, and writes an audit log of its
            own. A freeze holds in the unit that it is given to. A control unit has nobody to ask for a probe or
            for a signature on a block, and says so; so it cannot prove a rotation.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    os.umask(0o077)
    harden()
    estate = estates.receive(os.environ)
    if estate is not None and estate.rehearsal:
        _load(path, estate.config)
        upgrade.play()
        return 0
    beginning.done()
    configure("supervisor")
    if not lock_memory():
        log.warning(
            "memory is not locked: PINs may be swapped out",
            extra={"remedy": "start it with LimitMEMLOCK=infinity (systemd), or without swap"},
        )
    if estate is None:
        config = config_file.load(path)
        policies.load(config)  # as _load
        lock = _lock(config.state_dir)
    else:
        config, lock = estate.config, estate.lock

    async def serve() -> int:
        return await Supervisor(path, config, lock, only=only).run(estate)

    try:
        return uvloop.run(serve())
    finally:
        os.close(lock)
