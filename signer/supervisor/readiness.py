"""Whether a block of each node can be signed now, by what is known already: who asks makes no token work. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from signer.signing.proofs import EVERY_S

if TYPE_CHECKING:
    from signer.config import Config

#: A token that should have been proved and was not for so long, in s, is believed no longer.
FRESH_S: Final = 3 * EVERY_S


def obstacles(
    config: Config, keys: list[dict[str, Any]], tokens: dict[str, Any], silence: str, now: float
) -> list[str]:
    """Return one sentence for each reason why the signer is not ready; none if it is.

    Args:
        config: whose nodes are asked about.
        keys: every key, as `signer status` shows it.
        tokens: every token, likewise; `proved_at` in s since 1970.
        silence: why the signing process does not serve; empty if it does.
        now: s since 1970.
    """
    if silence:
        return [silence]
    probed = {key.token for key in config.keys if key.role == "probe"}
    found = []
    for node in config.nodes:
        usable = {
            key["token"]
            for key in keys
            if key["node"] == node
            and key["role"] == "block"
            and key["state"] == "active"
            and tokens[key["token"]]["purpose"] == "block"
        }
        if not usable:
            found.append(f"node {node} has no key that can sign")
        elif usable <= probed and all(_is_stale(tokens[token]["proved_at"], now) for token in usable):
            names = ", ".join(sorted(usable))
            found.append(f"node {node}: no signature and no probe of token {names} for {FRESH_S:.0f} s")
    return found


def _is_stale(proved_at: float | None, now: float) -> bool:
    return proved_at is None or now - proved_at > FRESH_S
