"""Real keosd: in deploy/localchain, which the demo uses too."""

from localchain.keosd import Keosd

__all__ = ["Keosd"]
