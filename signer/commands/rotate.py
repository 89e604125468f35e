"""`signer rotate`: move production to a key of another node, or to a fresh key of the same one."""

from __future__ import annotations

import json
import shlex
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from signer import config_file
from signer.commands import rotations
from signer.commands.chain import chosen
from signer.commands.exit_code import ExitCode
from signer.commands.moment import to_the_second
from signer.commands.progress import Watcher, WatchTimeoutError
from signer.commands.table import plain
from signer.control_client import ControlClient
from signer.errors import ControlRefusedError, ControlUnreachableError, FormatError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    from signer.config import Config

#: The states in which nothing is decided yet: without --wait the command stays for these.
_FIRST: Final = ("planned", "preflight")
#: Preflight asks every API node, each with a deadline of its own.
_FIRST_S: Final = 30.0
#: An answer that got lost is asked for again: with the same idempotency key nothing happens twice.
_TRIES: Final = 3
_PAUSE_S: Final = 1.0
_PAGE: Final = 100


def rotate(arguments: argparse.Namespace) -> int:
    """Ask for a rotation; watch it, join one, or try what it would do."""
    _agree(arguments)
    path = config_file.find(arguments.config)
    config = config_file.load(path)
    with ControlClient.of(config, path, arguments.token_file) as client:
        if arguments.dry_run:
            return _dry_run(client, arguments)
        if arguments.not_within is not None:
            last = _last_success(client, chosen(config, arguments.chain, path), "cycle")
            if last is not None and _age(last) < arguments.not_within:
                return _skip(arguments, last)
        rotation_id = _begin(client, config, arguments, path)
        return _follow(client, rotation_id, arguments)


def _agree(arguments: argparse.Namespace) -> None:
    """Raise FormatError where options contradict each other."""
    for wrong, text in (
        (
            arguments.emergency and not arguments.reason,
            "--emergency needs --reason: what happened, in a few words",
        ),
        (
            arguments.emergency and arguments.unattended,
            "--emergency is for somebody who watches; leave out --unattended",
        ),
        (
            arguments.node is not None and not arguments.cycle,
            "--node is for --cycle; --to-node names the node",
        ),
        (arguments.not_within is not None and not arguments.cycle, "--not-within is for --cycle"),
    ):
        if wrong:
            raise FormatError(f"rotate: {text}")


def _body(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "kind": "cycle" if arguments.cycle else "promote",
        "chain": arguments.chain,
        "node": arguments.node if arguments.cycle else arguments.to_node,
        "key": arguments.key,
        "reason": arguments.reason or "",
        "emergency": arguments.emergency,
        "accept_warnings": arguments.i_know,
        "reactivate": arguments.reactivate,
        "unattended": arguments.unattended,
        "may_return": not arguments.no_return,
    }


# -- beginning --------------------------------------------------------------------------------------------


def _begin(client: ControlClient, config: Config, arguments: argparse.Namespace, path: Path) -> int:
    """Return the number of the rotation to watch: one that is live already, if nobody watches, or a new one."""
    body = _body(arguments)
    chain = chosen(config, arguments.chain, path) if arguments.unattended else ""
    live = _live(client, chain, body["kind"]) if arguments.unattended else None
    if live is None:
        try:
            rotation = _ask(client, body, arguments.idempotency_key or uuid.uuid4().hex)
        except ControlRefusedError as error:
            live = (
                _live(client, chain, body["kind"]) if arguments.unattended and error.code == "live" else None
            )
            if live is None:
                raise
        else:
            return int(rotation["id"])
    _say(f"joins rotation {live['id']} of {live['requested_by']}, which is {live['state']}")
    return int(live["id"])


def _ask(client: ControlClient, body: Mapping[str, Any], key: str) -> dict[str, Any]:
    for left in reversed(range(_TRIES)):
        try:
            return client.post("/v1/rotations", body, {"idempotency-key": key})
        except ControlUnreachableError as error:
            if not error.sent or not left:
                raise
            _say(f"{error}; asks again")
            time.sleep(_PAUSE_S)
    raise AssertionError("the last try returned or raised")


def _live(client: ControlClient, chain: str, kind: str) -> dict[str, Any] | None:
    """Return the live rotation of this chain and kind."""
    found = client.get("/v1/rotations", limit=_PAGE)["rotations"]
    for each in found:
        if each["live"] and (each["chain"], each["kind"]) == (chain, kind):
            return dict(each)
    return None


def _last_success(client: ControlClient, chain: str, kind: str) -> dict[str, Any] | None:
    """Return the last rotation of this chain and kind that ended well."""
    page: dict[str, Any] = client.get("/v1/rotations", limit=_PAGE)
    while True:
        for each in page["rotations"]:
            if (each["chain"], each["kind"]) == (chain, kind) and each["state"] in rotations.SUCCESS:
                return dict(each)
        if page["next_before"] is None:
            return None
        page = client.get("/v1/rotations", limit=_PAGE, before=page["next_before"])


def _age(rotation: Mapping[str, Any]) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(rotation["state_since"])


def _skip(arguments: argparse.Namespace, last: Mapping[str, Any]) -> int:
    reason = (
        f"the last cycle, rotation {last['id']}, ended {to_the_second(last['state_since'])}, "
        f"less than {arguments.not_within} ago: nothing to do"
    )
    if arguments.json:
        print(json.dumps({"state": "skipped", "id": last["id"], "reason": reason}, indent=2))
    else:
        print(reason)
    return ExitCode.OK


# -- following --------------------------------------------------------------------------------------------


def _follow(client: ControlClient, rotation_id: int, arguments: argparse.Namespace) -> int:
    watcher = Watcher(client, rotation_id)
    wait = arguments.wait or arguments.unattended
    try:
        if wait:
            rotation = watcher.until(lambda seen: not seen["live"], arguments.timeout)
        else:
            rotation = watcher.until(
                lambda seen: seen["state"] not in _FIRST, min(_FIRST_S, arguments.timeout or _FIRST_S)
            )
    except WatchTimeoutError as error:
        if wait or error.rotation is None:
            return rotations.report_timeout(arguments, rotation_id, error.rotation)
        rotation = error.rotation
    except KeyboardInterrupt:
        return rotations.report_interrupt(arguments, rotation_id, watcher.last)
    except ControlUnreachableError as error:
        error.add_note(rotations.goes_on(rotation_id, watcher.last))
        raise
    code = rotations.report(arguments, rotation)
    if rotation["state"] == "refused" and _only_warnings(rotation):
        _say(
            "these are warnings: put them right, or take them on yourself with: "
            f"{shlex.join(['signer', *_again(arguments)])}"
        )
    return code


def _only_warnings(rotation: Mapping[str, Any]) -> bool:
    levels = {each["level"] for each in rotation["findings"]}
    return levels == {"warning"}


def _again(arguments: argparse.Namespace) -> list[str]:
    """Return the command that takes the warnings on. A new intent, so the old idempotency key is not in it."""
    words = ["rotate"]
    words += ["--cycle"] if arguments.cycle else ["--to-node", arguments.to_node]
    for option, value in (
        ("--node", arguments.node),
        ("--key", arguments.key),
        ("--chain", arguments.chain),
        ("--reason", arguments.reason),
    ):
        words += [option, value] if value is not None else []
    flags = (
        ("--reactivate", arguments.reactivate),
        ("--no-return", arguments.no_return),
        ("--wait", arguments.wait),
    )
    return [*words, *(option for option, given in flags if given), "--i-know"]


def _dry_run(client: ControlClient, arguments: argparse.Namespace) -> int:
    """Show what would happen. In the way are blockers, and warnings that nobody takes on."""
    found = client.post("/v1/rotations/dry-run", _body(arguments))
    levels = {each["level"] for each in found["findings"]}
    stops = "blocker" in levels or ("warning" in levels and not (arguments.i_know or arguments.emergency))
    if arguments.json:
        print(json.dumps(found, indent=2))
        return ExitCode.FAILED if stops else ExitCode.OK
    expected = "" if found["expected_s"] is None else f", in about {found['expected_s']:.0f} s"
    print(f"nothing was done. {found['kind']} on {found['chain']} would register{expected}:")
    print(
        f"  from  {', '.join(found['from_keys']) or 'no key'} of {found['from_node'] or 'no node of this signer'}"
    )
    print(f"  to    {found['to_key']} of {found['node']}")
    for line in rotations.findings(found):
        print(plain(line))
    if not found["findings"]:
        print("nothing is in the way")
    elif stops and "blocker" not in levels:
        print("these are warnings: `--i-know` takes them on")
    return ExitCode.FAILED if stops else ExitCode.OK


def _say(text: str) -> None:
    print(f"signer: {plain(text)}", file=sys.stderr)
