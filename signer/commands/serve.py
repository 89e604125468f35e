"""`signer serve`: become the supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsm import beginning

if TYPE_CHECKING:
    import argparse


def serve(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    beginning.begin()  # of an upgrade
    from signer import config_file  # noqa: PLC0415 - these take most of the time
    from signer.supervisor.run import run  # noqa: PLC0415 - as above

    return run(config_file.find(arguments.config), arguments.only)
