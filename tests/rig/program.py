"""A child process with its log: in deploy/localchain, which the demo uses too."""

from localchain.program import Program, free_port

__all__ = ["Program", "free_port"]
