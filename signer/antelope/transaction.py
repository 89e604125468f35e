"""The four actions that move production, and the transaction that carries them, as typed values and as bytes.

Guarantees that a value here can be packed, that `Transaction.unpack` accepts exactly what `Transaction.pack`
makes, and that nothing but these four actions of the system contract comes out of it. What the chain thinks
of a transaction (does the producer exist, may this permission do it, is it in time) is for the chain to say.

Everything is a pure function of its values. JSON forms are those of nodeos, `EOS...` keys among them, so what
we show and what cleos shows can be compared by eye.

Sources: VaultaFoundation system-contracts contracts/eosio.system/include/eosio.system/eosio.system.hpp:1559-1632
(fields), contracts/eosio.system/src/voting.cpp:79-104 (rules); Leap libraries/chain/include/eosio/chain/
transaction.hpp:53-102 and action.hpp:8-70 (layout), libraries/chain/transaction.cpp:26-57 (TAPOS, id, digest).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Final, Self

from signer.antelope.binary import Reader, Writer, check_uint
from signer.antelope.finalizer_key import parse_finalizer_key
from signer.antelope.keys import Digest, PublicKey, parse_digest
from signer.antelope.name import Name, parse_name
from signer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The account of the system contract.
_SYSTEM: Final = Name("eosio")
#: voting.cpp:81: `url.size() < 512`, which counts bytes.
_MAX_URL_SIZE: Final = 511
#: The only kind of block signing authority there is, and its place in the ABI's variant.
_AUTHORITY_KIND: Final = "block_signing_authority_v0"
_AUTHORITY_INDEX: Final = 0

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
#: In the digest, where a transaction with context free data has that data's hash (transaction.cpp:47-57).
_NO_CONTEXT_FREE_DATA: Final = bytes(32)


# -- what the actions are made of ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyWeight:
    """A key of a block signing authority.

    Attributes:
        key: the public key.
        weight: what its signature counts (0 to 65535).

    Raises:
        FormatError: another weight.
    """

    key: PublicKey
    weight: int

    def __post_init__(self) -> None:
        check_uint("weight", self.weight, 16)


@dataclass(frozen=True, slots=True)
class BlockSigningAuthority:
    """The keys whose signatures make a block valid: any that weigh at least the threshold together.

    The keys keep their order. Neither the contract nor nodeos asks for one (libraries/eosiolib/eosiolib.cpp:26-50
    in cdt, block_signing_authority_v0::is_valid; Leap libraries/chain/webassembly/privileged.cpp:46-89).

    Attributes:
        threshold: 1 to 4294967295.
        keys: no two the same, their weights at least `threshold` together; so there is one at least.

    Raises:
        FormatError: anything else.
    """

    threshold: int
    keys: tuple[KeyWeight, ...]

    def __post_init__(self) -> None:
        check_uint("threshold", self.threshold, 32)
        if self.threshold == 0:
            raise FormatError("threshold is 0: a block would need no signature")
        if len({entry.key for entry in self.keys}) != len(self.keys):
            raise FormatError("a key is twice in the authority")
        weights = sum(entry.weight for entry in self.keys)
        if weights < self.threshold:
            raise FormatError(f"threshold is {self.threshold}, but all keys together weigh {weights}")

    def to_json(self) -> list[object]:
        """As nodeos shows it: the name of its kind, then the authority."""
        keys = [{"key": entry.key.fc, "weight": entry.weight} for entry in self.keys]
        return [_AUTHORITY_KIND, {"threshold": self.threshold, "keys": keys}]

    def write(self, writer: Writer) -> None:
        """Write it as the variant that the action has."""
        writer.varuint32(_AUTHORITY_INDEX)
        writer.uint32(self.threshold)
        writer.varuint32(len(self.keys))
        for entry in self.keys:
            writer.public_key(entry.key)
            writer.uint16(entry.weight)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read what `write` wrote.

        Raises:
            FormatError: it is something else.
        """
        index = reader.varuint32()
        if index != _AUTHORITY_INDEX:
            raise FormatError(f"the producer's authority is of kind {index}, not {_AUTHORITY_KIND}")
        threshold = reader.uint32()
        count = reader.varuint32()
        keys = tuple(KeyWeight(reader.public_key(), reader.uint16()) for _ in range(count))
        return cls(threshold, keys)


@dataclass(frozen=True, slots=True)
class PermissionLevel:
    """Who authorises an action.

    Attributes:
        actor: the account.
        permission: its permission, for example `active`.

    Raises:
        FormatError: one of them is no name.
    """

    actor: Name
    permission: Name

    def __post_init__(self) -> None:
        parse_name(self.actor)
        parse_name(self.permission)

    def to_json(self) -> dict[str, object]:
        """As nodeos shows it."""
        return {"actor": self.actor, "permission": self.permission}


# -- actions -------------------------------------------------------------------------------------------------


class _SystemAction(ABC):
    """An action of the system contract. Its data are its fields, in the order in which they stand."""

    __slots__ = ()

    #: The account whose contract it is for.
    account: ClassVar[Name] = _SYSTEM
    #: The action's name.
    name: ClassVar[Name]

    def pack(self) -> bytes:
        """The action's data: what the contract reads."""
        writer = Writer()
        self._write(writer)
        return writer.done()

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The action that `pack` made `data` of.

        Raises:
            FormatError: `data` is anything else, one byte more or less included.
        """
        reader = Reader(data)
        action = cls._read(reader)
        reader.end()
        return action

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """The decoded fields, as nodeos shows them."""

    @abstractmethod
    def _write(self, writer: Writer) -> None: ...

    @classmethod
    @abstractmethod
    def _read(cls, reader: Reader) -> Self: ...


@dataclass(frozen=True, slots=True)
class RegProducer(_SystemAction):
    """Register a producer with one block signing key, or change its key. Activates it.

    Overwrites url and location too: read the producer's row first and pass on what it has.

    Attributes:
        producer: the account.
        producer_key: signs its blocks, alone.
        url: at most 511 bytes of UTF-8, may be empty.
        location: 0 to 65535.

    Raises:
        FormatError: anything else.
    """

    producer: Name
    producer_key: PublicKey
    url: str
    location: int

    name: ClassVar[Name] = Name("regproducer")

    def __post_init__(self) -> None:
        parse_name(self.producer)
        _check_url(self.url)
        check_uint("location", self.location, 16)

    def to_json(self) -> dict[str, object]:
        """The decoded fields, as nodeos shows them."""
        return {
            "producer": self.producer,
            "producer_key": self.producer_key.fc,
            "url": self.url,
            "location": self.location,
        }

    def _write(self, writer: Writer) -> None:
        writer.name(self.producer)
        writer.public_key(self.producer_key)
        writer.string(self.url)
        writer.uint16(self.location)

    @classmethod
    def _read(cls, reader: Reader) -> Self:
        return cls(reader.name(), reader.public_key(), reader.string(), reader.uint16())


@dataclass(frozen=True, slots=True)
class RegProducer2(_SystemAction):
    """As `RegProducer`, with an authority of several keys.

    Attributes:
        producer: the account.
        producer_authority: who signs its blocks.
        url: at most 511 bytes of UTF-8, may be empty.
        location: 0 to 65535.

    Raises:
        FormatError: anything else.
    """

    producer: Name
    producer_authority: BlockSigningAuthority
    url: str
    location: int

    name: ClassVar[Name] = Name("regproducer2")

    def __post_init__(self) -> None:
        parse_name(self.producer)
        _check_url(self.url)
        check_uint("location", self.location, 16)

    def to_json(self) -> dict[str, object]:
        """The decoded fields, as nodeos shows them."""
        return {
            "producer": self.producer,
            "producer_authority": self.producer_authority.to_json(),
            "url": self.url,
            "location": self.location,
        }

    def _write(self, writer: Writer) -> None:
        writer.name(self.producer)
        self.producer_authority.write(writer)
        writer.string(self.url)
        writer.uint16(self.location)

    @classmethod
    def _read(cls, reader: Reader) -> Self:
        return cls(reader.name(), BlockSigningAuthority.read(reader), reader.string(), reader.uint16())


@dataclass(frozen=True, slots=True)
class UnregProd(_SystemAction):
    """Take a producer out of the election.

    Attributes:
        producer: the account.

    Raises:
        FormatError: it is no name.
    """

    producer: Name

    name: ClassVar[Name] = Name("unregprod")

    def __post_init__(self) -> None:
        parse_name(self.producer)

    def to_json(self) -> dict[str, object]:
        """The decoded fields, as nodeos shows them."""
        return {"producer": self.producer}

    def _write(self, writer: Writer) -> None:
        writer.name(self.producer)

    @classmethod
    def _read(cls, reader: Reader) -> Self:
        return cls(reader.name())


@dataclass(frozen=True, slots=True)
class ActFinKey(_SystemAction):
    """Make a registered finalizer key the one that votes for a producer (Savanna).

    Attributes:
        finalizer_name: the producer's account.
        finalizer_key: `PUB_BLS_...`. The action carries the text itself.

    Raises:
        FormatError: it is no name, or no finalizer key.
    """

    finalizer_name: Name
    finalizer_key: str

    name: ClassVar[Name] = Name("actfinkey")

    def __post_init__(self) -> None:
        parse_name(self.finalizer_name)
        parse_finalizer_key(self.finalizer_key)

    def to_json(self) -> dict[str, object]:
        """The decoded fields, as nodeos shows them."""
        return {"finalizer_name": self.finalizer_name, "finalizer_key": self.finalizer_key}

    def _write(self, writer: Writer) -> None:
        writer.name(self.finalizer_name)
        writer.string(self.finalizer_key)

    @classmethod
    def _read(cls, reader: Reader) -> Self:
        return cls(reader.name(), reader.string())


#: Everything that a transaction of ours can do.
Action = RegProducer | RegProducer2 | UnregProd | ActFinKey

_ACTIONS: Final[dict[Name, type[Action]]] = {
    RegProducer.name: RegProducer,
    RegProducer2.name: RegProducer2,
    UnregProd.name: UnregProd,
    ActFinKey.name: ActFinKey,
}


# -- transactions --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction of ours: no limits of its own, no delay, no context free actions, no extensions.

    Attributes:
        expiration: the last moment of a block that may have it (UTC, whole seconds, 1970 to 2106).
        ref_block_num: TAPOS, from `tapos` (0 to 65535).
        ref_block_prefix: TAPOS, from `tapos` (0 to 4294967295).
        actions: one at least, each with the one permission that authorises it.

    Raises:
        FormatError: anything else.
    """

    expiration: datetime
    ref_block_num: int
    ref_block_prefix: int
    actions: tuple[tuple[Action, PermissionLevel], ...]

    def __post_init__(self) -> None:
        if self.expiration.utcoffset() != timedelta(0) or self.expiration.microsecond:
            raise FormatError(f"expiration is {self.expiration.isoformat()}, not a whole second in UTC")
        check_uint("expiration in seconds since 1970", self._expiration_s, 32)
        check_uint("ref_block_num", self.ref_block_num, 16)
        check_uint("ref_block_prefix", self.ref_block_prefix, 32)
        if not self.actions:
            raise FormatError("a transaction has at least one action")

    @property
    def _expiration_s(self) -> int:
        return (self.expiration - _EPOCH) // _SECOND

    def pack(self) -> bytes:
        """The bytes that are signed, hashed and pushed."""
        writer = Writer()
        writer.uint32(self._expiration_s)
        writer.uint16(self.ref_block_num)
        writer.uint32(self.ref_block_prefix)
        writer.varuint32(0)  # max_net_usage_words: no limit of its own
        writer.uint8(0)  # max_cpu_usage_ms: no limit of its own
        writer.varuint32(0)  # delay_sec
        writer.varuint32(0)  # context_free_actions
        writer.varuint32(len(self.actions))
        for action, level in self.actions:
            writer.name(action.account)
            writer.name(action.name)
            writer.varuint32(1)
            writer.name(level.actor)
            writer.name(level.permission)
            writer.octets(action.pack())
        writer.varuint32(0)  # transaction_extensions
        return writer.done()

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """The transaction that `pack` made `packed` of.

        Raises:
            FormatError: `packed` is anything else: another action, a limit, a delay, one byte more or less.
        """
        reader = Reader(packed)
        expiration = _EPOCH + reader.uint32() * _SECOND
        ref_block_num = reader.uint16()
        ref_block_prefix = reader.uint32()
        _check_zero("max_net_usage_words", reader.varuint32())
        _check_zero("max_cpu_usage_ms", reader.uint8())
        _check_zero("delay_sec", reader.varuint32())
        _check_zero("the number of context free actions", reader.varuint32())
        actions = tuple(_read_action(reader) for _ in range(reader.varuint32()))
        _check_zero("the number of transaction extensions", reader.varuint32())
        reader.end()
        return cls(expiration, ref_block_num, ref_block_prefix, actions)

    def id(self) -> str:
        """The transaction id (64 hexadecimal digits)."""
        return hashlib.sha256(self.pack()).hexdigest()

    def digest(self, chain_id: str) -> Digest:
        """What is signed, for the chain of that id (64 hexadecimal digits).

        Raises:
            FormatError: `chain_id` is something else.
        """
        chain = _sha256("a chain id", chain_id)
        return Digest(hashlib.sha256(chain + self.pack() + _NO_CONTEXT_FREE_DATA).digest())

    def to_json(self) -> dict[str, object]:
        """As nodeos shows a transaction: data decoded, and beside them as bytes in `hex_data`."""
        return {
            "expiration": self.expiration.replace(tzinfo=None).isoformat(),
            "ref_block_num": self.ref_block_num,
            "ref_block_prefix": self.ref_block_prefix,
            "max_net_usage_words": 0,
            "max_cpu_usage_ms": 0,
            "delay_sec": 0,
            "context_free_actions": [],
            "actions": [
                {
                    "account": action.account,
                    "name": action.name,
                    "authorization": [level.to_json()],
                    "data": action.to_json(),
                    "hex_data": action.pack().hex(),
                }
                for action, level in self.actions
            ],
            "transaction_extensions": [],
        }


def tapos(block_id: str) -> tuple[int, int]:
    """`ref_block_num` and `ref_block_prefix` that tie a transaction to the chain that has this block.

    A block id begins with the block's number (four bytes, big-endian). The first result is that number's low
    16 bits, the second are the bytes 8 to 11, little-endian (transaction.cpp:26-29).

    Args:
        block_id: 64 hexadecimal digits.

    Raises:
        FormatError: `block_id` is something else.
    """
    raw = _sha256("a block id", block_id)
    return int.from_bytes(raw[2:4]), int.from_bytes(raw[8:12], "little")


def push_body(packed: bytes, signatures: Sequence[str]) -> dict[str, object]:
    """A packed transaction in the JSON of nodeos.

    The body of /v1/chain/send_transaction, the `transaction` in that of send_transaction2.

    Args:
        packed: what `Transaction.pack` made.
        signatures: `SIG_K1_...` and `SIG_R1_...`, of its digest.
    """
    return {
        "signatures": list(signatures),
        "compression": "none",
        "packed_context_free_data": "",
        "packed_trx": packed.hex(),
    }


def _read_action(reader: Reader) -> tuple[Action, PermissionLevel]:
    account, name = reader.name(), reader.name()
    kind = _ACTIONS.get(name)
    if account != _SYSTEM or kind is None:
        raise FormatError(f"the action {account}::{name} is none of those that move production")
    count = reader.varuint32()
    if count != 1:
        raise FormatError(f"the action {name} has {count} authorisations, not 1")
    level = PermissionLevel(reader.name(), reader.name())
    return kind.unpack(reader.octets()), level


def _check_url(url: str) -> None:
    try:
        size = len(url.encode())
    except UnicodeEncodeError:
        raise FormatError("url cannot be written in UTF-8") from None
    if size > _MAX_URL_SIZE:
        raise FormatError(f"url has {size} bytes of UTF-8, more than {_MAX_URL_SIZE}")


def _check_zero(what: str, value: int) -> None:
    if value:
        raise FormatError(f"{what} is {value}, not 0")


def _sha256(what: str, text: str) -> bytes:
    try:
        return parse_digest(text)
    except FormatError:
        raise FormatError(f"{what} is 64 hexadecimal digits") from None
