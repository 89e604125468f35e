"""`signer permission`: the cleos lines for the account's owner, and whether the chain has what they make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from signer import config_file
from signer.commands.chain import chosen
from signer.commands.exit_code import ExitCode
from signer.commands.table import lines, plain
from signer.rotation import permission

if TYPE_CHECKING:
    import argparse


def print_lines(arguments: argparse.Namespace) -> int:
    """Print the cleos calls that make the permission. Nothing is asked, nothing is sent."""
    path = config_file.find(arguments.config)
    config = config_file.load(path)
    name = chosen(config, arguments.chain, path)
    chain = config.chains[name]
    own = [key.public_key for key in config.keys if key.role == "rotation" and key.chain == name]
    calls = permission.commands(chain, own)
    if arguments.json:
        print(json.dumps(calls, indent=2))
        return ExitCode.OK
    print(
        f"# permission {chain.rotation_permission} of {chain.producer} on {name}, for the account's owner, once"
    )
    print(f"# {permission.LIMIT}")
    warning = permission.too_few(chain, own)
    if warning:
        print(f"# warning: {warning}")
    for call in calls:
        print(permission.as_typed(chain, call))
    print("# then: signer permission verify")
    return ExitCode.OK


def verify(arguments: argparse.Namespace) -> int:
    """Show whether the permission is as it should be. A failure is a finding."""
    from signer.control_client import ControlClient  # noqa: PLC0415 - print_lines does not need httpx

    path = config_file.find(arguments.config)
    config = config_file.load(path)
    name = chosen(config, arguments.chain, path)
    with ControlClient.of(config, path, arguments.token_file) as client:
        found = client.get(f"/v1/permissions/{quote(name, safe='')}")
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        print(f"permission {found['permission']} of {found['producer']} on {found['chain']}")
        rows = [(each["verdict"], each["name"], each["text"]) for each in found["checks"]]
        print("\n".join(lines(("VERDICT", "CHECK", "FOUND"), rows)))
        for each in found["checks"]:
            if each["remedy"]:
                print(plain(f"do, for {each['name']}: {each['remedy']}"))
    return ExitCode.OK if found["good"] else ExitCode.FINDINGS
