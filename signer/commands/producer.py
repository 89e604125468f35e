"""`signer producer`: who signs now, and what speaks for it. For somebody who was asleep a minute ago."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from signer import config_file
from signer.commands.exit_code import ExitCode
from signer.commands.moment import to_the_second
from signer.commands.table import lines, plain
from signer.control_client import ControlClient
from signer.errors import ControlRefusedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence


def producer(arguments: argparse.Namespace) -> int:
    """Show the producer of one chain, or of all. A chain that nobody can tell of is a failure."""
    path = config_file.find(arguments.config)
    with ControlClient.of(config_file.load(path), path, arguments.token_file) as client:
        names = [arguments.chain]
        if arguments.chain is None:
            names = [each["chain"] for each in client.get("/v1/producers")["producers"]]
        found = [client.get(f"/v1/producers/{name}") for name in names]
        rings = _rings(client)
    for each in found:
        each["rings"] = [ring for ring in rings if ring["chain"] == each["chain"]]
    if arguments.json:
        print(json.dumps({"producers": found}, indent=2))
    elif found:
        print("\n\n".join("\n".join(plain(line) for line in _report(each)) for each in found))
    else:
        print("no chain has a producer in the configuration; this needs chains.NAME.producer and .api")
    silent = any(each["on_chain"] is None for each in found)
    return ExitCode.FAILED if silent or not found else ExitCode.OK


def _rings(client: ControlClient) -> list[dict[str, Any]]:
    """Return the rings; none while the signing process is silent: the rest is shown all the same."""
    try:
        found: list[dict[str, Any]] = client.get("/v1/rings")["rings"]
    except ControlRefusedError:
        return []
    return found


def _report(found: Mapping[str, Any]) -> list[str]:
    seen = found["on_chain"]
    head_time = "" if seen is None else seen["head_time"]
    text = [f"{found['producer']} on {found['chain']}"]
    if seen is None:
        text += [f"  NOBODY TELLS: {found['problem']}"]
    else:
        text += [
            f"  signs now   {_signer(found)}",
            f"  row         {_keys(seen['row'])}{_registered(seen['registered'])}",
            f"  active      {_keys(seen['active'])}",
            f"  pending     {_keys(seen['pending'])}",
            f"  proposed    {_keys(seen['proposed'])}",
            f"  head        {seen['head_number']} at {to_the_second(head_time)}, {_age_s(head_time):.0f} s ago",
            f"  irreversible {seen['irreversible_number']}, {seen['consensus']} consensus",
        ]
    text.append(f"  rotation    {_live(found['rotation'])}")
    if found["last"] is not None:
        last = found["last"]
        text.append(
            f"  last        rotation {last['id']}, {last['kind']} to {last['node']}: {last['state']} "
            f"since {to_the_second(last['state_since'])}"
        )
    text.append(f"  permission  {found['permission']}: {_permission(found['permission_findings'])}")
    for each in found["permission_findings"] or ():
        text += [f"    {each['level']}: {each['text']}", f"      do: {each['remedy']}"]
    text += ["", *_apis(found["apis"])]
    if found["rings"]:
        text += ["", *_ring_lines(found["rings"])]
    return text


def _signer(found: Mapping[str, Any]) -> str:
    active = found["on_chain"]["active"]
    if not active:
        return f"nobody: {found['producer']} is not in the active schedule"
    if found["signs"] is None:
        return f"NOT THIS SIGNER: {_keys(active)}"
    return f"{found['signs']}, with {', '.join(each['key'] for each in active)}"


def _keys(keys: Sequence[Mapping[str, Any]] | None) -> str:
    if not keys:
        return "-"
    return ", ".join(f"{each['key']} ({each['node'] or 'not in this signer'})" for each in keys)


def _registered(registered: bool | None) -> str:  # noqa: FBT001 - the API's own three answers
    if registered is None:
        return "no row: the account is no producer"
    return "" if registered else ", NOT ACTIVE: the producer is unregistered"


def _live(rotation: Mapping[str, Any] | None) -> str:
    if rotation is None:
        return "none"
    after = f"{_age_s(rotation['created_at']):.0f} s"
    expected = "" if rotation["expected_s"] is None else f" of about {rotation['expected_s']:.0f} s"
    return (
        f"{rotation['id']}, {rotation['kind']} to {rotation['node']} by {rotation['requested_by']}: "
        f"{rotation['state']}, {after}{expected}; waits for {rotation['awaited']}"
    )


def _permission(found: Sequence[object] | None) -> str:
    if found is None:
        return "nobody tells"
    return "see below" if found else "as it should be"


def _apis(apis: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        (
            each["url"],
            "yes" if each["usable"] else "NO",
            each["head_number"] or "-",
            to_the_second(each["head_time"]),
            each["reason"],
        )
        for each in apis
    ]
    return [f"  {line}" for line in lines(("API NODE", "USABLE", "HEAD", "AT", "REASON"), rows)]


def _ring_lines(rings: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        (
            each["node"],
            each["curve"],
            f"{each['nights_left']} nights",
            "LOW: generate more" if each["low"] else "",
        )
        for each in rings
    ]
    return [f"  {line}" for line in lines(("RING OF", "CURVE", "LEFT", ""), rows)]


def _age_s(moment: str) -> float:
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
