"""`signer token retry`: try a PKCS#11 token's PIN again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from hsm.refused import RefusedMarker
from signer import config_file
from signer.admin_client import AdminClient
from signer.commands.exit_code import ExitCode
from signer.commands.owner import acting_as_owner
from signer.config_rules import nearest
from signer.errors import AdminUnreachableError, ConfigError

if TYPE_CHECKING:
    import argparse

#: A login to a hardware token may take seconds.
_TIMEOUT_S: Final = 30.0


def retry(arguments: argparse.Namespace) -> int:
    """Let the signer try the token's PIN once more; if it does not run, forget the refusal."""
    path = config_file.find(arguments.config)
    config = config_file.load(path)
    name = arguments.name
    if name not in config.tokens:
        raise ConfigError(
            f"{path}: has no token {name}{nearest(name, config.tokens)}; "
            f"known are: {', '.join(config.tokens) or 'none'}"
        )
    try:
        AdminClient(config.admin_socket, _TIMEOUT_S).post("/v1/token/retry", {"token": name})
    except AdminUnreachableError as error:
        if error.running:
            raise
        with acting_as_owner(config.state_dir):
            was = RefusedMarker(config.pin_refused_dir).clear(name)
        done = "its refusal is forgotten" if was else "was not refused"
        text, answer = f"{done}; the signer is not running", {"retried": False, "forgotten": was}
    else:
        text = "the signer tries its PIN again; `signer status` shows how it ended"
        answer = {"retried": True, "forgotten": False}
    print(json.dumps({"token": name} | answer, indent=2) if arguments.json else f"token {name}: {text}")
    return ExitCode.OK
