"""What can go wrong with a trial: one exception, whose message says what to do."""

from __future__ import annotations


class TrialError(Exception):
    """The trial cannot be made, started or stopped. `deploy/quickstart` prints the message and exits 1."""
