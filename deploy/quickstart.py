# noqa: INP001 - a program, no package
"""The part of deploy/quickstart that runs as the signer's own user: makes, starts and stops a trial.

deploy/quickstart has checked the arguments, installed what is missing and, started as root, given up root.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trial import chain, description, private_file, running
from trial.chain import Producer, UnreachableError
from trial.config_text import CHAIN, PORT_OFFSETS, config_text
from trial.errors import TrialError
from trial.layout import NODES, Layout
from trial.ring import module_path, provision

from signer.commands.act import record
from signer.control.auth import DATABASE, Scope, TokenStore
from signer.doctor.access import SOON, TRIAL
from signer.errors import SignerError
from signer.rotation import permission

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signer.config import Config

_DEFAULT_PORT: Final = 8900
#: R1 keys of each node: one to sign with, and one to rotate to.
_DEFAULT_RING: Final = 2
_SIGNER: Final = Path(sys.executable).with_name("signer")
_TOKEN_LASTS: Final = timedelta(days=90)


def main() -> int:
    """Run, and return the exit code."""
    arguments = _arguments()
    os.umask(0o077)
    layout = Layout.of(arguments.dir, arguments.sockets)
    try:
        if arguments.action == "stop":
            return _stop(layout)
        return _run(layout, arguments)
    except TrialError as error:
        _say(str(error))
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Called by deploy/quickstart, which documents the options.")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--sockets", type=Path, help="a folder for the sockets, where DIR's path is too long")
    parser.add_argument("--port", type=int)
    parser.add_argument("--ring", type=int)
    parser.add_argument("--chain")
    parser.add_argument("--producer")
    parser.add_argument("--other-rotation-key", action="append", default=[])
    parser.add_argument("--action", choices=["run", "stop"], default="run")
    parser.add_argument("--mode", choices=["foreground", "detach"], default="foreground")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _run(layout: Layout, arguments: argparse.Namespace) -> int:
    with _locked(layout):
        trial = _made(layout, arguments)
        pid = running.find(layout, trial["pid"])
        if pid is not None:
            _say(
                f"already running, process {pid}; to stop it: deploy/quickstart --dir {layout.folder} --stop"
            )
            _record(layout, trial, pid)
            _show(layout, trial, json=arguments.json)
            return 0
        port = description.port_in(layout) or _DEFAULT_PORT
        running.check_ports({name: port + offset for name, offset in PORT_OFFSETS.items()})
        detached = arguments.mode == "detach"
        _say("starting the signer")
        before = running.log_size(layout)
        process = running.start(layout, detached=detached)
        try:
            running.wait_ready(layout, process)
        except TrialError as error:
            if detached:
                _say(f"the end of {layout.log}:")
                sys.stderr.write(running.log_tail(layout, before) + "\n")
            _say(str(error))
            _record(layout, trial, None)
            return 1
        except BaseException:
            running.end_process(process)
            raise
        _record(layout, trial, process.pid)
        _show(layout, trial, json=arguments.json)
    if detached:
        _say(f"ready, process {process.pid}; to stop it: deploy/quickstart --dir {layout.folder} --stop")
        return 0
    _say("ready; Ctrl-C stops the signer")
    code = running.watch(process)
    with _locked(layout):
        if running.find(layout, None) is None:
            _record(layout, trial, None)
    _say("stopped" if code == 0 else f"the signer ended with code {code}")
    return 0 if code == 0 else 1


def _stop(layout: Layout) -> int:
    with _locked(layout):
        trial = description.load(layout)
        pid = running.find(layout, trial["pid"] if trial else None)
        if pid is None:
            _say(f"no signer runs on {layout.folder}")
        else:
            running.stop(layout, pid, _say)
            _say(f"stopped process {pid}")
        if layout.sockets != layout.folder:
            shutil.rmtree(layout.sockets, ignore_errors=True)  # as root, the caller removes it
        if trial is not None:
            _record(layout, trial, None)
    return 0


@contextlib.contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    """Let one quickstart at a time change the trial. Also makes its folder and marker."""
    private_file.make_folder(layout.folder)
    descriptor = os.open(layout.marker, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another quickstart works on {layout.folder}; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _made(layout: Layout, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the trial's description, after making whatever of the trial is not there yet."""
    producer = None
    if arguments.chain is not None:
        producer = Producer.parse(arguments.chain, arguments.producer, arguments.other_rotation_key)
    _make_socket_folder(layout)
    port = description.port_in(layout)
    if port is None:
        _make_config(layout, arguments, producer)
    else:
        _check_same(layout, port, arguments, producer)
    _make_control_token(layout)
    if port is not None and (trial := description.load(layout)) is not None:
        return trial
    # The last file: with it, the trial is complete.
    trial = description.describe(layout)
    description.save(layout, trial)
    return trial


def _make_config(layout: Layout, arguments: argparse.Namespace, producer: Producer | None) -> None:
    """Make the tokens, their keys, and the config that names them."""
    known = None
    if producer is not None:
        chain_id, silent = chain.ask(producer.api)
        for problem in silent:
            _say(f"{problem}; going on without it")
        _say(f"the chain is {chain_id}")
        known = (chain_id, producer)
    port = arguments.port or _DEFAULT_PORT
    running.check_ports({name: port + offset for name, offset in PORT_OFFSETS.items()})
    _say(f"making three SoftHSM tokens (software, for tests and trials) and their keys in {layout.folder}")
    keys = provision(layout, arguments.ring or _DEFAULT_RING)
    private_file.write(layout.config, config_text(layout, keys, module_path(), port, known))


def _check_same(layout: Layout, port: int, arguments: argparse.Namespace, producer: Producer | None) -> None:
    """Check that a trial that exists was made for what the options say: they change nothing.

    Raises:
        TrialError: it was not.
    """
    if arguments.port not in (None, port):
        raise TrialError(
            f"{layout.folder} was made for port {port}; leave --port out, or choose another --dir"
        )
    if arguments.ring is None and producer is None:
        return
    config = description.config_in(layout)
    ring = description.ring_size(config)
    if arguments.ring is not None and arguments.ring > ring:
        raise TrialError(
            f"{layout.folder} has {ring} R1 keys for each node; leave --ring out and make more with "
            f"'signer keys generate', or choose another --dir"
        )
    if producer is not None:
        _check_same_chain(layout, config, producer)


def _check_same_chain(layout: Layout, config: Config, producer: Producer) -> None:
    remedy = f"edit [chains.{CHAIN}] in {layout.config}, or choose another --dir"
    there = config.chains.get(CHAIN)
    if there is None or there.producer is None:
        raise TrialError(f"{layout.folder} was made without --chain; leave it out, {remedy}")
    if Producer(there.api, there.producer, there.other_rotation_keys) != producer:
        raise TrialError(
            f"{layout.folder} was made for other values of --chain, --producer or --other-rotation-key; "
            f"leave all three out, {remedy}"
        )
    try:
        now, silent = chain.ask(producer.api)
    except UnreachableError as error:
        _say(f"{error}; nothing is changed")
        return
    for problem in silent:
        _say(problem)
    if now != there.id:
        raise TrialError(
            f"{layout.folder} was made for the chain {there.id}, and {', '.join(producer.api)} is of {now} "
            f"now; {remedy}"
        )


def _make_socket_folder(layout: Layout) -> None:
    if layout.sockets == layout.folder:
        return
    if not layout.sockets.exists():
        _say(f"the path of {layout.folder} is too long for unix sockets; they are in {layout.sockets}")
    private_file.make_folder(layout.sockets)


def _make_control_token(layout: Layout) -> None:
    """Make the token of the trial's person, unless `signer doctor` is content with the one in the file.

    Raises:
        TrialError: there is none, and none can be made.
    """
    private_file.make_folder(layout.state)
    now = datetime.now(UTC)
    there = layout.control_token_file.exists()
    try:
        with contextlib.closing(TokenStore(layout.state / DATABASE)) as store:
            known = [token for token in store.list() if token.name == TRIAL and token.revoked_at is None]
            ends = all(token.expires_at is not None for token in known)
            if there and known and ends and _holds(layout.control_token_file, store, now + SOON):
                return
            if known:
                store.revoke(TRIAL, now)  # it ends, or the run did before it wrote the file
            token = store.create(TRIAL, list(Scope), now + _TOKEN_LASTS, now)
    except SignerError as error:
        if not there:
            raise TrialError(f"the control token cannot be made: {error}") from error
        # Nodes are served without the control process' database: the runbook has what to do.
        _say(f"whether the control token holds is not known: {error}")
        return
    private_file.write(layout.control_token_file, token + "\n")
    if there:
        config = description.config_in(layout)
        if known:
            record(config, "token-revoke", f"of {TRIAL!a}")
        record(config, "token-create", f"for {TRIAL!a}, scopes {' '.join(Scope)}")


def _holds(file: Path, store: TokenStore, at: datetime) -> bool:
    return store.authenticate(file.read_text(encoding="ascii", errors="replace").strip(), at) is not None


def _record(layout: Layout, trial: dict[str, Any], pid: int | None) -> None:
    trial["pid"] = pid
    description.save(layout, trial)


def _show(layout: Layout, trial: dict[str, Any], *, json: bool) -> None:
    if json:
        sys.stdout.write(description.text_of(trial))
    else:
        for node in NODES:
            sys.stdout.write(f"\n# --- for the config.ini of the node {node} " + "-" * 40 + "\n")
            sys.stdout.write(_signer(layout, "nodes", "config", node))
        if "permission_commands" in trial:
            sys.stdout.write(_for_the_owner(layout, trial["permission_commands"]))
        sys.stdout.write(
            f"\n# everything else: {layout.description}\n"
            "# The tokens are SoftHSM, a software token for tests and trials: it protects against nobody\n"
            "# who can read that folder.\n"
        )
    sys.stdout.flush()
    _say(f"look at it: {shlex.join([str(_SIGNER), '--config', str(layout.config), 'status'])}")
    _say(f"dashboard: {trial['control_url']}, with the token in {layout.control_token_file}")


def _for_the_owner(layout: Layout, commands: list[list[str]]) -> str:
    config = description.config_in(layout)
    chain = config.chains[CHAIN]
    lines = [
        f"\n# --- once, by the owner of the account {chain.producer}, with its active key in a wallet "
        + "-" * 10,
        f"# What this allows: {permission.LIMIT}.",
        *(permission.as_typed(chain, command) for command in commands),
    ]
    warning = permission.too_few(chain, description.rotation_keys(config))
    return "\n".join([*lines, *([f"# {warning}"] if warning else [])]) + "\n"


def _signer(layout: Layout, *arguments: str) -> str:
    """Run a `signer` command on this trial and return what it prints."""
    command = [str(_SIGNER), *arguments, "--config", str(layout.config)]
    result = subprocess.run(  # noqa: S603 - our own program
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if result.returncode != 0:
        raise TrialError(
            f"'signer {' '.join(arguments[:2])}' failed: {result.stderr.strip() or result.stdout.strip()}"
        )
    return result.stdout


def _say(text: str) -> None:
    sys.stderr.write(f"quickstart: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
