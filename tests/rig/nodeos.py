"""Real nodeos: in deploy/localchain, which the demo uses too."""

from localchain.nodeos import Block, Genesis, Nodeos

__all__ = ["Block", "Genesis", "Nodeos"]
