"""A transaction that somebody else made: as JSON from cleos, as bytes, and the digest that is signed.

Guarantees that the digest is that of the very values that are shown here: a transaction is read into values first,
and its bytes are made of these. Leaves the meaning of each action's data to abi.py, and whether it may be signed to
`signer.policy`: delays, context free actions and extensions are read here, so that a refusal can name them.

Stricter than keosd, which fills in what is missing, passes over what it does not know, cuts numbers to their size and
dates to their range (`{"ref_block_num": -1}` is 65535 to it): whoever sends that did not mean it.

Sources: Leap libraries/chain/include/eosio/chain/transaction.hpp:53-135 (fields), libraries/chain/transaction.cpp:41-57
(id, digest), libraries/libfc/src/variant.cpp (JSON).
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self, TypeVar

from signer.antelope import timestamp
from signer.antelope.binary import Reader, Writer, check_uint
from signer.antelope.keys import Digest
from signer.antelope.name import Name, parse_name
from signer.antelope.signature import Signature
from signer.antelope.transaction import PermissionLevel
from signer.errors import FieldError, FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

#: A digest has this in the place of the context free data's hash where there are none (transaction.cpp:47-57).
_NO_CONTEXT_FREE_DATA: Final = bytes(32)

_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_HEX: Final = re.compile(r"[0-9A-Fa-f]*", re.ASCII)
_CHAIN_ID_DIGITS: Final = 64
_PAIR: Final = 2
#: The most elements of any list in JSON from outside, and of all lists of a transaction: reading more would keep block
#: signatures waiting. There is room for the most actions that policy may allow (100), with a permission each.
_MAX_ELEMENTS: Final = 100
_MAX_ELEMENTS_IN_ALL: Final = 200
_SECOND: Final = timedelta(seconds=1)
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class ForeignAction:
    """An action of any contract.

    Attributes:
        account: the account whose contract it is for.
        name: the action.
        authorization: who authorises it, in the order given.
        data: its fields, as the contract's ABI packs them.

    Raises:
        FormatError: account or name is no name.
    """

    account: Name
    name: Name
    authorization: tuple[PermissionLevel, ...]
    data: bytes

    def __post_init__(self) -> None:
        parse_name(self.account)
        parse_name(self.name)

    def to_json(self) -> dict[str, object]:
        """As keosd answers it."""
        return {
            "account": self.account,
            "name": self.name,
            "authorization": [level.to_json() for level in self.authorization],
            "data": self.data.hex(),
        }

    @classmethod
    def from_json(cls, value: object, at: str) -> Self:
        """The action that cleos sends.

        Raises:
            FieldError: it is anything else; the message begins with `at`.
        """
        fields = _object(value, at, ("account", "name", "authorization", "data"))
        return cls(
            _name(fields["account"], f"{at}.account"),
            _name(fields["name"], f"{at}.name"),
            _list(fields["authorization"], f"{at}.authorization", _level),
            _octets(fields["data"], f"{at}.data"),
        )

    def write(self, writer: Writer) -> None:
        """Write it as a transaction has it."""
        writer.name(self.account)
        writer.name(self.name)
        writer.varuint32(len(self.authorization))
        for level in self.authorization:
            writer.name(level.actor)
            writer.name(level.permission)
        writer.octets(self.data)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read what `write` wrote.

        Raises:
            FormatError: it is something else.
        """
        account, name = reader.name(), reader.name()
        count = reader.varuint32()
        levels = tuple(PermissionLevel(reader.name(), reader.name()) for _ in range(count))
        return cls(account, name, levels, reader.octets())


@dataclass(frozen=True)
class ForeignTransaction:
    """A transaction of any actions.

    Attributes:
        expiration: the last moment of a block that may have it (UTC, whole seconds, 1970 to 2106).
        ref_block_num: TAPOS (0 to 65535).
        ref_block_prefix: TAPOS (0 to 4294967295).
        max_net_usage_words: its own limit of NET in 8 bytes, 0 for none (0 to 4294967295).
        max_cpu_usage_ms: its own limit of CPU, 0 for none (0 to 255).
        delay_sec: how long the chain keeps it before it is done (0 to 4294967295).
        context_free_actions: actions that see nothing of the chain.
        actions: what it does, in this order.
        extensions: type (0 to 65535) and data of each.
        context_free_data: for the context free actions; not among the bytes, but in the digest.

    Raises:
        FormatError: a number or the time is outside its range.
    """

    expiration: datetime
    ref_block_num: int
    ref_block_prefix: int
    max_net_usage_words: int
    max_cpu_usage_ms: int
    delay_sec: int
    context_free_actions: tuple[ForeignAction, ...]
    actions: tuple[ForeignAction, ...]
    extensions: tuple[tuple[int, bytes], ...]
    context_free_data: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.expiration.utcoffset() != timedelta(0) or self.expiration.microsecond:
            raise FormatError(f"expiration is {self.expiration.isoformat()}, not a whole second in UTC")
        check_uint("expiration in seconds since 1970", self._expiration_s, 32)
        for field, bits in _NUMBERS.items():
            check_uint(field, getattr(self, field), bits)
        for kind, _ in self.extensions:
            check_uint("the type of an extension", kind, 16)

    @property
    def _expiration_s(self) -> int:
        return (self.expiration - timestamp.EPOCH) // _SECOND

    # -- bytes -----------------------------------------------------------------------------------------------

    def pack(self) -> bytes:
        """The bytes that are hashed for the id and for the digest."""
        return self._packed

    @functools.cached_property
    def _packed(self) -> bytes:
        writer = Writer()
        writer.uint32(self._expiration_s)
        writer.uint16(self.ref_block_num)
        writer.uint32(self.ref_block_prefix)
        writer.varuint32(self.max_net_usage_words)
        writer.uint8(self.max_cpu_usage_ms)
        writer.varuint32(self.delay_sec)
        for actions in (self.context_free_actions, self.actions):
            writer.varuint32(len(actions))
            for action in actions:
                action.write(writer)
        writer.varuint32(len(self.extensions))
        for kind, data in self.extensions:
            writer.uint16(kind)
            writer.octets(data)
        return writer.done()

    @classmethod
    def unpack(cls, packed: bytes, context_free_data: Iterable[bytes] = ()) -> Self:
        """The transaction that `pack` made `packed` of.

        Raises:
            FormatError: `packed` is anything else, one byte more or less included.
        """
        reader = Reader(packed)
        transaction = cls(
            timestamp.EPOCH + reader.uint32() * _SECOND,
            reader.uint16(),
            reader.uint32(),
            reader.varuint32(),
            reader.uint8(),
            reader.varuint32(),
            tuple(ForeignAction.read(reader) for _ in range(reader.varuint32())),
            tuple(ForeignAction.read(reader) for _ in range(reader.varuint32())),
            tuple((reader.uint16(), reader.octets()) for _ in range(reader.varuint32())),
            tuple(context_free_data),
        )
        reader.end()
        return transaction

    def id(self) -> str:
        """The transaction id (64 hexadecimal digits)."""
        return hashlib.sha256(self.pack()).hexdigest()

    def digest(self, chain_id: bytes) -> Digest:
        """What is signed, for the chain of that id (bytes, 32)."""
        free = _NO_CONTEXT_FREE_DATA
        if self.context_free_data:
            writer = Writer()
            writer.varuint32(len(self.context_free_data))
            for data in self.context_free_data:
                writer.octets(data)
            free = hashlib.sha256(writer.done()).digest()
        return Digest(hashlib.sha256(chain_id + self.pack() + free).digest())

    # -- JSON ------------------------------------------------------------------------------------------------

    def to_json(self, signatures: Iterable[Signature]) -> dict[str, object]:
        """As keosd answers it, and as nodeos is sent it."""
        return {
            "expiration": timestamp.show_seconds(self._expiration_s),
            **{field: getattr(self, field) for field in _NUMBERS},
            "context_free_actions": [action.to_json() for action in self.context_free_actions],
            "actions": [action.to_json() for action in self.actions],
            "transaction_extensions": [[kind, data.hex()] for kind, data in self.extensions],
            "signatures": [str(signature) for signature in signatures],
            "context_free_data": [data.hex() for data in self.context_free_data],
        }

    @classmethod
    def from_json(cls, value: object) -> tuple[Self, tuple[Signature, ...]]:
        """The transaction that cleos sends, and the signatures that it has already.

        Raises:
            FieldError: it is anything else: a field is missing, unknown, of another type or out of range.
        """
        fields = _object(value, "the transaction", _FIELDS)
        _check_elements(fields)
        transaction = cls(
            _moment(fields["expiration"], "expiration"),
            **{field: _uint(fields[field], field, bits) for field, bits in _NUMBERS.items()},
            context_free_actions=_list(
                fields["context_free_actions"], "context_free_actions", ForeignAction.from_json
            ),
            actions=_list(fields["actions"], "actions", ForeignAction.from_json),
            extensions=_list(fields["transaction_extensions"], "transaction_extensions", _extension),
            context_free_data=_list(fields["context_free_data"], "context_free_data", _octets),
        )
        return transaction, _list(fields["signatures"], "signatures", _signature)


#: The numbers of a transaction and how many bits each has, in their order.
_NUMBERS: Final = {
    "ref_block_num": 16,
    "ref_block_prefix": 32,
    "max_net_usage_words": 32,
    "max_cpu_usage_ms": 8,
    "delay_sec": 32,
}
#: Its lists of actions, and all its lists.
_ACTIONS: Final = ("context_free_actions", "actions")
_LISTS: Final = (*_ACTIONS, "transaction_extensions", "signatures", "context_free_data")
#: All that cleos sends, always.
_FIELDS: Final = ("expiration", *_NUMBERS, *_LISTS)


def parse_chain_id(value: object) -> bytes:
    """The chain id (bytes, 32) in 64 hexadecimal digits. keosd pads a short one and cuts a long one: not here.

    Raises:
        FieldError: anything else.
    """
    octets = _octets(value, "the chain id")
    if len(octets) * 2 != _CHAIN_ID_DIGITS:
        raise FieldError("length", f"the chain id has {len(octets) * 2} digits, not {_CHAIN_ID_DIGITS}")
    return octets


# -- one field of JSON ---------------------------------------------------------------------------------------


def _object(value: object, at: str, fields: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise FieldError("type", f"{at}: is not an object")
    for field in fields:
        if field not in value:
            raise FieldError("form", f"{at}: {field} is missing")
    if len(value) != len(fields):
        unknown = min(value.keys() - set(fields))
        raise FieldError("form", f"{at}: {unknown!r} is no field; the fields are {', '.join(fields)}")
    return value


def _check_elements(fields: dict[str, object]) -> None:
    """Raise where all lists of a transaction together are too long, before any of it is read."""
    lists = [fields[name] for name in _LISTS]
    actions = [each for name in _ACTIONS if isinstance(listed := fields[name], list) for each in listed]
    lists += [action.get("authorization") for action in actions if isinstance(action, dict)]
    count = sum(len(each) for each in lists if isinstance(each, list))
    if count > _MAX_ELEMENTS_IN_ALL:
        raise FieldError(
            "form",
            f"the transaction: its lists have {count} elements, more than {_MAX_ELEMENTS_IN_ALL} together",
        )


def _list(value: object, at: str, read: Callable[[object, str], _Item]) -> tuple[_Item, ...]:
    if not isinstance(value, list):
        raise FieldError("type", f"{at}: is not a list")
    if len(value) > _MAX_ELEMENTS:
        raise FieldError("form", f"{at}: has {len(value)} elements, more than {_MAX_ELEMENTS}")
    return tuple(read(each, f"{at}[{index}]") for index, each in enumerate(value))


def _text(value: object, at: str) -> str:
    if not isinstance(value, str):
        raise FieldError("type", f"{at}: is not a text")
    return value


def _uint(value: object, at: str, bits: int) -> int:
    """A number, or its decimal text, as fc writes large ones."""
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value):
            raise FieldError("number", f"{at}: is a text that is no number")
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise FieldError("type", f"{at}: is not a number")
    if not 0 <= value < 1 << bits:
        raise FieldError("form", f"{at}: is not a number from 0 to {(1 << bits) - 1}")
    return value


def _octets(value: object, at: str) -> bytes:
    text = _text(value, at)
    if len(text) % 2:
        raise FieldError("length", f"{at}: has an odd number of hexadecimal digits")
    if not _HEX.fullmatch(text):
        raise FieldError("hex", f"{at}: has a character that is no hexadecimal digit")
    return bytes.fromhex(text)


def _name(value: object, at: str) -> Name:
    try:
        return parse_name(_text(value, at))
    except FieldError:
        raise
    except FormatError as error:
        raise FieldError("name" if value else "form", f"{at}: {error}") from None


def _level(value: object, at: str) -> PermissionLevel:
    fields = _object(value, at, ("actor", "permission"))
    return PermissionLevel(
        _name(fields["actor"], f"{at}.actor"), _name(fields["permission"], f"{at}.permission")
    )


def _moment(value: object, at: str) -> datetime:
    try:
        return timestamp.EPOCH + timestamp.parse_seconds(_text(value, at)) * _SECOND
    except FieldError:
        raise
    except FormatError as error:
        raise FieldError("time", f"{at}: {error}") from None


def _extension(value: object, at: str) -> tuple[int, bytes]:
    if not isinstance(value, list):
        raise FieldError("type", f"{at}: is not a list")
    if len(value) != _PAIR:
        raise FieldError("form", f"{at}: has {len(value)} parts, not a number and data")
    return _uint(value[0], f"{at}[0]", 16), _octets(value[1], f"{at}[1]")


def _signature(value: object, at: str) -> Signature:
    try:
        return Signature.parse(_text(value, at))
    except FieldError:
        raise
    except FormatError as error:
        raise FieldError("form", f"{at}: {error}") from None
