"""The real programs: in deploy/localchain, which the demo uses too."""

from localchain.tools import Tools

__all__ = ["Tools"]
