"""Waiting for a condition: in deploy/localchain, which the demo uses too."""

from localchain.condition import NotInTimeError, until, until_here

__all__ = ["NotInTimeError", "until", "until_here"]
