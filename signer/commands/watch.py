"""`signer watch`: a view that lives, for the person in front of it. Ctrl-C ends it and leaves the terminal as it was.

What is slow to ask (the chain, by way of the control process) is asked in a thread of its own: a view that hangs shows
nothing. Whatever does not answer is said to, and asked again.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from rich.console import Console
from rich.live import Live
from rich.text import Text

from signer import config_file
from signer.admin_client import AdminClient
from signer.commands import colour
from signer.commands.exit_code import ExitCode
from signer.commands.watch_view import Producer, Seen, view
from signer.control_client import ControlClient
from signer.errors import (
    AdminError,
    AuditError,
    ConfigError,
    ControlRefusedError,
    ControlUnreachableError,
)
from signer.signing.audit import AT, VERDICT, ChainError, parse
from signer.signing.audit_reader import tail

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from signer.config import Config

#: One look at the signer's own socket costs it a few ms.
_LOOK_S: Final = 1.0
#: The control process asks the chain for each.
_CHAIN_S: Final = 3.0
#: Often enough that a clock does not stutter.
_DRAW_S: Final = 0.25
#: The last hundred decisions or so.
_TAIL_BYTES: Final = 64_000
_ROUNDS: Final = 6


def watch(arguments: argparse.Namespace) -> int:
    """Show what happens, until Ctrl-C."""
    path = config_file.find(arguments.config)
    config = config_file.load(path)
    if not sys.stdout.isatty():
        print("signer: watch is for a terminal; `signer status --json` is for a script", file=sys.stderr)
        return ExitCode.USAGE
    AdminClient(config.admin_socket).listening()  # who may not look should hear it now
    source = _Source(path, config, arguments.token_file)
    for look, pause_s in ((source.status, _LOOK_S), (source.decisions, _LOOK_S), (source.chain, _CHAIN_S)):
        threading.Thread(target=_again, args=(look, pause_s), daemon=True).start()
    console = Console(no_color=not colour.is_wanted(sys.stdout), highlight=False)
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                lines = view(source.seen, config, time.time(), console.width, console.height)
                live.update(Text("\n", overflow="ellipsis", no_wrap=True).join(lines), refresh=True)
                time.sleep(_DRAW_S)
    except KeyboardInterrupt:
        return ExitCode.OK


def _again(look: Callable[[], None], pause_s: float) -> None:
    while True:
        look()
        time.sleep(pause_s)


@dataclass
class _Source:
    """Asks, each part by itself, and keeps what was said last."""

    path: Path
    config: Config
    token_file: str | None
    seen: Seen = field(default_factory=Seen)

    def status(self) -> None:
        """Ask the signer how it is."""
        try:
            self.seen.status = AdminClient(self.config.admin_socket).get("/v1/status")
            self.seen.silence = ""
        except (AdminError, PermissionError) as error:
            self.seen.status, self.seen.silence = None, str(error)

    def decisions(self) -> None:
        """Read the end of the audit log."""
        found: list[dict[str, Any]] = []
        try:
            for line in tail(self.config.state_dir / "audit" / "audit.jsonl", _TAIL_BYTES):
                try:
                    fields = parse(line)
                except ChainError:
                    continue  # half a line at either end
                if VERDICT in fields and AT in fields:
                    found.append(dict(fields))
        except AuditError as error:
            self.seen.no_decisions = str(error)
            return
        self.seen.no_decisions, self.seen.decisions = "", found

    def chain(self) -> None:
        """Ask the control process who signs, and what became of the last slots."""
        names = [name for name, chain in self.config.chains.items() if chain.producer is not None]
        if not names:
            self.seen.no_producers = "no chain has a producer in the configuration"
            return
        try:
            with ControlClient.of(self.config, self.path, self.token_file) as client:
                self.seen.producers = [self._producer(client, name) for name in names]
        except (ConfigError, PermissionError, ControlUnreachableError, ControlRefusedError) as error:
            self.seen.producers, self.seen.no_producers = [], str(error).splitlines()[0]
        else:
            self.seen.no_producers = ""

    @staticmethod
    def _producer(client: ControlClient, chain: str) -> Producer:
        at = f"/v1/producers/{quote(chain, safe='')}"
        try:
            slots = client.get(f"{at}/slots", rounds=_ROUNDS)["rounds"]
        except ControlRefusedError:
            slots = []
        return Producer(client.get(at), slots)
