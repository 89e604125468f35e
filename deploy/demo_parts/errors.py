"""What can go wrong with a demo: one exception, whose message says what to do."""

from __future__ import annotations


class DemoError(Exception):
    """The demo cannot be built or ended. `deploy/demo` prints the message and exits 1."""
