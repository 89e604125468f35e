"""`signer` that writes no decision into its audit log, for the comparison: nothing in the configuration does that.

The signing process hands its decisions over all the same: what the supervisor counts of them is wanted too.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from signer import cli
from signer.supervisor.audit import AuditLog

if TYPE_CHECKING:
    from collections.abc import Mapping


def _forget(_log: AuditLog, _fields: Mapping[str, Any]) -> None:
    """Write nothing."""


if __name__ == "__main__":
    AuditLog.decision = _forget  # type: ignore[method-assign,assignment]  # the bench's, in a process of its own
    sys.exit(cli.main())
