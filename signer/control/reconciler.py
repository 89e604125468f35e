"""Looks at blocks of our producer that this signer did not sign, as they appear, and raises the alarm `clone`."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from signer.control.reconciliation import Author, Comparison, possible_keys
from signer.errors import AdminError, AuditError
from signer.signing import ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from signer.chain.values import Block
    from signer.control.reconciliation import Finding
    from signer.control.supervisor import Supervisor

log = logging.getLogger("signer.control")

#: How far before a block the log is read: longer than a signature and its block ever are apart.
_BEFORE: Final = timedelta(minutes=10)
#: The log is read at most this often, in s: a clone makes twelve blocks in a round.
_EVERY_S: Final = 5.0
#: Blocks that wait for that.
_MAX_WAITING: Final = 1000

Suspect = tuple["Block", "Collection[str] | None"]


class Reconciler:
    """One chain.

    Args:
        chain: its name in the configuration.
        own: the block keys of this signer on it (PUB_ form).
        path: the audit log.
        supervisor: raises the alarm.
        monotonic: seconds that only grow.

    Attributes:
        found: blocks by who signed them (Author), since this process started.
    """

    def __init__(
        self,
        chain: str,
        own: Collection[str],
        path: Path,
        supervisor: Supervisor,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._chain = chain
        self._own = frozenset(own)
        self._path = path
        self._supervisor = supervisor
        self._monotonic = monotonic
        self.found: Counter[str] = Counter()
        self._waiting: list[Suspect] = []
        self._next_s = 0.0

    async def look(self, suspects: Sequence[Suspect]) -> list[Finding]:
        """Look at blocks with signatures that are not among the remembered ones; return what was found out now.

        Raises:
            AdminError: the alarm cannot be raised; the blocks are looked at again.
        """
        self._waiting += [each for each in suspects if (possible_keys(*each) or frozenset()) & self._own]
        del self._waiting[:-_MAX_WAITING]
        if not self._waiting or self._monotonic() < self._next_s:
            return []
        self._next_s = self._monotonic() + _EVERY_S
        try:
            read = await asyncio.to_thread(ledger.read, self._path, self._waiting[0][0].time - _BEFORE)
        except AuditError as error:
            log.error("blocks cannot be compared with the audit log", extra={"reason": str(error)})
            return []
        comparison = Comparison(read, self._own)
        findings = [comparison.find(*each) for each in self._waiting]
        clones = [each for each in findings if each.author is Author.CLONE]
        if clones:
            await self._raise(clones)
        self._waiting.clear()
        self.found.update(each.author.value for each in findings)
        for each in findings:
            if each.author is Author.UNCLEAR:
                fields = {"chain": self._chain, "count": each.block.number, "reason": each.reason}
                log.warning("a block of ours was not signed here", extra=fields)
        return findings

    async def _raise(self, clones: Sequence[Finding]) -> None:
        first = clones[0]
        more = f", and {len(clones) - 1} more" if len(clones) > 1 else ""
        text = (
            f"chain {self._chain}: block {first.block.number} of {first.block.time:%Y-%m-%d %H:%M:%S.%f} UTC{more} "
            f"was signed with {' or '.join(first.keys)} of this signer, and not by this signer: somebody has the key. "
            "Register another key now; the runbook says how"
        )
        log.error("clone", extra={"chain": self._chain, "key": first.keys[0], "reason": text})
        try:
            await self._supervisor.alarm("clone", first.keys[0], text, on=True)
        except AdminError as error:
            log.error("alarm not raised", extra={"rule": "clone", "reason": str(error)})
            raise
