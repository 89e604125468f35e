"""A chain in memory: blocks with ids, signed with real keys; packed transactions that are checked and take effect.

It is the truth that runner and observer are held against, so it shares no rule with them. Sources are those of FACTS'
kind: legacy schedules (L:libraries/chain/controller.cpp:3337-3361, block_header_state_legacy.cpp:121-124), Savanna's
(S:libraries/chain/block_header_state.cpp:299-319), onblock (SC:contracts/eosio.system/src/producer_pay.cpp:52-54),
checks of a transaction (L:libraries/chain/controller.cpp, validate_expiration and validate_tapos).

Time is counted in slots of 0.5 s from `START`. Whoever looks says which slot it is (`advance_to`), and the blocks until
then are made.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from rig import two_nodes

from signer.antelope.keys import Digest, PublicKey
from signer.antelope.name import Name
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature
from signer.antelope.transaction import ActFinKey, RegProducer, Transaction, UnregProd, tapos
from signer.errors import SigningError

if TYPE_CHECKING:
    from rotation.memory_desk import MemoryDesk

SLOT: Final = timedelta(milliseconds=500)
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
#: The first block that any node has.
FIRST: Final = 10_000
ROUND: Final = 12
PROPOSE_EVERY: Final = 120
SAVANNA_VERSION: Final = 0x8000_0000
US: Final = Name(two_nodes.PRODUCER)
OTHERS: Final = two_nodes.public_key(31)


def moment(slot: int) -> datetime:
    """Return the timestamp of a slot."""
    return START + slot * SLOT


class Refusal(Exception):  # noqa: N818 - nodeos' word for it
    """Why a node does not take a transaction.

    Attributes:
        status: the HTTP status.
        code: nodeos' code.
        name: the exception's.
    """

    def __init__(self, status: int, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.name = name


#: The account's resources are used up (L:exceptions.hpp:365-394).
NO_CPU: Final = Refusal(
    500,
    3080004,
    "tx_cpu_usage_exceeded",
    "billed CPU time (153 us) is greater than the maximum billable CPU time for the transaction (0 us)",
)
NO_RAM: Final = Refusal(
    500, 3080001, "ram_usage_exceeded", "account bravo has insufficient ram; needs 4237 bytes has 4195 bytes"
)


@dataclass(frozen=True)
class Row:
    """The producer's row of the system contract. No key: unregistered."""

    keys: tuple[PublicKey, ...]
    url: str = "https://bravo.example"
    location: int = 276


@dataclass(frozen=True)
class Schedule:
    """A schedule: names and keys, sorted by name as the contract does."""

    version: int
    producers: tuple[tuple[str, tuple[PublicKey, ...]], ...]

    def owner(self, slot: int) -> tuple[str, tuple[PublicKey, ...]]:
        """Return whose slot it is, and what may sign there."""
        absolute = (moment(slot) - EPOCH) // SLOT
        return self.producers[absolute // ROUND % len(self.producers)]


@dataclass(frozen=True)
class Waiting:
    """A schedule on its way, and the block that put it there."""

    what: Schedule
    number: int


@dataclass(frozen=True, eq=False)
class Block:
    """A block, and the state of the chain after it."""

    number: int
    id: str
    slot: int
    producer: str
    signature: str
    schedule_version: int
    previous: str
    irreversible: int
    row: Row | None
    active: Schedule
    pending: Waiting | None = None
    proposed: Waiting | None = None
    proposed_slot: int = 0
    finalizer: str | None = None
    next_finalizer: tuple[str, int] | None = None
    included: tuple[str, ...] = ()


@dataclass
class Node:
    """A nodeos of ours.

    Attributes:
        keys: what its signature providers are.
        up: whether it runs.
        owns: whether it signs with keys of its own (`KEY:`), so that the signer knows nothing of its blocks.
    """

    name: str
    keys: set[PublicKey]
    up: bool = True
    owns: bool = False


@dataclass
class Ledger:
    """The chain as the producers have it.

    Attributes:
        savanna: the consensus.
        lag: irreversibility is this many blocks behind the head.
        names: the other producers.
        elected: whether ours has the votes.
        lands: whether blocks take the transactions that reached the producers.
        permission: keys in the rotation permission; None: there is none.
        refusal: what every node answers to any transaction.
        finalizer: the finalizer key that votes for us (Savanna).
        finalizer_waits: whether another one stays out of the policy.
        propose_in: in how many slots the system contract proposes a schedule for the first time.
        slot: the last one that has passed.
        salt: makes other blocks after a fork than before it.
        mempool: transactions that reached the producers.
        included: transaction -> number of its block.
    """

    desk: MemoryDesk
    nodes: dict[str, Node]
    row: Row | None
    savanna: bool = False
    lag: int = 5
    names: tuple[str, ...] = ("alpha",)
    propose_in: int = 24
    elected: bool = True
    lands: bool = True
    permission: set[PublicKey] | None = field(
        default_factory=lambda: {two_nodes.ROTATION, two_nodes.OTHER_ROTATION}
    )
    refusal: Refusal | None = None
    finalizer: str | None = None
    finalizer_waits: bool = False
    slot: int = 0
    salt: str = ""
    mempool: dict[str, Transaction] = field(default_factory=dict)
    queue: list[Row | None] = field(default_factory=list)
    included: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        active = Schedule(1, self._wanted(self.row))
        first = Block(
            FIRST,
            _id(FIRST, b""),
            0,
            "alpha",
            _signature(b""),
            self._version(active),
            _id(FIRST - 1, b""),
            FIRST,
            self.row,
            active,
            proposed_slot=self.propose_in - PROPOSE_EVERY - 1,
            finalizer=self.finalizer,
        )
        self.blocks = [first]

    # -- looking -------------------------------------------------------------------------------------------

    @property
    def head(self) -> Block:
        """The last block."""
        return self.blocks[-1]

    def block(self, number: int) -> Block | None:
        """Return a block, None if there is none."""
        return self.blocks[number - FIRST] if FIRST <= number <= self.head.number else None

    @property
    def irreversible(self) -> Block:
        """The last irreversible block."""
        return self.blocks[self.head.irreversible - FIRST]

    def live(self, transaction: Transaction) -> bool:
        """Whether some block may still take the transaction for the first time."""
        at = self.included.get(transaction.id())
        if at is not None and at <= self.head.irreversible:
            return False
        return moment(self.irreversible.slot) <= transaction.expiration

    def missed(self, first: int) -> int:
        """Count our slots without a block from the block `first` to the head."""
        made = {block.slot for block in self.blocks}
        begin = self.blocks[first - FIRST].slot
        count = 0
        for slot in range(begin, self.head.slot):
            after = next(block for block in self.blocks if block.slot >= slot)
            count += slot not in made and after.active.owner(slot)[0] == US
        return count

    # -- pushing -------------------------------------------------------------------------------------------

    def take(self, packed: bytes, signatures: list[str], view: Block) -> Transaction:
        """Take a transaction at a node whose head is `view`.

        Raises:
            Refusal: as nodeos.
        """
        transaction = self.judge(packed, view)
        name = transaction.id()
        digest = transaction.digest(two_nodes.CHAIN_ID)
        try:
            signed_by = {recover(digest, Signature.parse(each)) for each in signatures}
        except SigningError:
            signed_by = set()
        if not signed_by <= (self.permission or set()) or not signed_by:
            raise Refusal(
                500,
                3090003,
                "unsatisfied_authorization",
                'transaction declares authority \'{"actor":"bravo","permission":"rotate"}\', '
                "but does not have signatures for it under a provided delay of 0 ms",
            )
        if name in self.mempool:
            raise Refusal(409, 3040008, "tx_duplicate", f"duplicate transaction {name}")
        self.mempool[name] = transaction
        return transaction

    def judge(self, packed: bytes, view: Block) -> Transaction:
        """Look at a transaction without its signatures, at a node whose head is `view`.

        Raises:
            Refusal: as nodeos.
        """
        transaction = Transaction.unpack(packed)
        name = transaction.id()
        now = moment(view.slot + 1)
        if transaction.expiration < now:
            raise Refusal(
                500,
                3040005,
                "expired_tx_exception",
                f"expired transaction {name}, expiration {transaction.expiration}, block time {now}",
            )
        if self.included.get(name, view.number + 1) <= view.number:
            raise Refusal(409, 3040008, "tx_duplicate", f"duplicate transaction {name}")
        if transaction.expiration > now + timedelta(hours=1):
            raise Refusal(500, 3040006, "tx_exp_too_far_exception", "Transaction expiration is too far")
        refers = [
            block
            for block in self.blocks[: view.number - FIRST + 1]
            if tapos(block.id) == (transaction.ref_block_num, transaction.ref_block_prefix)
        ]
        if not refers:
            raise Refusal(
                500, 3040007, "invalid_ref_block_exception", "Transaction's reference block did not match"
            )
        if self.permission is None:
            raise Refusal(
                500,
                3040000,
                "transaction_exception",
                "action's authorizations include a non-existent permission: bravo@rotate",
            )
        if self.refusal is not None:
            raise self.refusal
        return transaction

    def act(self, row: Row | None) -> None:
        """Let somebody else change the row in the next block."""
        self.queue.append(row)

    def propose_now(self) -> None:
        """Let the system contract propose a schedule in the next block."""
        self.blocks[-1] = replace(self.head, proposed_slot=self.slot - PROPOSE_EVERY - 1)

    def fork(self, depth: int) -> int:
        """Drop blocks that are reversible, at most `depth`, and what was in them. Returns how many."""
        kept = max(self.head.irreversible, self.head.number - depth)
        dropped = self.blocks[kept - FIRST + 1 :]
        del self.blocks[kept - FIRST + 1 :]
        for block in dropped:
            for name in block.included:
                del self.included[name]
                self.mempool.pop(name, None)
        return len(dropped)

    # -- producing -----------------------------------------------------------------------------------------

    def advance_to(self, slot: int) -> None:
        """Make the blocks until `slot`."""
        while self.slot < slot:
            self.slot += 1
            self._produce()

    def _produce(self) -> None:
        head, number = self.head, self.head.number + 1
        active, pending, proposed = self._schedules(number)
        producer, keys = active.owner(self.slot)
        content = f"{number} {self.slot} {head.id} {len(self.mempool)} {self.salt}".encode()
        signature = self._sign(keys, content) if producer == US else _signature(content)
        if signature is None:
            return
        proposed_slot = head.proposed_slot
        if self.slot - proposed_slot > PROPOSE_EVERY:  # onblock: before the transactions of the block
            proposed_slot = self.slot
            wanted = self._wanted(head.row)
            newest = (proposed or pending or Waiting(active, 0)).what
            if proposed is None and wanted != newest.producers:
                proposed = Waiting(Schedule(newest.version + 1, wanted), number)
        finalizer, next_finalizer = head.finalizer, head.next_finalizer
        if next_finalizer is not None and not self.finalizer_waits and next_finalizer[1] <= head.irreversible:
            finalizer, next_finalizer = next_finalizer[0], None
        block = Block(
            number,
            _id(number, content),
            self.slot,
            producer,
            signature,
            self._version(active),
            head.id,
            max(head.irreversible, number - self.lag),
            head.row,
            active,
            pending,
            proposed,
            proposed_slot,
            finalizer,
            next_finalizer,
        )
        for row in self.queue:
            block = replace(block, row=row)
        self.queue = []
        for name, transaction in self.mempool.items():
            if self.lands and name not in self.included and moment(self.slot) <= transaction.expiration:
                block = _apply(block, transaction)
                self.included[name] = number
        self.blocks.append(block)

    def _sign(self, keys: tuple[PublicKey, ...], content: bytes) -> str | None:
        digest = Digest(hashlib.sha256(content).digest())
        for node in self.nodes.values():
            for key in keys:
                if node.up and key in node.keys:
                    return _signature(content) if node.owns else self.desk.sign_block(key, node.name, digest)
        return None

    def _schedules(self, number: int) -> tuple[Schedule, Waiting | None, Waiting | None]:
        """Return the active, pending and proposed schedule of the next block, before it proposes anything."""
        head = self.head
        active, pending, proposed = head.active, head.pending, head.proposed
        final = head.irreversible
        if self.savanna:
            if self.slot // ROUND != head.slot // ROUND:
                if pending is not None:
                    active, pending = pending.what, None
                if proposed is not None and proposed.number <= final:
                    pending, proposed = Waiting(proposed.what, number), None
            return active, pending, proposed
        if pending is not None and pending.number <= final:
            active, pending = pending.what, None
        if proposed is not None and pending is None and proposed.number <= final:
            pending, proposed = Waiting(proposed.what, number), None
        return active, pending, proposed

    def _wanted(self, row: Row | None) -> tuple[tuple[str, tuple[PublicKey, ...]], ...]:
        producers: dict[str, tuple[PublicKey, ...]] = dict.fromkeys(self.names, (OTHERS,))
        if row is not None and row.keys and self.elected:
            producers[US] = row.keys
        return tuple(sorted(producers.items()))

    def _version(self, active: Schedule) -> int:
        return SAVANNA_VERSION if self.savanna else active.version


def _apply(block: Block, transaction: Transaction) -> Block:
    for action, _ in transaction.actions:
        match action:
            case RegProducer():
                row = Row((action.producer_key,), action.url, action.location)
                block = replace(block, row=row)
            case UnregProd():
                assert block.row is not None
                block = replace(block, row=replace(block.row, keys=()))
            case ActFinKey():
                block = replace(block, next_finalizer=(action.finalizer_key, block.number))
            case _:
                raise AssertionError(f"{action.name} is not expected of a rotation")
    return replace(block, included=(*block.included, transaction.id()))


def _id(number: int, content: bytes) -> str:
    return f"{number:08x}{hashlib.sha256(content).hexdigest()[8:]}"


def _signature(content: bytes) -> str:
    """Return text in the form of a signature, which is one of nobody here."""
    digits = hashlib.sha256(content).hexdigest().replace("0", "g")
    return f"SIG_K1_{digits}"
