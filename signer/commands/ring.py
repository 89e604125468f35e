"""`signer keys ring`: how many nights each node's keys last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from signer import config_file
from signer.commands.exit_code import ExitCode
from signer.commands.table import lines
from signer.control_client import ControlClient

if TYPE_CHECKING:
    import argparse


def ring(arguments: argparse.Namespace) -> int:
    """Show what is left of each ring, and the keys with --json."""
    path = config_file.find(arguments.config)
    with ControlClient.of(config_file.load(path), path, arguments.token_file) as client:
        rings = client.get("/v1/rings")["rings"]
    if arguments.json:
        print(json.dumps(rings, indent=2))
        return ExitCode.OK
    header = ("NODE", "CHAIN", "CURVE", "NIGHTS LEFT", "USED", "UNFIT", "NEXT KEY")
    rows = [
        (
            each["node"],
            each["chain"],
            each["curve"],
            each["nights_left"],
            len(each["used"]),
            len(each["unfit"]),
            each["unused"][0] if each["unused"] else "-",
        )
        for each in rings
    ]
    print("\n".join(lines(header, rows)))
    for each in rings:
        if each["low"]:
            print(
                f"low: {each['node']} has keys for {each['nights_left']} more nights; make more with "
                "`signer keys generate --append`, list them in the node's configuration and restart the node"
            )
    return ExitCode.OK
