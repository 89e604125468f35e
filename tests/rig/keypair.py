"""Key pairs by cleos: in deploy/localchain, which the demo uses too."""

from localchain.keypair import DEVELOPMENT, Curve, KeyPair, generate

__all__ = ["DEVELOPMENT", "Curve", "KeyPair", "generate"]
