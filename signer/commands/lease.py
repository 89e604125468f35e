"""`signer lease show` and `take`: which node may sign for a producer. No control process is needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from signer import config_file
from signer.admin_client import AdminClient
from signer.commands import table
from signer.commands.exit_code import ExitCode
from signer.commands.moment import readable
from signer.config_rules import nearest
from signer.errors import ConfigError

if TYPE_CHECKING:
    import argparse


def show(arguments: argparse.Namespace) -> int:
    """Show who holds the lease of each chain."""
    site = config_file.locate(config_file.find(arguments.config))
    guards = AdminClient(site.admin_socket).get("/v1/status")["guards"]
    if arguments.json:
        print(json.dumps(guards, indent=2))
        return ExitCode.OK
    rows = [
        (
            chain,
            each["lease"],
            each["holder"] or "-",
            each["claim"] or "-",
            readable(each["since"]),
            readable(each["signed_at"]),
            f"{each['silence_s']} s",
        )
        for chain, each in guards.items()
    ]
    print("\n".join(table.lines(("CHAIN", "LEASE", "HOLDER", "BY", "SINCE", "SIGNED", "SILENCE"), rows)))
    return ExitCode.OK


def take(arguments: argparse.Namespace) -> int:
    """Give the lease of a node's chain to it.

    Raises:
        ConfigError: there is no such node.
    """
    path = config_file.find(arguments.config)
    config = config_file.load(path)
    node = arguments.node
    if node not in config.nodes:
        raise ConfigError(f"{path}: has no node {node}{nearest(node, config.nodes)}; nothing was changed")
    body = {"chain": config.nodes[node].chain, "node": node, "reason": arguments.reason}
    taken = AdminClient(config.admin_socket).post("/v1/lease", body)
    if arguments.json:
        print(json.dumps(taken, indent=2))
    else:
        print(f"node {taken['node']} holds the lease of chain {taken['chain']}")
        if config.lease_mode(taken["chain"]) == "observe":
            print('guards.lease is "observe": other nodes are signed for all the same')
    return ExitCode.OK
