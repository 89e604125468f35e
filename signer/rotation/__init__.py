"""Moves production from key to key: a pure machine, a journal, and a runner between them."""
