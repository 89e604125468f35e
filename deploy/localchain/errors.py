"""What can go wrong with a local chain: one exception, whose message has the end of the log where there is one."""

from __future__ import annotations


class LocalChainError(AssertionError):
    """A program of the chain ended, refused or did not answer in time. In a test it is a failed expectation."""
