"""What a command did to the signer's state by itself becomes a line of the audit log."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from signer.admin_client import AdminClient
from signer.commands.owner import acting_as_owner
from signer.errors import AdminUnreachableError, SignerError
from signer.signing.audit import Act, timestamp
from signer.signing.audit_writer import AuditWriter

if TYPE_CHECKING:
    from signer.config import Config


def record(config: Config, name: str, detail: str) -> None:
    """Write an act into the audit log: by way of the signer; where none runs, by this process itself.

    What was done stays done also where nobody can write it down; then standard error says so.

    Args:
        config: whose log it is.
        name: `token-create` or `token-revoke`.
        detail: what was done.
    """
    try:
        try:
            AdminClient(config.admin_socket).post("/v1/act", {"name": name, "detail": detail})
        except AdminUnreachableError as error:
            if error.running:
                raise
            _write(config, name, detail)
    except SignerError as error:
        print(f"signer: not in the audit log: {error}", file=sys.stderr)


def _write(config: Config, name: str, detail: str) -> None:
    by = f"uid {os.getuid()} pid {os.getpid()}"
    at = timestamp(datetime.now(UTC))
    with acting_as_owner(config.state_dir):
        writer = AuditWriter(config.audit_log, at)
        writer.append([Act(at, name, by, detail)])
        writer.close(at)
