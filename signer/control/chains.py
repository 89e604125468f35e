"""Which chain a request means, and what its configuration lacks for a rotation. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from signer.control.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Collection

    from signer.antelope.keys import PublicKey
    from signer.config import Config


def choose(config: Config, name: str | None) -> str:
    """Return the chain of that name; without a name the only one that has a producer.

    Raises:
        ProblemError: 404 there is no such chain; 409 none has a producer; 422 several have.
    """
    if name is not None:
        if name not in config.chains:
            known = ", ".join(config.chains) or "none"
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                "unknown-chain",
                f"No chain of that name is configured; known are: {known}.",
            )
        return name
    producing = [each for each, chain in config.chains.items() if chain.producer is not None]
    if len(producing) > 1:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "chain",
            f"Several chains have a producer; name one of: {', '.join(producing)}.",
        )
    if not producing:
        if len(config.chains) == 1:
            raise _not_configured(config, next(iter(config.chains)))
        raise ProblemError(
            HTTPStatus.CONFLICT,
            "not-configured",
            "Rotation is not configured: no chain in the configuration has a producer.",
            errors=[{"at": ["chains"], "kind": "missing"}],
        )
    return producing[0]


def require(config: Config, chain: str) -> None:
    """Raise a ProblemError, 409 `not-configured`, where `chain` lacks what a rotation needs."""
    if missing(config, chain):
        raise _not_configured(config, chain)


def missing(config: Config, chain: str) -> list[tuple[str, ...]]:
    """Return the places in the configuration that a rotation of `chain` needs and that are not there."""
    settings = config.chains[chain]
    lacks: list[tuple[str, ...]] = []
    if settings.producer is None:
        lacks.append(("chains", chain, "producer"))
    if not settings.api:
        lacks.append(("chains", chain, "api"))
    if not any(key.role == "rotation" and key.chain == chain for key in config.keys):
        lacks.append(("keys", f'role = "rotation", chain = "{chain}"'))
    if not any(key.role == "block" and config.chain_of(key) == chain for key in config.keys):
        lacks.append(("keys", f'role = "block", node = a node of "{chain}"'))
    return lacks


def _not_configured(config: Config, chain: str) -> ProblemError:
    places = missing(config, chain)
    text = ", ".join(words(place) for place in places)
    return ProblemError(
        HTTPStatus.CONFLICT,
        "not-configured",
        f"Rotation is not configured for chain {chain}; missing in the configuration: {text}. "
        "Until it is, the account's owner moves production with cleos: runbook, Production moved by the owner.",
        errors=[{"at": list(place), "kind": "missing"} for place in places],
    )


def words(place: tuple[str, ...]) -> str:
    """Return a place of the configuration as a person writes it."""
    return f"[[keys]] with {place[1]}" if place[0] == "keys" else ".".join(place)


def node_of(config: Config, keys: Collection[PublicKey]) -> str | None:
    """Return the one node whose block keys `keys` are; None if there is none, or they are of several."""
    nodes = {
        key.node
        for key in config.keys
        if key.role == "block" and key.public_key in keys and key.node is not None
    }
    own = {key.public_key for key in config.keys if key.role == "block"}
    return nodes.pop() if len(nodes) == 1 and set(keys) <= own else None
