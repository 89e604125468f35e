"""Who made our blocks, slot by slot: from the chain and the nodes' logs, from nothing that the signer says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from localchain import nodeos_log
from localchain.slot import ROUND, slot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from localchain.nodeos import Nodeos

#: Rounds that are remembered.
_ROUNDS: Final = 8
#: Blocks of one look at most: the next look takes the rest.
_AT_ONCE: Final = 200


@dataclass
class _Log:
    """A log that grows, read once."""

    path: Path
    read: int = 0
    rest: str = ""

    def new(self) -> str:
        with self.path.open("rb") as file:
            file.seek(self.read)
            data = file.read()
        self.read += len(data)
        whole, _, self.rest = (self.rest + data.decode(errors="replace")).rpartition("\n")
        return whole


@dataclass
class Production:
    """The slots of one producer.

    Attributes:
        producer: its name.
        first: the number of its first block.
    """

    producer: str
    first: int | None = None
    _seen: int = 0
    _order: tuple[str, ...] = ()
    _head: int = 0
    _blocks: dict[int, str] = field(default_factory=dict)
    _makers: dict[str, str] = field(default_factory=dict)
    _logs: dict[str, _Log] = field(default_factory=dict)

    def begin(self, boot: Nodeos) -> None:
        """Look only at blocks from now on."""
        self._seen = boot.head

    def look(self, boot: Nodeos, nodes: Mapping[str, Nodeos]) -> None:
        """Read the blocks that are new on `boot`, and what the nodes say that they produced."""
        for name, node in nodes.items():
            log = self._logs.setdefault(name, _Log(node.log_file))
            for made in nodeos_log.produced(log.new()):
                self._makers[made.id_part] = name
        self._order = tuple(boot.active_schedule())
        for number in range(self._seen + 1, min(boot.head, self._seen + _AT_ONCE) + 1):
            block = boot.block(number)
            self._seen = number
            self._head = slot(block.timestamp)
            if block.producer == self.producer:
                self._blocks[self._head] = block.id[8:24]
                self.first = self.first or number
        self._forget()

    def _forget(self) -> None:
        oldest = self._head - _ROUNDS * ROUND * max(len(self._order), 1)
        for number in [number for number in self._blocks if number < oldest]:
            self._makers.pop(self._blocks.pop(number), None)

    def rounds(self) -> list[list[str]]:
        """Return the last rounds, the youngest last: for each slot so far the node, `missed`, or `?` not known yet.

        Slot s belongs to the producer at place s // 12 modulo their number, in the order of the active schedule
        (block_header_state_legacy.cpp, get_scheduled_producer).
        """
        if not self._blocks or self.producer not in self._order:
            return []
        place, count = self._order.index(self.producer), len(self._order)
        last = self._head // ROUND
        turns = [turn for turn in range(min(self._blocks) // ROUND, last + 1) if turn % count == place]
        return [
            [self._slot(number) for number in range(turn * ROUND, (turn + 1) * ROUND) if number <= self._head]
            for turn in turns[-_ROUNDS:]
        ]

    def _slot(self, number: int) -> str:
        block = self._blocks.get(number)
        return "missed" if block is None else self._makers.get(block, "?")

    def last_maker(self) -> str | None:
        """Return the node that made our last block, None where none is known."""
        known = [self._makers[block] for block in self._blocks.values() if block in self._makers]
        return known[-1] if known else None
