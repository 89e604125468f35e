"""The chain's API nodes and our nodeos: do they answer, of this chain, in sync, and agreed on the time. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signer.doctor.finding import Finding, failure, ok, unfit, unknown, warning
from signer.rotation.preflight import CLOCK_FAST_S, CLOCK_SLOW_S, HEAD_OLD_S, NODE_BEHIND_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from signer.config import Config
    from signer.doctor.facts import HeadFact

#: Blocks of half a second (config.hpp, block_interval_ms).
_BLOCK_S: Final = 0.5
#: One is asked, and the other one is what it is compared with.
_WANTED_APIS: Final = 2


def check(
    config: Config,
    chain: str,
    apis: Sequence[HeadFact],
    nodes: Mapping[str, HeadFact | None],
    *,
    production: bool,
) -> Iterator[Finding]:
    """Yield what the nodes of one chain say of themselves.

    Args:
        config: the configuration.
        chain: its name there.
        apis: the chain's API nodes, asked directly.
        nodes: our nodes on it, by name; None for one whose API is not configured.
        production: whether one API node is too few.
    """
    settings = config.chains[chain]
    if settings.producer is None:
        yield ok("api", chain, "no producer is configured: this signer signs here and moves no production")
    elif len(apis) < _WANTED_APIS:
        yield unfit(
            "api-count",
            chain,
            f"{len(apis)} API node: if it is away or lies, nobody knows who produces",
            f'[chains.{chain}] api = ["http://...", "http://..."]: two nodes, in two places',
            production=production,
        )
    good = [each for each in (*apis, *nodes.values()) if each is not None and each.chain_id == settings.id]
    best = max((each.head for each in good), default=0)
    for each in apis:
        yield _head("api", each.url, each, settings.id, best, needed=False)
    for name, fact in nodes.items():
        yield _node(name, fact, settings.id, best)
    yield from _clock(chain, good)


def silent(chain: str, producer: str | None) -> Iterator[Finding]:
    """Yield what a chain comes to that no address is known of."""
    if producer is not None:
        yield warning(
            "api",
            chain,
            "no API node is configured, so nobody tells who produces and this signer moves no production",
            f'[chains.{chain}] api = ["http://...", "http://..."]',
        )
        return
    yield unknown(
        "api",
        chain,
        "no API node and no producer are configured: nothing is known of nodes, clock and chain",
        f'[chains.{chain}] api = ["http://...", "http://..."], and its producer; or [nodes.NAME] api',
    )


def _node(name: str, fact: HeadFact | None, chain_id: str, best: int) -> Finding:
    if fact is None:
        return unknown(
            "node",
            name,
            "whether it runs and is in sync is not known",
            f'[nodes.{name}] api = "http://ADDRESS:8888", its own HTTP API',
        )
    return _head("node", name, fact, chain_id, best, needed=True)


def _head(check: str, subject: str, fact: HeadFact, chain_id: str, best: int, *, needed: bool) -> Finding:
    at = f" ({fact.url})" if subject != fact.url else ""
    if fact.problem:
        return (failure if needed else warning)(
            check, subject, f"it does not answer{at}: {fact.problem}", "start it, or correct its address"
        )
    if fact.chain_id != chain_id:
        return failure(
            check,
            subject,
            f"it serves another chain{at}: {fact.chain_id}",
            "correct the address, or the chain's id, in the configuration",
        )
    behind_s = (best - fact.head) * _BLOCK_S
    if behind_s > NODE_BEHIND_S:
        return (failure if needed else warning)(
            check,
            subject,
            f"head {fact.head} is {best - fact.head} blocks ({behind_s:.0f} s) behind the others{at}",
            "let it catch up before production moves to it; look at its peers and its log",
        )
    return ok(check, subject, f"head {fact.head}, in sync, nodeos {fact.version or '?'}{at}")


def _clock(chain: str, good: Sequence[HeadFact]) -> Iterator[Finding]:
    """Compare the local clock with the newest head: a head in the future is a clock that is slow."""
    newest = min(good, key=lambda each: each.ahead_s, default=None)
    if newest is None:
        yield unknown(
            "clock", chain, "no node of this chain answers, so nothing tells", "see the lines of api"
        )
        return
    ahead = newest.ahead_s
    behind = sorted(each.ahead_s for each in good)
    agreed = f"of {len(good)} nodes" if len(good) > 1 else "of one node, which may be wrong itself"
    if ahead < CLOCK_SLOW_S:
        yield failure(
            "clock",
            chain,
            f"this clock is {-ahead:.1f} s behind the newest head {agreed}",
            "timedatectl; chronyc makestep (or ntpd): set this host's clock",
        )
    elif ahead > HEAD_OLD_S:
        yield failure(
            "clock",
            chain,
            f"the newest head is {ahead:.1f} s old {agreed}: the chain stands, or this clock is ahead",
            "compare with another clock: timedatectl; then look whether the chain makes blocks",
        )
    elif ahead > CLOCK_FAST_S:
        yield warning(
            "clock",
            chain,
            f"the newest head is {ahead:.1f} s old {agreed}: slots are missing, or this clock is ahead",
            "timedatectl; look again in some seconds",
        )
    else:
        yield ok(
            "clock",
            chain,
            f"{ahead:+.1f} s from the newest head {agreed}, {behind[-1]:+.1f} s from the oldest",
        )
