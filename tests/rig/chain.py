"""A chain with the real system contract: in deploy/localchain, which the demo uses too."""

from localchain.chain import Chain

__all__ = ["Chain"]
