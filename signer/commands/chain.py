"""Which chain a command means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signer.config_rules import nearest
from signer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from signer.config import Config


def chosen(config: Config, given: str | None, path: Path) -> str:
    """Return the chain `given`; without one, the only chain that has a producer.

    Raises:
        ConfigError: there is no such chain, or not exactly one has a producer.
    """
    if given is not None:
        if given not in config.chains:
            raise ConfigError(
                f"{path}: has no chain {given}{nearest(given, config.chains)}; "
                f"known are: {', '.join(config.chains) or 'none'}"
            )
        return given
    producing = [name for name, chain in config.chains.items() if chain.producer is not None]
    if not producing:
        raise ConfigError(f"{path}: no chain has a producer; this needs chains.NAME.producer and .api")
    if len(producing) > 1:
        raise ConfigError(
            f"{path}: several chains have a producer; name one of {', '.join(producing)} with --chain"
        )
    return producing[0]
