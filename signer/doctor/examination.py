"""One examination: everything is looked at once, then judged. What cannot be looked at becomes a line that says so."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from signer import __version__
from signer.doctor import (
    access,
    audit,
    chains,
    guards,
    host,
    keys,
    latency,
    listings,
    pins,
    service,
    settings,
    sockets,
    tokens,
)
from signer.doctor.facts import Site
from signer.doctor.finding import failure
from signer.doctor.look import audit as audit_log
from signer.doctor.look import control, files, heads, nodeos
from signer.doctor.look import host as machine
from signer.doctor.look import latency as rounds
from signer.doctor.look import tokens as modules
from signer.errors import AdminUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from signer.admin_client import AdminClient
    from signer.config import Config
    from signer.doctor.facts import HeadFact, TokenFact, Told
    from signer.doctor.finding import Finding

_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        production: hold it to what production needs.
        chains: names of chains, empty for all.
        nodes: names of nodes, empty for all.
        quick: measure nothing.
        token_file: the access token of the control API, None for the usual places.
    """

    production: bool = False
    chains: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    quick: bool = False
    token_file: str | None = None


@dataclass(slots=True)
class Examination:
    """Looks at one signer.

    Attributes:
        path: the configuration file.
        config: what is in it.
        admin: the admin socket.
        wanted: what is asked for.
    """

    path: Path
    config: Config
    admin: AdminClient
    wanted: Wanted
    _status: dict[str, Any] | None = field(default=None, init=False)
    _silence: AdminUnreachableError | None = field(default=None, init=False)

    def findings(self) -> Iterator[Finding]:
        """Yield every finding, in the order in which a person reads them.

        Raises:
            PermissionError: this user may not use the admin socket.
        """
        self._ask()
        config, status = self.config, self._status
        site = self._site()
        seen = self._tokens(site)
        yield from self._service()
        yield from self._state_folder(site)
        yield from tokens.check(
            config, None if status is None else status["tokens"], seen, production=site.production
        )
        yield from pins.check(config, files.pins(config), site)
        if status is not None:
            yield from keys.check(config, status["keys"], production=site.production)
            yield from self._latency(status)
        yield from self._sockets(site)
        yield from guards.check(
            config,
            self._chain_names,
            None if status is None else status.get("guards"),
            production=site.production,
        )
        yield from self._chains()
        yield from self._access()
        yield from audit.check(
            str(self._audit_log),
            None if status is None else status["audit"],
            audit_log.audit(self._audit_log),
        )
        yield from self._host(seen)
        yield from settings.check(config, str(self.path))

    @property
    def _audit_log(self) -> Path:
        return self.config.state_dir / "audit" / "audit.jsonl"

    @property
    def _nodes(self) -> list[str]:
        wanted = self.wanted
        return [
            name
            for name, node in self.config.nodes.items()
            if (not wanted.nodes or name in wanted.nodes)
            and (not wanted.chains or node.chain in wanted.chains)
        ]

    @property
    def _chain_names(self) -> list[str]:
        wanted = self.wanted
        of_nodes = {self.config.nodes[name].chain for name in wanted.nodes}
        return [
            name
            for name in self.config.chains
            if (not wanted.chains or name in wanted.chains) and (not of_nodes or name in of_nodes)
        ]

    # -- the signer --------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        try:
            self._status = self.admin.get("/v1/status")
        except AdminUnreachableError as error:
            self._silence = error

    def _site(self) -> Site:
        pid = None if self._status is None else self._status.get("pid")
        uid = files.owner_of(machine.folder(pid)) if isinstance(pid, int) else None
        if uid is None:
            uid = self._keeper()
        return Site(uid, "" if uid is None else files.user_name(uid), self.wanted.production)

    def _keeper(self) -> int | None:
        """Return whose signer it is where none runs: the state folder's owner, if root has not spoilt it."""
        owner = files.owner_of(self.config.state_dir)
        if owner == 0:
            readers = {fact.uid for fact in files.pins(self.config).values() if not fact.problem}
            if len(readers) == 1:
                return readers.pop()
        return owner

    def _state_folder(self, site: Site) -> Iterator[Finding]:
        owner = files.owner_of(self.config.state_dir)
        if owner is not None and site.uid and owner != site.uid:  # root may use anybody's
            folder = self.config.state_dir
            yield failure(
                "state",
                "",
                f"{folder} belongs to {files.user_name(owner)}, and the signer is {site.user}'s: it cannot start, and "
                "what runs is frozen",
                f"chown -R {site.user}: {folder}; runbook, The signer will not start",
            )

    def _service(self) -> Iterator[Finding]:
        if self._status is not None:
            yield from service.check(self._status, __version__)
        elif self._silence is not None:
            yield from service.down(str(self._silence), running=self._silence.running)

    def _tokens(self, site: Site) -> dict[str, TokenFact]:
        """Look at software tokens, and at those that the signer does not have open: no device is disturbed."""
        states = {} if self._status is None else self._status["tokens"]
        names = [
            name
            for name, token in self.config.tokens.items()
            if token.software or states.get(name, {}).get("state") != "logged-in"
        ]
        return modules.tokens(self.config, names, site.uid)

    def _latency(self, status: dict[str, Any]) -> Iterator[Finding]:
        requests = status.get("latency") or {}
        pairs = [] if self.wanted.quick else latency.missing(self.config, requests, self._nodes)
        if pairs and sys.stderr.isatty():
            print(  # noqa: T201 - somebody waits
                f"measuring probe signatures, {rounds.TAKES_S:.0f} s (not with --quick)", file=sys.stderr
            )
        times = rounds.rounds(self.admin, pairs)
        yield from latency.check(
            self.config, self._nodes, requests, times, busy=host.is_busy(*machine.load())
        )

    def _sockets(self, site: Site) -> Iterator[Finding]:
        only = None if self._status is None else self._status.get("only")
        kinds = {"signing": ("node", "wallet", "admin"), "control": ("admin", "control")}.get(str(only))
        nodes = self._nodes
        listeners = [
            each
            for each in self.config.listeners
            if (kinds is None or each.kind in kinds) and (each.node is None or each.node in nodes)
        ]
        yield from sockets.check(
            self.config,
            files.listeners(listeners),
            files.owners(listeners),
            site,
            running=self._status is not None or bool(self._silence and self._silence.running),
        )

    def _access(self) -> Iterator[Finding]:
        """Look at the access tokens, where the control process tells of them."""
        production = None if self._status is None else self._status.get("production")
        if production is not None and "access_tokens" in production:
            yield from access.check(production["access_tokens"], datetime.now(UTC))

    # -- nodes and chains --------------------------------------------------------------------------------------

    def _chains(self) -> Iterator[Finding]:
        config, nodes = self.config, self._nodes
        names = self._chain_names
        state = {} if self._status is None else self._status["control"]
        told = control.told(
            config,
            self.path,
            self.wanted.token_file,
            [name for name in names if config.chains[name].producer],
            down="the control process does not run" if state.get("state") == "starting" else "",
        )
        seen = self._heads(names, nodes)
        for name in names:
            own = {each: config.nodes[each].api for each in nodes if config.nodes[each].chain == name}
            if not config.chains[name].api and not any(own.values()):
                yield from chains.silent(name, config.chains[name].producer)
                continue
            yield from chains.check(
                config,
                name,
                [seen[url] for url in config.chains[name].api],
                {node: None if api is None else seen[api] for node, api in own.items()},
                production=self.wanted.production,
            )
        yield from self._listings(told, nodes)
        for name in names:
            path = control.permission(name)
            yield from listings.permission(
                config,
                told.answers.get(path),
                told.problems.get(path, ""),
                name,
                production=self.wanted.production,
            )
        if any(config.chains[name].producer for name in names):
            yield from listings.rings(
                config, told.answers.get(control.RINGS), told.problems.get(control.RINGS, ""), nodes
            )

    def _heads(self, names: list[str], nodes: list[str]) -> dict[str, HeadFact]:
        config = self.config
        urls = {
            url: config.chains[name].api_timeout_ms / _MS for name in names for url in config.chains[name].api
        }
        for node in nodes:
            api = config.nodes[node].api
            if api is not None:
                urls[api] = config.chains[config.nodes[node].chain].api_timeout_ms / _MS
        return heads.heads(urls)

    def _listings(self, told: Told, nodes: list[str]) -> Iterator[Finding]:
        yield from listings.check(
            self.config,
            nodes,
            nodeos.nodeos(self.config, nodes),
            told.answers.get(control.NODES),
            silence=told.problems.get(control.NODES, ""),
            now=datetime.now(UTC),
        )

    # -- the machine -------------------------------------------------------------------------------------------

    def _host(self, seen: dict[str, TokenFact]) -> Iterator[Finding]:
        status = self._status
        pid = None if status is None else status.get("pid")
        yield from host.check(
            self.config,
            machine.host(self.config.state_dir, self._audit_log, pid if isinstance(pid, int) else None),
            [] if status is None else machine.processes(status),
            seen,
            ".".join(map(str, sys.version_info[:2])),
        )
