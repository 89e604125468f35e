"""What nodeos logs: in deploy/localchain, which the demo uses too."""

from localchain.nodeos_log import Entry, Produced, complaints, entries, produced

__all__ = ["Entry", "Produced", "complaints", "entries", "produced"]
