"""`signer upgrade`: the code that is on disk takes the place of the code that runs."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from signer import config_file
from signer.admin_client import AdminClient
from signer.commands.exit_code import ExitCode
from signer.commands.table import plain
from signer.errors import AdminError, AdminUnreachableError

if TYPE_CHECKING:
    import argparse

#: The new code is started once before anything is handed over; the signer gives it 60 s.
_ASK_S: Final = 75.0
#: Then the new image comes up and replaces the other processes: a reload takes up to 20 s for tokens, 10 s to drain.
_DONE_S: Final = 60.0
_POLL_S: Final = 0.1


def upgrade(arguments: argparse.Namespace) -> int:
    """Ask for it and wait until the new code serves. A key that was quarantined by it is a finding."""
    site = config_file.locate(config_file.find(arguments.config))
    attempt = AdminClient(site.admin_socket, _ASK_S).post("/v1/upgrade").get("attempt")
    state = _outcome(AdminClient(site.admin_socket), attempt)
    done = state["upgrade"]
    if done["state"] == "refused":
        raise AdminError(str(done["reason"]))
    answer = {name: state.get(name) for name in ("version", "generation", "pid")}
    if arguments.json:
        print(json.dumps(answer | {"quarantined": done["quarantined"]}, indent=2))
    else:
        print("upgraded to version {version}, generation {generation}, pid {pid}".format(**answer))
    for key, reason in done["quarantined"].items():
        print(f"signer: {plain(f'key {key} is quarantined and signs nothing: {reason}')}", file=sys.stderr)
    return ExitCode.FINDINGS if done["quarantined"] else ExitCode.OK


def _outcome(client: AdminClient, attempt: object) -> dict[str, Any]:
    """Return the first status after the upgrade was done or refused.

    Raises:
        AdminUnreachableError: it did not come.
    """
    deadline = time.monotonic() + _DONE_S
    while True:
        try:
            state = client.get("/v1/status")
            upgrade = state["upgrade"]
            if upgrade["attempt"] != attempt or upgrade["state"] in ("done", "refused"):
                return state
        except AdminUnreachableError:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise AdminUnreachableError(
                f"the upgrade has not ended within {_DONE_S:g} s; see the log and `signer status`",
                running=True,
            )
        time.sleep(_POLL_S)
