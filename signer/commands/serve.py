"""`signer serve`: become the supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signer import config_file
from signer.supervisor.run import run

if TYPE_CHECKING:
    import argparse


def serve(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    return run(config_file.find(arguments.config), arguments.only)
