"""What was last seen of our producer on one chain: observations for guards, pages and metrics, in plain values.

It crosses from the control process to the supervisor, so every value is one that JSON has.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from signer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: More keys than a block signing authority of eosio.system can hold within a transaction.
_MAX_KEYS = 1000
_MAX_TEXT = 255


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at a chain.

    Attributes:
        chain: the chain's name in the configuration.
        producer: the account.
        at: when, in s since 1970, by the clock of this machine.
        head_number: the head block.
        head_at: its slot, in s since 1970.
        irreversible_number: the last irreversible block.
        savanna: whether the head block is one of Savanna.
        producers: how many are in the active schedule, 0 where that is not known yet.
        active: our keys in the active schedule (PUB_ form, or text that no signer of ours can hold). Empty: it is not
            scheduled.
        pending: the same in the pending schedule, None where there is none.
        proposed: the same in the proposed schedule, None where there is none, and always on Savanna.
        row: the keys of the producer's row, None where there is no row or nobody told yet.
        targets: keys that live rotations are registering, each for its own.
        missed_in_row: our newest slots without a block, one after the other, and no block of ours since.
        missed_since: the first of those slots, in s since 1970; None: there is none.
        last_block_at: the slot of our newest block, in s since 1970; None: none in the last rounds.
    """

    chain: str
    producer: str
    at: float
    head_number: int
    head_at: float
    irreversible_number: int
    savanna: bool
    producers: int
    active: tuple[str, ...]
    pending: tuple[str, ...] | None
    proposed: tuple[str, ...] | None
    row: tuple[str, ...] | None
    targets: tuple[str, ...]
    missed_in_row: int
    missed_since: float | None
    last_block_at: float | None

    def to_fields(self) -> dict[str, Any]:
        """Return the attributes as a JSON object, as `from_fields` takes it."""
        return asdict(self)

    @classmethod
    def from_fields(cls, given: Mapping[str, Any]) -> Self:
        """Return the sighting in a JSON object from another process.

        Raises:
            FormatError: a field is unknown, missing or of the wrong form.
        """
        if set(given) != {each.name for each in fields(cls)}:
            raise FormatError("a sighting has other fields")
        for name, kinds in _KINDS.items():
            value = given[name]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise FormatError(f"sighting: field {name} has the wrong form")
        return cls(**{**given, **{name: _keys(name, given[name]) for name in _KEYS}})


_NUMBER = (int, float)
_KINDS: dict[str, tuple[type, ...]] = {
    "chain": (str,),
    "producer": (str,),
    "at": _NUMBER,
    "head_number": (int,),
    "head_at": _NUMBER,
    "irreversible_number": (int,),
    "savanna": (bool,),
    "producers": (int,),
    "missed_in_row": (int,),
    "missed_since": (*_NUMBER, type(None)),
    "last_block_at": (*_NUMBER, type(None)),
}
_KEYS = ("active", "pending", "proposed", "row", "targets")
_NEVER_NONE = ("active", "targets")


def _keys(name: str, value: object) -> tuple[str, ...] | None:
    if value is None and name not in _NEVER_NONE:
        return None
    if not isinstance(value, list | tuple) or len(value) > _MAX_KEYS:
        raise FormatError(f"sighting: field {name} has the wrong form")
    if not all(isinstance(each, str) and len(each) <= _MAX_TEXT for each in value):
        raise FormatError(f"sighting: field {name} has the wrong form")
    return tuple(value)
