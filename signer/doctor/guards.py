"""What stops two nodes at once, floods and repeats: are these guards on, and does the lease let a node sign. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from signer.doctor.finding import Finding, ok, unfit, unless

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from signer.config import Config

#: The mode in which a guard refuses.
_ENFORCE: Final = "enforce"


def check(
    config: Config, chains: Sequence[str], leases: Mapping[str, Mapping[str, Any]] | None, *, production: bool
) -> Iterator[Finding]:
    """Yield which guards are on for each chain with a producer, and who holds its lease.

    Args:
        config: the configuration.
        chains: the chains to look at.
        leases: of `signer status`; None while the signer does not answer.
        production: whether a guard that is off is a failure.
    """
    for chain in chains:
        if config.chains[chain].producer is None:
            continue
        modes = {
            "lease": config.lease_mode(chain),
            "rate": config.rate_mode(chain),
            "repeat": config.guards.repeat,
        }
        said = ", ".join(f"{name} {mode}" for name, mode in modes.items())
        faults = [
            unfit(
                "guards",
                f"{chain} {name}",
                f'guards.{name} is "{mode}": {_WHAT[name]}',
                f'[guards] {name} = "{_ENFORCE}", then signer reload',
                production=production,
            )
            for name, mode in modes.items()
            if mode == "off"
        ]
        holder = ((leases or {}).get(chain) or {}).get("holder")
        held = (
            ""
            if leases is None
            else f"; node {holder} has the lease"
            if holder
            else "; nobody has the lease yet"
        )
        yield from unless(faults, ok("guards", chain, f"{said}{held}"))


_WHAT: Final = {
    "lease": "two nodes of this producer would both get signatures",
    "rate": "whoever controls a node's socket gets as many signatures as the token gives",
    "repeat": "one digest may get several signatures",
}
