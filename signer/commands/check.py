"""`signer check-config`: would this file be served, and is it wise?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from signer import config_file, config_warnings
from signer.commands.exit_code import ExitCode
from signer.errors import ConfigError, ConfigForbiddenError
from signer.policy import policies

if TYPE_CHECKING:
    import argparse


def check(arguments: argparse.Namespace) -> int:
    """Check the file; with --strict also this machine, and what is valid but unwise."""
    path = config_file.find(arguments.config)
    try:
        config = config_file.load(path)
        policies.load(config)
    except ConfigError as error:
        if not arguments.json:
            raise
        errors = str(error).splitlines()
        print(json.dumps({"config": str(path), "valid": False, "errors": errors}, indent=2))
        return ExitCode.FORBIDDEN if isinstance(error, ConfigForbiddenError) else ExitCode.USAGE
    found = config_warnings.warnings(config) if arguments.strict else []
    if arguments.json:
        print(json.dumps({"config": str(path), "valid": True, "warnings": found}, indent=2))
    else:
        print(
            f"{path}: valid: {len(config.nodes)} nodes, {len(config.keys)} keys, "
            f"{len(config.tokens)} tokens, {len(config.listeners)} listeners"
        )
        for warning in found:
            print(f"warning: {warning}")
    return ExitCode.FINDINGS if found else ExitCode.OK
