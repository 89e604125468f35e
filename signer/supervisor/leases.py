"""Who holds the lease of each chain's producer, over restarts and reloads. signer.signing.lease has the rules.

The signing process decides; this writes down where a lease went, tells each new signing process what it must know of
the time before it, and takes what a person or the chain says. No signature waits for any of it.

Laws: a lease that a person gave is on disk before it is confirmed. A holder that was read from disk begins its silence
anew, so a restart never shortens it. A file that cannot be written or read is said in the log, and stops nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from signer.errors import AdminError
from signer.signing import audit
from signer.signing.lease import Claim, Lease
from signer.signing.producers import GIVEN, LEASE, SEEN
from signer.supervisor.thread import one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from signer.chain.sighting import Sighting
    from signer.channel import Message
    from signer.config import Config

log = logging.getLogger("signer.supervisor")

_NS_PER_S: Final = 1_000_000_000
#: No decision is older than this when it comes, in s.
_OLDEST_S: Final = 5.0
#: The clock of this machine and the head of a chain that is seen well are nearer than this, in s.
_AGREE_S: Final = 3.0
#: Claims that say that something is wrong with the node that had the lease.
_ABSENT: Final = frozenset({Claim.SILENCE, Claim.MISSED})


class Leases:
    """The leases of this signer.

    Args:
        path: the file.
        config: what is in service.
        act: writes an administrative act: name, by, detail.
        alarm: raises an alarm: name, subject, text.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        act: Callable[[str, str, str], None],
        alarm: Callable[[str, str, str], None],
    ) -> None:
        self._path = path
        self._config = config
        self._act = act
        self._alarm = alarm
        self._leases = _read(path)
        self._given: dict[str, deque[tuple[str, int]]] = {}
        self._seen: dict[str, Message] = {}
        self._thread = one("leases")
        self._unwritten = ""

    def reconfigure(self, config: Config) -> None:
        """Take the configuration that is in service from now on. What nobody configures any more is forgotten."""
        self._config = config
        self.adopt(self._given)
        for chain, lease in list(self._leases.items()):
            if lease.holder not in self._nodes(chain):
                del self._leases[chain]

    def close(self) -> None:
        """Write what waits, the last time."""
        self._thread.shutdown()

    async def written(self) -> None:
        """Return once everything until now is written, or could not be."""
        await asyncio.get_running_loop().run_in_executor(self._thread, lambda: None)

    def problems(self) -> list[str]:
        """Return one sentence for each thing that a person should look at."""
        return [f"the leases are not kept over a restart: {self._unwritten}"] if self._unwritten else []

    def remains(self) -> dict[str, list[tuple[str, int]]]:
        """Return who was given how many signatures lately, for the next image of this process."""
        return {chain: list(given) for chain, given in self._given.items()}

    def adopt(self, remains: Mapping[str, Iterable[tuple[str, int]]]) -> None:
        """Go on counting from there, as after an image before this one. Who holds a lease is in the file."""
        for chain, given in remains.items():
            self._given[chain] = deque(given, maxlen=self._config.guards.rate_limit)

    # -- signing processes ---------------------------------------------------------------------------

    def brief(self, config: Config) -> list[Message]:
        """Return what a signing process with `config` must know before it signs."""
        messages: list[Message] = []
        for chain in config.chains:
            lease = self._leases.get(chain)
            messages.append(self._message(chain, lease))
            since_ns = time.monotonic_ns() - config.guards.rate_window_s * _NS_PER_S
            given = [each for each in self._given.get(chain, ()) if each[1] > since_ns]
            messages.append({"type": GIVEN, "chain": chain, "given": given})
            if chain in self._seen:
                messages.append(self._seen[chain])
        return messages

    def given(self, decision: Mapping[str, Any]) -> Message | None:
        """Take a decision: each signature that a node was given counts for the lease and for the rate.

        Returns what another signing process that may sign now must know of it.
        """
        node = self._config.nodes.get(decision["node"])
        if node is None or decision["verdict"] != audit.Verdict.SIGNED:
            return None
        at, now = decision["at"], time.time()
        # What looks older than it can be was made before the clock was stepped.
        at_ns = time.monotonic_ns() - int(min(max(now - at, 0.0), _OLDEST_S) * _NS_PER_S)
        recent = self._given.setdefault(node.chain, deque(maxlen=self._config.guards.rate_limit))
        recent.append((decision["node"], at_ns))
        lease = self._leases.get(node.chain)
        if lease is not None and lease.holder == decision["node"]:
            self._leases[node.chain] = replace(lease, signed_at=at, signed_ns=at_ns)
        return {"type": GIVEN, "chain": node.chain, "given": [(decision["node"], at_ns)]}

    def moved(self, message: Message) -> Message | None:
        """Take where a lease went. Returns what the other signing processes must know."""
        chain, lease = message["chain"], Lease.from_fields(message["lease"])
        if lease.holder not in self._nodes(chain):
            return None
        before = self._leases.get(chain)
        self._leases[chain] = lease
        was = f", before it {before.holder}" if before is not None else ""
        text = f"node {lease.holder} holds the lease of chain {chain} ({lease.claim}){was}"
        log.warning("lease moved", extra={"chain": chain, "node": lease.holder, "reason": text})
        self._act(audit.LEASE, "signer", text)
        if lease.claim in _ABSENT and self._config.lease_mode(chain) == "enforce":
            self._alarm("lease-moved", chain, text)
        self._thread.submit(self._write, _file(self._leases))
        return self._message(chain, lease)

    # -- people and the chain ------------------------------------------------------------------------

    async def take(self, chain: str, node: str, by: str, reason: str) -> Message:
        """Give the lease to a node. Returns what every signing process must know.

        Raises:
            AdminError: there is no such chain or node, or no lease there.
        """
        if chain not in self._config.chains:
            raise AdminError(f"there is no chain {chain!r}; chains: {', '.join(self._config.chains)}")
        nodes = self._nodes(chain)
        if node not in nodes:
            raise AdminError(f"chain {chain} has no node {node!r}; nodes: {', '.join(sorted(nodes))}")
        if self._config.lease_mode(chain) == "off":
            raise AdminError(f'chain {chain} has no lease: guards.lease is "off" there')
        before = self._leases.get(chain)
        now = time.time()
        lease = Lease(node, Claim.TAKEN, now, now, time.monotonic_ns())
        self._leases[chain] = lease
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._write, _file(self._leases))
        held = self._leases.get(chain)
        if held is not None and held.holder != node:
            # A signature moved it meanwhile: what a person says comes last, here as in the signing processes.
            self._leases[chain] = lease
            await loop.run_in_executor(self._thread, self._write, _file(self._leases))
        was = before.holder if before is not None else "nobody"
        log.warning("lease taken", extra={"chain": chain, "node": node, "caller": by, "reason": reason})
        self._act(
            audit.LEASE,
            by,
            f"node {node} holds the lease of chain {chain} (taken), before it {was}: {reason}",
        )
        return self._message(chain, lease)

    def see(self, seen: Sighting) -> Message | None:
        """Take what was seen of a chain. Returns what every signing process must know, None if that is nothing new."""
        if not seen.producers:
            return None
        # Slots have the chain's time and signatures that of this machine. Where the two disagree, a holder that signs
        # would be taken for absent.
        agree = abs(seen.at - seen.head_at) <= _AGREE_S
        coming = [seen.row, seen.proposed, seen.pending, *((key,) for key in seen.targets)]
        message = {
            "type": SEEN,
            "chain": seen.chain,
            "active": list(seen.active),
            "coming": [list(keys) for keys in coming if keys],
            "missed": seen.missed_in_row if agree else 0,
            "missed_since": seen.missed_since if agree else None,
            "producers": seen.producers,
            "savanna": seen.savanna,
        }
        known, self._seen[seen.chain] = self._seen.get(seen.chain), message
        return None if message == known else message

    # -- inside --------------------------------------------------------------------------------------

    def _nodes(self, chain: str) -> set[str]:
        return {name for name, node in self._config.nodes.items() if node.chain == chain}

    @staticmethod
    def _message(chain: str, lease: Lease | None) -> Message:
        return {"type": LEASE, "chain": chain, "lease": None if lease is None else lease.to_fields()}

    def _write(self, text: str) -> None:
        """Write the file, so that it survives a power failure. In the thread."""
        new = self._path.with_suffix(".new")
        try:
            with open(new, "w", encoding="utf-8") as file:  # noqa: PTH123 - as os.replace below
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self._path)  # noqa: PTH105 - as the audit log does
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self._unwritten = ""
        except OSError as error:
            self._unwritten = f"{self._path}: {error.strerror}"
            log.error("leases are not kept over a restart", extra={"reason": self._unwritten})


def _file(leases: Mapping[str, Lease]) -> str:
    content = {
        chain: {"holder": lease.holder, "claim": lease.claim.value, "since": lease.since}
        for chain, lease in leases.items()
    }
    return json.dumps(content) + "\n"


def _read(path: Path) -> dict[str, Lease]:
    """Return the leases in the file, none if there is none or it is broken."""
    now, now_ns = time.time(), time.monotonic_ns()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(chain): Lease(str(each["holder"]), Claim(each["claim"]), float(each["since"]), now, now_ns)
            for chain, each in content.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        log.error(
            "leases cannot be read; whoever signs first gets them", extra={"reason": f"{path}: {error!r}"}
        )
        return {}
