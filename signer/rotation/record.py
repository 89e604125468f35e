"""A rotation as the journal's JSON, and back. Pure.

What it guarantees: `load(dump(rotation), rotation.id) == rotation`; a record with an unknown, a missing or a doubled
field, or a value of another type, is refused with the row's number and the field. A moment is UTC with microseconds
(`2026-01-02T03:04:05.000000Z`), so text sorts as time; a key is `PUB_...`; bytes are lower-case hex.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from signer.antelope.keys import PublicKey
from signer.errors import FormatError, JournalError
from signer.rotation.finding import Finding, Level
from signer.rotation.rotation import (
    Kind,
    Purpose,
    Request,
    Rotation,
    SignedTransaction,
    State,
    VerifiedBlock,
)

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable, Mapping

T = TypeVar("T")
E = TypeVar("E", bound="enum.StrEnum")


def dump(rotation: Rotation) -> str:
    """Return the record of `rotation`: everything but its id, as JSON in ASCII.

    Raises:
        ValueError: a moment has no time zone, which is a fault of the caller.
    """
    return json.dumps(_dump_fields(_ROTATION, rotation), separators=(",", ":"))


def load(text: str, rotation_id: int) -> Rotation:
    """Return the rotation `rotation_id` of the record `text`.

    Raises:
        JournalError: it is no such record. The message names the rotation and the field.
    """
    try:
        return Rotation(
            id=rotation_id, **_load_fields(_ROTATION, json.loads(text, object_pairs_hook=_object))
        )
    except FormatError as error:
        reason = str(error)
    except (ValueError, RecursionError):
        reason = "it is no JSON"
    raise JournalError(f"rotation {rotation_id} in the journal cannot be read: {reason}")


def dump_moment(moment: datetime) -> str:
    """Return `moment` as UTC text of 27 characters.

    Raises:
        ValueError: it has no time zone, so nobody knows when it is.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def load_moment(value: object) -> datetime:
    """Return the moment (UTC) that `dump_moment` wrote.

    Raises:
        FormatError: it is anything else.
    """
    try:
        moment = datetime.fromisoformat(_text(value))
        # fromisoformat reads many forms; one is ours.
        exact = dump_moment(moment) == value
    except (ValueError, OverflowError):
        exact = False
    if not exact:
        raise FormatError("is no moment in UTC with microseconds")
    return moment


def load_key(value: object) -> PublicKey:
    """Return the key that `str` wrote.

    Raises:
        FormatError: it is anything else.
    """
    return _key(_text(value))


@functools.lru_cache(maxsize=4096)
def _key(text: str) -> PublicKey:
    """Return the key, which is kept: to check a point takes 0.1 ms."""
    try:
        key = PublicKey.parse(text)
    except FormatError:
        raise FormatError("is no public key") from None
    if str(key) != text:
        raise FormatError("is no public key in its PUB_ form")
    return key


# -- values -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Codec(Generic[T]):
    """How one type is written, and how it is read back. `load` raises FormatError."""

    dump: Callable[[T], Any]
    load: Callable[[object], T]


def _same(value: T) -> T:
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise FormatError("is no text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise FormatError("is neither true nor false")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise FormatError("is no whole number from 0")
    return value


def _hex(value: object) -> bytes:
    text = _text(value)
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise FormatError("is no hex") from None
    if data.hex() != text:
        raise FormatError("is no lower-case hex")
    return data


def _one_of(kind: type[E]) -> _Codec[E]:
    def load(value: object) -> E:
        try:
            return kind(_text(value))
        except ValueError:
            raise FormatError(f"is none of: {', '.join(kind)}") from None

    return _Codec(str, load)


def _maybe(codec: _Codec[T]) -> _Codec[T | None]:
    return _Codec(
        lambda value: None if value is None else codec.dump(value),
        lambda value: None if value is None else codec.load(value),
    )


def _many(codec: _Codec[T]) -> _Codec[tuple[T, ...]]:
    def load(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise FormatError("is no list")
        return tuple(_at(str(number), codec, each) for number, each in enumerate(value))

    return _Codec(lambda values: [codec.dump(each) for each in values], load)


def _table(keys: _Codec[E], codec: _Codec[T]) -> _Codec[dict[E, T]]:
    def load(value: object) -> dict[E, T]:
        if not isinstance(value, dict):
            raise FormatError("is no object")
        return {_at(name, keys, name): _at(name, codec, each) for name, each in value.items()}

    return _Codec(lambda table: {keys.dump(key): codec.dump(each) for key, each in table.items()}, load)


def _object_of(kind: type[T], fields: Mapping[str, _Codec[Any]]) -> _Codec[T]:
    return _Codec(
        lambda value: _dump_fields(fields, value), lambda value: kind(**_load_fields(fields, value))
    )


def _dump_fields(fields: Mapping[str, _Codec[Any]], value: object) -> dict[str, Any]:
    return {name: codec.dump(getattr(value, name)) for name, codec in fields.items()}


def _load_fields(fields: Mapping[str, _Codec[Any]], value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError("is no object")
    for name in value.keys() - fields.keys():
        raise FormatError(f"{name[:40]!a} is unknown")
    for name in fields.keys() - value.keys():
        raise FormatError(f"{name} is missing")
    return {name: _at(name, codec, value[name]) for name, codec in fields.items()}


def _at(place: str, codec: _Codec[T], value: object) -> T:
    try:
        return codec.load(value)
    except FormatError as error:
        raise FormatError(f"{place[:40]}: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise FormatError("a field is there twice")
    return value


_TEXT: Final = _Codec(_same, _text)
_FLAG: Final = _Codec(_same, _flag)
_NUMBER: Final = _Codec(_same, _number)
_BYTES: Final = _Codec(bytes.hex, _hex)
_TIME: Final = _Codec(dump_moment, load_moment)
_KEY: Final = _Codec(str, load_key)

_REQUEST: Final[dict[str, _Codec[Any]]] = {
    "kind": _one_of(Kind),
    "chain": _TEXT,
    "node": _TEXT,
    "requested_by": _TEXT,
    "reason": _TEXT,
    "emergency": _FLAG,
    "accept_warnings": _FLAG,
    "reactivate": _FLAG,
    "unattended": _FLAG,
    "may_return": _FLAG,
}
_FINDING: Final[dict[str, _Codec[Any]]] = {
    "rule": _TEXT,
    "level": _one_of(Level),
    "text": _TEXT,
    "remedy": _TEXT,
}
_TRANSACTION: Final[dict[str, _Codec[Any]]] = {
    "purpose": _one_of(Purpose),
    "packed": _BYTES,
    "signature": _TEXT,
    "signed_by": _KEY,
    "id": _TEXT,
    "expiration": _TIME,
    "head_number": _NUMBER,
    "signed_at": _TIME,
    "pushed_at": _maybe(_TIME),
    "answer": _TEXT,
}
_BLOCK: Final[dict[str, _Codec[Any]]] = {
    "number": _NUMBER,
    "id": _TEXT,
    "time": _TIME,
    "producer_signature": _TEXT,
}
_ROTATION: Final[dict[str, _Codec[Any]]] = {
    "request": _object_of(Request, _REQUEST),
    "producer": _TEXT,
    "permission": _TEXT,
    "to_key": _KEY,
    "created_at": _TIME,
    "state": _one_of(State),
    "state_since": _TIME,
    "from_keys": _many(_KEY),
    "from_node": _maybe(_TEXT),
    "reason": _TEXT,
    "needs_approval": _FLAG,
    "approved_by": _maybe(_TEXT),
    "abort_by": _maybe(_TEXT),
    "findings": _many(_object_of(Finding, _FINDING)),
    "transactions": _many(_object_of(SignedTransaction, _TRANSACTION)),
    "reached": _table(_one_of(State), _TIME),
    "head_seen": _NUMBER,
    "registered_head": _NUMBER,
    "verified": _maybe(_object_of(VerifiedBlock, _BLOCK)),
    "missed_slots": _maybe(_NUMBER),
    "safe_to_stop": _maybe(_TEXT),
}
