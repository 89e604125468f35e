"""Waiting for a condition: in deploy/localchain, which the demo uses too."""

from localchain.condition import HANG_S, NotInTimeError, until, until_here

__all__ = ["HANG_S", "NotInTimeError", "until", "until_here"]
