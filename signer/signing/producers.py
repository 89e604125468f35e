"""The guards of all producers of this process: made from the configuration, kept up to date by the supervisor.

What they refuse or see becomes alarms, each of a chain, that end when it has not happened for a while. A lease that
moved is told to the supervisor, which writes it down. All of that is after the answer.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from signer import questions
from signer.alarm import Bell
from signer.signing.lease import Authority, Lease
from signer.signing.producer_guard import ProducerGuard, Terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.channel import Message
    from signer.config import Config
    from signer.signing.service import Decision

#: Types of the messages about leases, both ways, and about what was seen of a chain.
LEASE: Final = "lease"
SEEN: Final = "seen"
GIVEN: Final = "given"
#: Rules whose refusals are alarms of the same name.
RULES: Final = frozenset({"lease", "slot", "rate"})
#: An alarm ends when it was not raised for this long, in s: two rounds of 21 producers, and a bit.
_QUIET_S: Final = 300.0
_SWEEP_S: Final = 5.0


class Producers:
    """The guards by chain and by node.

    Args:
        config: the configuration.
        send: sends a message to the supervisor; must not block.

    Attributes:
        by_node: for signer.signing.guard.
    """

    def __init__(self, config: Config, send: Callable[[Message], None]) -> None:
        self._send = send
        self._bell = Bell(send, time.monotonic)
        self._raised: dict[tuple[str, str], float] = {}
        self._by_chain = {
            chain: ProducerGuard(chain, Terms.of(config, chain), _nodes(config, chain))
            for chain in config.chains
        }
        self.by_node = {name: self._by_chain[node.chain] for name, node in config.nodes.items()}

    # -- the supervisor ------------------------------------------------------------------------------

    def take(self, message: Message) -> bool:
        """Take a message if it is about leases or chains, and answer it if it is a question.

        A chain that is not configured here is no matter: the other side may have a newer configuration.
        """
        kind = message["type"]
        if kind not in (LEASE, SEEN, GIVEN):
            return False
        guard = self._by_chain.get(message["chain"])
        if guard is not None:
            self._tell(guard, kind, message)
        if "id" in message:
            self._send({"type": questions.ANSWER, "id": message["id"]})
        return True

    @staticmethod
    def _tell(guard: ProducerGuard, kind: str, message: Message) -> None:
        if kind == LEASE:
            guard.take(None if message["lease"] is None else Lease.from_fields(message["lease"]))
        elif kind == GIVEN:
            guard.before([(node, at_ns) for node, at_ns in message["given"]])
        else:
            authority = Authority(
                frozenset(message["active"]),
                tuple(frozenset(keys) for keys in message["coming"]),
                message["missed"],
                message["missed_since"],
            )
            guard.see(authority, message["producers"], savanna=message["savanna"])

    # -- after an answer -----------------------------------------------------------------------------

    def note(self, decision: Decision) -> None:
        """Tell what a decision brought about."""
        guard = self.by_node.get(decision.node)
        if guard is None:
            return
        if decision.rule in RULES:
            self._raise(decision.rule, guard.chain, decision.detail)
        if guard.news:
            news, guard.news = guard.news, []
            for each in news:
                self._raise(each.rule, each.chain, each.text)
        if guard.moved:
            guard.moved = False
            lease = guard.lease
            if lease is not None:
                self._send({"type": LEASE, "chain": guard.chain, "lease": lease.to_fields()})

    def _raise(self, rule: str, chain: str, text: str) -> None:
        self._raised[rule, chain] = time.monotonic()
        self._bell.raised(rule, chain, text)

    async def sweep(self) -> None:
        """End alarms that have become quiet, until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            for (rule, chain), at in list(self._raised.items()):
                if now - at >= _QUIET_S:
                    del self._raised[rule, chain]
                    self._bell.cleared(rule, chain)

    def state(self) -> dict[str, Any]:
        """Return what `signer status` shows of each chain that has nodes."""
        return {guard.chain: guard.state() for guard in dict.fromkeys(self.by_node.values())}


def _nodes(config: Config, chain: str) -> dict[str, str]:
    """Return the block keys of `chain` (PUB_ form) and the node of each."""
    return {
        str(key.public_key): key.node
        for key in config.keys
        if key.node is not None and config.nodes[key.node].chain == chain
    }
