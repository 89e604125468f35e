"""Which signatures this signer gave: the newest ones, found by their text, and when each key signed last.

Kept in memory, filled by each decision, and after a start from the end of the audit log. It answers two questions: is
this signature, found on chain, one of ours, and did this key sign in the last hour. It is no proof: that is the log.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import OrderedDict, deque
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from signer.errors import AdminError, AuditError
from signer.signing.audit import AT, KEY, NODE, SIGNATURE, VERDICT, ChainError, Verdict, parse
from signer.signing.audit_reader import tail
from signer.supervisor.thread import one

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("signer.supervisor")

#: Signatures that are remembered: at twelve in a round of 126 s, those of the last day.
REMEMBERED: Final = 10_000
#: How much of the log's end is read, in bytes. A decision has about 600; most may be refusals.
_TAIL: Final = 16_000_000
#: What a line of a signature has, as the log's one way to write it puts it (audit.serialise).
_MARK: Final = b'"verdict":"signed"'
#: Who asks waits this long for it, in s. Reading takes some tenths of one.
_LEARN_S: Final = 2.0


class Issuance(NamedTuple):
    """A signature that was given. `node` is empty where none asked for it; `at` in s since 1970."""

    signature: str
    key: str
    node: str
    at: float


class Issued:
    """The signatures of this signer."""

    def __init__(self) -> None:
        self._by_signature: OrderedDict[str, Issuance] = OrderedDict()
        self._last: dict[str, Issuance] = {}
        self._counts: dict[str, int] = {}
        self._learned = asyncio.Event()

    def add(self, decision: dict[str, Any]) -> None:
        """Take a decision; one that did not sign is not kept."""
        if decision["verdict"] == Verdict.SIGNED:
            # The names come in a new text each time; one of each is enough for all.
            key, node = sys.intern(decision["key"]), sys.intern(decision["node"])
            given = Issuance(decision["signature"], key, node, decision["at"])
            self._counts[given.key] = self._counts.get(given.key, 0) + 1
            self._last[given.key] = given
            self._keep(given)

    async def learn(self, path: Path) -> None:
        """Take what the end of the audit log at `path` has of the time before this start; it is not counted."""
        try:
            with one("issued") as thread:
                older = await asyncio.get_running_loop().run_in_executor(thread, _read, path)
        except AuditError as error:
            log.error("earlier signatures are not known", extra={"reason": str(error)})
        else:
            self._put_before(older)
        self._learned.set()

    async def learned(self) -> None:
        """Wait until `learn` is done.

        Raises:
            AdminError: it was not in time.
        """
        try:
            async with asyncio.timeout(_LEARN_S):
                await self._learned.wait()
        except TimeoutError:
            raise AdminError("the audit log is still being read for earlier signatures; ask again") from None

    def _put_before(self, older: list[Issuance]) -> None:
        newer = self._by_signature
        self._by_signature = OrderedDict((each.signature, each) for each in older)
        self._last = {each.key: each for each in older} | self._last
        for given in newer.values():
            self._keep(given)

    def _keep(self, given: Issuance) -> None:
        self._by_signature[given.signature] = given
        while len(self._by_signature) > REMEMBERED:
            self._by_signature.popitem(last=False)

    def find(self, signature: str) -> Issuance | None:
        """Return how `signature` (SIG_ text) was given, None if it is not among the remembered ones."""
        return self._by_signature.get(signature)

    def last(self, key: str) -> Issuance | None:
        """Return the last signature of `key` (PUB_ form), None if none is known."""
        return self._last.get(key)

    def count(self, key: str) -> int:
        """Return how many signatures `key` (PUB_ form) gave since this process started."""
        return self._counts.get(key, 0)

    def since(self, moment: float) -> set[str]:
        """Return the keys that signed after `moment`, in s since 1970."""
        return {key for key, given in self._last.items() if given.at > moment}


def _read(path: Path) -> list[Issuance]:
    """Return the signatures in the end of the audit log at `path`, oldest first.

    Raises:
        AuditError: it cannot be read.
    """
    lines = deque((line for line in tail(path, _TAIL) if _MARK in line), REMEMBERED)
    found = []
    for line in lines:
        try:
            fields = parse(line)
        except ChainError:
            continue  # half a line at either end
        if fields.get(VERDICT) == Verdict.SIGNED:
            found.append(
                Issuance(
                    str(fields[SIGNATURE]),
                    sys.intern(str(fields[KEY])),
                    sys.intern(str(fields[NODE] or "")),
                    datetime.fromisoformat(str(fields[AT])).timestamp(),
                )
            )
    return found
