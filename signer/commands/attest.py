"""`signer nodes attest` and `list`: what the running nodeos list, read on their hosts and known to the signer."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from signer import config_file
from signer.commands.exit_code import ExitCode
from signer.commands.moment import to_the_second
from signer.commands.table import lines, plain
from signer.config_rules import nearest
from signer.control_client import ControlClient
from signer.errors import ConfigError
from signer.rotation.attest import attest as read
from signer.rotation.evidence import EvidenceKind

if TYPE_CHECKING:
    import argparse


def attest(arguments: argparse.Namespace) -> int:
    """Read what a running nodeos lists, and tell the signer. With --strict, what is not in order is a finding.

    A key that was just made for the ring is not listed before the next restart of nodeos: that is no failure.
    """
    path = config_file.find(arguments.config)
    config = config_file.load(path)
    name = arguments.name
    if name not in config.nodes:
        raise ConfigError(
            f"{path}: has no node {name}{nearest(name, config.nodes)}; known are: {', '.join(config.nodes) or 'none'}"
        )
    with ControlClient.of(config, path, arguments.token_file) as client:
        found = read(
            config, name, config_ini=Path(arguments.config_ini), pid=arguments.pid, by=getpass.getuser()
        )
        items = [
            {"kind": each.kind.value, "key": str(each.key), "at": each.at.isoformat(), "detail": each.detail}
            for each in found.evidence
        ]
        kept = client.post(f"/v1/nodes/{quote(name, safe='')}/evidence", {"evidence": items})
    unlisted = [each for each in found.evidence if each.kind is EvidenceKind.UNLISTED]
    if arguments.json:
        findings = [
            {"rule": each.rule, "level": each.level.value, "text": each.text, "remedy": each.remedy}
            for each in found.findings
        ]
        print(json.dumps(kept | {"findings": findings}, indent=2))
    else:
        print(f"node {name}: {len(found.evidence) - len(unlisted)} of {len(found.evidence)} keys are listed")
        for evidence in unlisted:
            print(f"not listed: {evidence.key}")
        for finding in found.findings:
            print(plain(f"{finding.level.value}: {finding.text}"))
            print(plain(f"  do: {finding.remedy}"))
    return ExitCode.FINDINGS if arguments.strict and (unlisted or found.findings) else ExitCode.OK


def list_nodes(arguments: argparse.Namespace) -> int:
    """Show what is known of what each node lists."""
    path = config_file.find(arguments.config)
    with ControlClient.of(config_file.load(path), path, arguments.token_file) as client:
        nodes = client.get("/v1/nodes")["nodes"]
    if arguments.json:
        print(json.dumps(nodes, indent=2))
        return ExitCode.OK
    header = ("NODE", "CHAIN", "KEY", "KNOWN BY", "AT", "PROOF", "DETAIL")
    rows = [
        (
            node["name"],
            node["chain"],
            key["key"],
            f"{key['kind']}, {key['by']}",
            to_the_second(key["at"]),
            "yes" if key["proof"] else "no",
            key["detail"],
        )
        for node in nodes
        for key in node["keys"]
    ]
    print("\n".join(lines(header, rows)))
    return ExitCode.OK
