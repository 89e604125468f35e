"""A producer of ours: in deploy/localchain, which the demo uses too."""

from localchain.own_producer import OwnProducer

__all__ = ["OwnProducer"]
