"""`signer rotations`: list them, show, watch, approve and end one; and how a rotation is reported."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from signer import config_file
from signer.commands.exit_code import ExitCode
from signer.commands.moment import to_the_second
from signer.commands.progress import Watcher, WatchTimeoutError
from signer.commands.table import lines, plain
from signer.control_client import ControlClient
from signer.errors import ControlUnreachableError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

#: The states of a rotation that ended well: signer.rotation.rotation.SUCCESS, which takes time to import.
SUCCESS: Final = ("done", "registered-unscheduled")
#: What a script gets of a rotation, in this order.
_RESULT: Final = (
    "id",
    "kind",
    "chain",
    "node",
    "state",
    "reason",
    "from_key",
    "to_key",
    "transaction_id",
    "pushed_at",
    "active_at",
    "verified_block",
    "missed_slots",
    "safe_to_stop",
    "findings",
)
_BLOCK: Final = ("num", "id", "producer_signature")


# -- commands ---------------------------------------------------------------------------------------------


def list_rotations(arguments: argparse.Namespace) -> int:
    """Show rotations, newest first."""
    with _client(arguments) as client:
        found = client.get("/v1/rotations", limit=arguments.limit)["rotations"]
    if arguments.json:
        print(json.dumps(found, indent=2))
        return ExitCode.OK
    header = ("ID", "CHAIN", "KIND", "NODE", "STATE", "SINCE", "ASKED BY", "TO KEY")
    rows = [
        (
            each["id"],
            each["chain"],
            each["kind"],
            each["node"],
            each["state"],
            to_the_second(each["state_since"]),
            each["requested_by"],
            each["to_key"],
        )
        for each in found
    ]
    print("\n".join(lines(header, rows)) if rows else "there was no rotation yet")
    return ExitCode.OK


def show(arguments: argparse.Namespace) -> int:
    """Show one rotation with its history."""
    with _client(arguments) as client:
        rotation = client.get(f"/v1/rotations/{arguments.id}")
    if arguments.json:
        print(json.dumps(rotation, indent=2))
        return ExitCode.OK
    text = [*_summary(rotation), ""]
    text += [
        f"{to_the_second(each['at'])}  {each['state']}: {each['text']} (by {each['by']})"
        for each in rotation["history"]
    ]
    print("\n".join(plain(line) for line in text))
    return ExitCode.OK


def abort(arguments: argparse.Namespace) -> int:
    """End a rotation whose key is not registered yet."""
    with _client(arguments) as client:
        rotation = client.post(f"/v1/rotations/{arguments.id}/abort")
    return _acted(arguments, rotation)


def approve(arguments: argparse.Namespace) -> int:
    """Agree to a rotation that somebody else asked for."""
    with _client(arguments) as client:
        rotation = client.post(f"/v1/rotations/{arguments.id}/approve")
    return _acted(arguments, rotation)


def watch(arguments: argparse.Namespace) -> int:
    """Follow a rotation to its end."""
    with _client(arguments) as client:
        watcher = Watcher(client, arguments.id)
        try:
            rotation = watcher.until(lambda seen: not seen["live"], arguments.timeout)
        except WatchTimeoutError as error:
            return report_timeout(arguments, arguments.id, error.rotation)
        except KeyboardInterrupt:
            return report_interrupt(arguments, arguments.id, watcher.last)
        except ControlUnreachableError as error:
            error.add_note(goes_on(arguments.id, watcher.last))
            raise
    return report(arguments, rotation)


def _client(arguments: argparse.Namespace) -> ControlClient:
    path = config_file.find(arguments.config)
    return ControlClient.of(config_file.load(path), path, arguments.token_file)


def _acted(arguments: argparse.Namespace, rotation: dict[str, Any]) -> int:
    if arguments.json:
        print(json.dumps(rotation, indent=2))
    else:
        waits = f"; waits for {rotation['awaited']}" if rotation["awaited"] else ""
        print(plain(f"rotation {rotation['id']} is {rotation['state']}: {rotation['reason']}{waits}"))
    return ExitCode.OK


# -- how a rotation is reported -----------------------------------------------------------------------------


def report(arguments: argparse.Namespace, rotation: Mapping[str, Any]) -> int:
    """Print how a rotation ended, or how far it is, and return the exit code: a script gets one JSON object."""
    if arguments.json:
        print(json.dumps(result(rotation), indent=2))
    else:
        print("\n".join(plain(line) for line in _summary(rotation)))
    if rotation["live"]:
        if not arguments.json:
            print(goes_on(rotation["id"], rotation))
        return ExitCode.OK
    return ExitCode.OK if rotation["state"] in SUCCESS else ExitCode.FAILED


def report_timeout(
    arguments: argparse.Namespace, rotation_id: int, rotation: Mapping[str, Any] | None
) -> int:
    """Say that the time is over, and that the rotation goes on."""
    print(f"signer: the time is over. {goes_on(rotation_id, rotation)}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"id": rotation_id} if rotation is None else result(rotation), indent=2))
    return ExitCode.FAILED


def report_interrupt(
    arguments: argparse.Namespace, rotation_id: int, rotation: Mapping[str, Any] | None
) -> int:
    """Say that only the watching ended."""
    print(f"signer: interrupted. {goes_on(rotation_id, rotation)}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"id": rotation_id} if rotation is None else result(rotation), indent=2))
    return ExitCode.INTERRUPTED


def goes_on(rotation_id: int, rotation: Mapping[str, Any] | None) -> str:
    """Return that a rotation goes on by itself, and what can be done with it."""
    state = "" if rotation is None else f" ({rotation['state']})"
    return plain(
        f"rotation {rotation_id}{state} goes on by itself. Watch it: signer rotations watch {rotation_id}; "
        f"end it, while its key is not registered: signer rotations abort {rotation_id}"
    )


def result(rotation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a script gets of a rotation."""
    found = {name: rotation[name] for name in _RESULT}
    block = rotation["verified_block"]
    found["verified_block"] = None if block is None else {name: block[name] for name in _BLOCK}
    return found


def findings(found: Mapping[str, Any]) -> list[str]:
    """Return the lines of what preflight found, each with its remedy."""
    text = []
    for each in found["findings"]:
        text.append(f"{each['level']}: {each['text']} [{each['rule']}]")
        text += [f"  do: {each['remedy']}"] if each["remedy"] else []
    return text


def _summary(rotation: Mapping[str, Any]) -> list[str]:
    emergency = ", an emergency" if rotation["emergency"] else ""
    why = f": {rotation['request_reason']}" if rotation["request_reason"] else ""
    since = to_the_second(rotation["state_since"])
    text = [
        f"rotation {rotation['id']}: {rotation['state']} since {since}: {rotation['reason']}",
        f"  asked  {rotation['kind']} on {rotation['chain']} by {rotation['requested_by']}{emergency}{why}",
        f"  from   {', '.join(rotation['from_keys']) or '-'} of {rotation['from_node'] or '-'}",
        f"  to     {rotation['to_key']} of {rotation['node']}",
    ]
    if rotation["awaited"]:
        text.append(f"  waits for {rotation['awaited']}")
    if rotation["needs_approval"]:
        text.append(f"  approved by {rotation['approved_by'] or 'nobody yet'}")
    if rotation["transaction_id"]:
        text.append(
            f"  transaction {rotation['transaction_id']}, pushed {to_the_second(rotation['pushed_at'])}"
        )
    if rotation["active_at"]:
        text.append(f"  active since {to_the_second(rotation['active_at'])}")
    block = rotation["verified_block"]
    if block is not None:
        text.append(f"  proof  block {block['num']} {block['id']}, {block['producer_signature']}")
    if rotation["missed_slots"] is not None:
        text.append(f"  missed slots: {rotation['missed_slots']}")
    if rotation["safe_to_stop"]:
        text.append(f"  safe to stop: {rotation['safe_to_stop']}")
    return text + [f"  {line}" for line in findings(rotation)]
