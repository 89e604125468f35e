"""Real cleos: in deploy/localchain, which the demo uses too."""

from localchain.cleos import Action, Cleos

__all__ = ["Action", "Cleos"]
