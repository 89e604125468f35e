"""What the chain says, as values. Nothing here asks anything.

Times are UTC. A block's time is its slot, a multiple of 0.5 s. Keys are `PublicKey`; a key that this signer cannot
hold (WebAuthn, the null key of a row without one, bytes that are no point) stays text and stands apart, so that no
comparison takes it for one of ours.

Sources, here and in `reading`: L is AntelopeIO/leap 92b6fec, S is AntelopeIO/spring 17ed17f.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.antelope.name import Name
    from signer.errors import ChainError, ChainRefusedError

#: The `schedule_version` of a Savanna block (S:libraries/chain/include/eosio/chain/block_header.hpp:86-93). Blocks of
#: the transition still carry their legacy version.
SAVANNA_SCHEDULE_VERSION: Final = 0x8000_0000


class Consensus(enum.StrEnum):
    """How the chain finalizes blocks."""

    LEGACY = "legacy"
    SAVANNA = "savanna"


# -- blocks ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """A block, by what get_info tells of it.

    Attributes:
        number: its number.
        id: its id, 64 lower-case hex digits; the first 8 are the number.
        time: its slot (UTC).
    """

    number: int
    id: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Info:
    """get_info of one API node.

    Attributes:
        api: the API node that said so.
        chain_id: 64 lower-case hex digits.
        head: its head block.
        irreversible: its last irreversible block.
        consensus: of its head block.
        server_version: for example `v5.0.2`.
        received_at: the local time of day at the answer (UTC).
        received_s: the local monotonic time at the answer, s.
        latency_s: from the question to the answer, s.
    """

    api: str
    chain_id: str
    head: Head
    irreversible: Head
    consensus: Consensus
    server_version: str
    received_at: datetime
    received_s: float
    latency_s: float

    @property
    def clock_ahead_s(self) -> float:
        """How far the local clock was ahead of the head block's time, s.

        Of a chain that produces, in sync, this is between about -0.5 and 1 s plus the latency: nodeos makes a block
        up to 0.5 s before its time (producer_plugin, produce-block-offset-ms). Below that the local clock is slow.
        Above it the local clock is fast, or the node is behind, or nobody produces: a second node tells which.
        """
        return (self.received_at - self.head.time).total_seconds()


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header.

    Attributes:
        number: its number.
        id: its id, 64 lower-case hex digits.
        time: its slot (UTC).
        producer: whose slot it was.
        producer_signature: as nodeos prints it, `SIG_K1_...` or `SIG_R1_...`.
        schedule_version: on legacy chains the version of the schedule in force, on Savanna a constant.
        previous: the id of the block before it.
    """

    number: int
    id: str
    time: datetime
    producer: Name
    producer_signature: str
    schedule_version: int
    previous: str

    @property
    def consensus(self) -> Consensus:
        """By the marker that Savanna blocks carry."""
        savanna = self.schedule_version == SAVANNA_SCHEDULE_VERSION
        return Consensus.SAVANNA if savanna else Consensus.LEGACY


@dataclass(frozen=True, slots=True)
class Feature:
    """An activated protocol feature.

    Attributes:
        digest: 64 hex digits.
        codename: for example `WTMSIG_BLOCK_SIGNATURES` or `SAVANNA`; empty where the node does not name it.
        block: the block that activated it.
    """

    digest: str
    codename: str
    block: int


# -- producers -------------------------------------------------------------------------------------------------


class WeightedKey(NamedTuple):
    """A key and what its signature counts (1 to 65535)."""

    key: PublicKey
    weight: int


@dataclass(frozen=True, slots=True)
class ProducerRow:
    """A row of the system contract's table `producers`.

    Attributes:
        producer: the account.
        keys: what may sign its blocks, in the contract's order. Empty after `unregprod`.
        other_keys: keys that no signer of ours can hold, as text.
        threshold: the weight that makes a block valid; 0 without keys.
        is_active: whether it is registered.
        url: to be carried over by the next registration.
        location: as url.
        total_votes: the contract's own measure, only to be compared with other rows.
    """

    producer: Name
    keys: tuple[WeightedKey, ...]
    other_keys: tuple[str, ...]
    threshold: int
    is_active: bool
    url: str
    location: int
    total_votes: float


class ProducerAnswer(NamedTuple):
    """What one API node says of a producer's row.

    Attributes:
        api: the API node.
        row: the row. None where there is none, and where there is an error.
        error: why this node's word does not count: it is silent, excluded or too far behind.
    """

    api: str
    row: ProducerRow | None
    error: ChainError | None


@dataclass(frozen=True, slots=True)
class ScheduledProducer:
    """A producer of a schedule.

    Attributes:
        name: the account.
        keys: what may sign its blocks.
        other_keys: keys that no signer of ours can hold, as text.
    """

    name: Name
    keys: tuple[PublicKey, ...]
    other_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Producers in the order of their rounds."""

    version: int
    producers: tuple[ScheduledProducer, ...]


@dataclass(frozen=True, slots=True)
class Schedules:
    """get_producer_schedule.

    Attributes:
        active: in force.
        pending: the next one, if there is one.
        proposed: waits to become pending. On Savanna nodeos never shows it (S:chain_plugin.cpp:1862-1871).
    """

    active: Schedule
    pending: Schedule | None
    proposed: Schedule | None


# -- accounts --------------------------------------------------------------------------------------------------


class WeightedPermission(NamedTuple):
    """A permission of an account, and what its agreement counts."""

    actor: Name
    permission: Name
    weight: int


class Wait(NamedTuple):
    """A delay (s) that counts like a signature."""

    seconds: int
    weight: int


class LinkedAction(NamedTuple):
    """What a permission was linked to: an action of a contract, or all of them (None)."""

    account: Name
    action: Name | None


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission of an account.

    Attributes:
        name: its name.
        parent: None for `owner`.
        threshold: the weight that satisfies it.
        keys: with their weights.
        other_keys: keys that no signer of ours can hold, as text.
        accounts: permissions of accounts, with their weights.
        waits: delays, with their weights.
        linked_actions: None where the node does not say.
    """

    name: Name
    parent: Name | None
    threshold: int
    keys: tuple[WeightedKey, ...]
    other_keys: tuple[str, ...]
    accounts: tuple[WeightedPermission, ...]
    waits: tuple[Wait, ...]
    linked_actions: tuple[LinkedAction, ...] | None


class Resource(NamedTuple):
    """What an account may use within the usage window: CPU in us, NET in bytes. -1: no limit."""

    used: int
    available: int
    max: int


@dataclass(frozen=True, slots=True)
class Account:
    """get_account.

    Attributes:
        name: the account.
        permissions: in the node's order.
        any_links: actions that every permission of the account may perform (linked to `eosio.any`); None where the
            node does not say.
        cpu: us.
        net: bytes.
        ram_used: bytes.
        ram_quota: bytes; -1: no limit.
        privileged: whether its contract may do everything.
    """

    name: Name
    permissions: tuple[Permission, ...]
    any_links: tuple[LinkedAction, ...] | None
    cpu: Resource
    net: Resource
    ram_used: int
    ram_quota: int
    privileged: bool


class Authorized(NamedTuple):
    """A permission that a key takes part in (get_accounts_by_authorizers).

    Attributes:
        account: whose permission it is.
        permission: its name.
        key: the key that was asked for.
        weight: what its signature counts there.
        threshold: what is needed.
    """

    account: Name
    permission: Name
    key: PublicKey
    weight: int
    threshold: int


# -- finalizers (Savanna) ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finalizer:
    """A member of a finalizer policy.

    Attributes:
        description: on chains with the system contract the producer's name (SC:finalizer_key.cpp:9).
        weight: what its vote counts.
        key: `PUB_BLS_...`.
    """

    description: str
    weight: int
    key: str


@dataclass(frozen=True, slots=True)
class FinalizerPolicy:
    """Who votes on blocks."""

    generation: int
    threshold: int
    finalizers: tuple[Finalizer, ...]


@dataclass(frozen=True, slots=True)
class FinalizerVote:
    """The last vote of a finalizer that the API node saw.

    Attributes:
        description: as in `Finalizer`.
        key: `PUB_BLS_...`.
        strong: a strong vote.
        generation: of the policy it was given under.
        block: what it was given for.
    """

    description: str
    key: str
    strong: bool
    generation: int
    block: Head


@dataclass(frozen=True, slots=True)
class FinalizerInfo:
    """get_finalizer_info.

    Attributes:
        active: the policy in force, None before the transition to Savanna.
        pending: the next one, if there is one.
        votes: the last vote of each, where the node tracks votes.
    """

    active: FinalizerPolicy | None
    pending: FinalizerPolicy | None
    votes: tuple[FinalizerVote, ...]

    def active_keys(self, description: str) -> frozenset[str]:
        """The keys with which finalizer `description` votes now."""
        finalizers = self.active.finalizers if self.active is not None else ()
        return frozenset(each.key for each in finalizers if each.description == description)


@dataclass(frozen=True, slots=True)
class FinalizerKeys:
    """What the system contract has registered for a finalizer.

    Attributes:
        name: the account.
        keys: all of its keys, `PUB_BLS_...`.
        active: the one that it asked to vote with; None if it has none.
    """

    name: Name
    keys: tuple[str, ...]
    active: str | None


# -- transactions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PushResult:
    """A transaction that an API node has, now or since before.

    Attributes:
        api: the first node that said so.
        duplicate: it had the transaction already (3040008).
    """

    api: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class DryRun:
    """compute_transaction: what would become of a transaction if it were pushed now.

    Attributes:
        api: the API node.
        refusal: why it would be refused; None if it would be taken.
        cpu_us: what it cost there, us; None with a refusal, or where an earlier try of the same bytes was taken.
        net_bytes: its size for billing, bytes; None as cpu_us.
    """

    api: str
    refusal: ChainRefusedError | None
    cpu_us: int | None
    net_bytes: int | None


class TransactionState(enum.StrEnum):
    """What an API node knows of a transaction (L:trx_finality_status_processing.cpp)."""

    LOCALLY_APPLIED = "LOCALLY_APPLIED"
    IN_BLOCK = "IN_BLOCK"
    IRREVERSIBLE = "IRREVERSIBLE"
    FORKED_OUT = "FORKED_OUT"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class TransactionStatus:
    """get_transaction_status of one API node.

    Attributes:
        api: the API node.
        state: `UNKNOWN` says nothing of blocks before `earliest_tracked`.
        block: the block that it is or was in.
        earliest_tracked: the number of the first block that the node remembers transactions of.
    """

    api: str
    state: TransactionState
    block: Head | None
    earliest_tracked: int


# -- API nodes -----------------------------------------------------------------------------------------------------


class ApiStatus(enum.StrEnum):
    """How much an API node is worth."""

    #: Nobody has asked it yet.
    UNKNOWN = "unknown"
    #: It is asked first.
    HEALTHY = "healthy"
    #: Its head is behind the best one's: it is asked last.
    LAGGING = "lagging"
    #: It gave no answer: it is asked again after a while, or when nobody else is left.
    UNREACHABLE = "unreachable"
    #: get_info was refused or not understood: as unreachable.
    FAULTY = "faulty"
    #: It serves another chain. Nothing that it says is taken.
    WRONG_CHAIN = "wrong-chain"


@dataclass(frozen=True, slots=True)
class ApiState:
    """The health of an API node.

    Attributes:
        api: its address.
        status: see there.
        reason: why it is not healthy; empty if it is.
        head: its head when it last answered.
        lag_slots: how far that is behind the best head (slots of 0.5 s).
        latency_s: of its last get_info, s.
        failures: times in a row that it gave no usable answer about itself, or none at all.
        last_error: the last thing that went wrong with it, whenever that was; empty if nothing did.
        retry_in_s: how long it is left alone from now, s; 0 if it is asked as usual.
    """

    api: str
    status: ApiStatus
    reason: str
    head: Head | None
    lag_slots: int | None
    latency_s: float | None
    failures: int
    last_error: str
    retry_in_s: float
