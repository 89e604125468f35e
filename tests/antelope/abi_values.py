"""Values for any ABI: made at random from a type, and an ABI that has every type once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from antelope.transactions import FINALIZER_KEYS, KEYS, URLS

from signer.antelope import timestamp
from signer.antelope.asset import Asset, Symbol
from signer.antelope.builtin_types import TYPES
from signer.antelope.name import decode_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from signer.antelope.abi import Abi

_VECTORS: Final = json.loads(Path(__file__).with_name("vectors.json").read_text())
SIGNATURES: Final = [made["signature"] for vector in _VECTORS["keys"] for made in vector["signatures"]]
_TEXTS: Final = [*URLS, *FINALIZER_KEYS, "memo", "\x7f", "a" * 300]
_CODES: Final = ["EOS", "A", "ZZZZZZZ", "WAX", "USDT"]

#: Compound types, each of which becomes an action too.
_COMPOUND: Final = (
    *("uint8[]", "name[]", "string?", "texts?", "maybe[]", "public_key[]", "asset[]", "texts[]"),
    *(
        "number",
        "numbers",
        "numbers?",
        "level",
        "level[]",
        "derived",
        "either",
        "either[]",
        "extended",
        "tree",
    ),
)


def _struct(name: str, fields: dict[str, str], base: str = "") -> dict[str, object]:
    listed = [{"name": field, "type": kind} for field, kind in fields.items()]
    return {"name": name, "base": base, "fields": listed}


def _action_name(number: int) -> str:
    return "type" + "".join("abcdefghijklmnopqrstuvwxyz"[place] for place in divmod(number, 26))


def _type_abi() -> dict[str, object]:
    structs = [
        _struct("level", {"actor": "name", "permission": "name"}),
        _struct("derived", {"weight": "uint16"}, base="level"),
        _struct("extended", {"a": "uint8", "b": "string$", "c": "level$", "d": "uint64?$"}),
        _struct("tree", {"value": "uint8", "left": "tree?", "right": "tree?"}),
    ]
    actions = []
    for number, kind in enumerate([*TYPES, *_COMPOUND]):
        name = _action_name(number)
        structs.append(_struct(name, {"first": "uint8", "value": kind}))
        actions.append({"name": name, "type": name, "ricardian_contract": ""})
    return {
        "version": "eosio::abi/1.2",
        "types": [
            {"new_type_name": "number", "type": "uint32"},
            {"new_type_name": "numbers", "type": "number[]"},
            {"new_type_name": "texts", "type": "string[]"},
            {"new_type_name": "maybe", "type": "uint8?"},
        ],
        "structs": structs,
        "actions": actions,
        "tables": [],
        "variants": [{"name": "either", "types": ["uint8", "string", "level", "name[]"]}],
    }


#: An ABI that has one action for each type; the type is that of its last field.
TYPE_ABI: Final = _type_abi()


class Values:
    """Random JSON values of the types of one ABI, in nodeos' form."""

    def __init__(self, abi: Abi, random: Random) -> None:
        self._abi = abi
        self._random = random

    def of(self, kind: str, depth: int = 0, *, last: bool = True) -> object:
        """A value of `kind`; deep ones are short.

        Args:
            kind: its type.
            depth: how many values it is in.
            last: whether nothing follows it, so that fields with `$` may be missing.
        """
        kind = self._abi._resolve(kind)  # noqa: SLF001 - there is no other way to know
        if kind in TYPES:
            return self._plain(kind)
        if kind.endswith("[]"):
            most = 0 if depth > 5 else self._random.choice((0, 1, 2, 3, 6))
            count = self._random.randint(0, most)
            return [self.of(kind[:-2], depth + 1, last=False) for _ in range(count)]
        if kind.endswith("?"):
            absent = depth > 5 or self._random.random() < 0.4
            return None if absent else self.of(kind[:-1], depth + 1, last=False)
        fields = self._abi.fields(kind)
        if fields is None:
            chosen = self._random.choice(self._abi._variants[kind])  # noqa: SLF001 - as above
            return [chosen, self.of(chosen, depth + 1, last=False)]
        needed = sum(not field.extension for field in fields)
        count = self._random.randint(needed, len(fields)) if last else len(fields)
        return {
            field.name: self.of(field.kind, depth + 1, last=last and field is fields[-1])
            for field in fields[:count]
        }

    def _plain(self, kind: str) -> object:
        random = self._random
        if "int" in kind and kind[-1].isdigit():
            bits = int("".join(filter(str.isdigit, kind)))
            return self._number(bits, signed=not kind.startswith(("uint", "varuint")))
        makers: dict[str, Callable[[], object]] = {
            "bool": lambda: random.randint(0, 1),
            "name": self._name,
            "string": lambda: random.choice(_TEXTS),
            "bytes": lambda: random.randbytes(random.choice((0, 1, 127, 128))).hex(),
            "checksum160": lambda: random.randbytes(20).hex(),
            "checksum256": lambda: random.randbytes(32).hex(),
            "checksum512": lambda: random.randbytes(64).hex(),
            "public_key": lambda: random.choice(KEYS).fc,
            "signature": lambda: random.choice(SIGNATURES),
            "symbol": lambda: str(self._symbol()),
            "symbol_code": lambda: random.choice(_CODES),
            "asset": self._asset,
            "extended_asset": lambda: {"quantity": self._asset(), "contract": self._name()},
            "time_point": lambda: timestamp.show_microseconds(random.randint(0, 2**41) * 1000),
            "time_point_sec": lambda: timestamp.show_seconds(random.getrandbits(32)),
            "block_timestamp_type": lambda: timestamp.show_slot(random.getrandbits(32)),
        }
        return makers[kind]()

    def _name(self) -> str:
        return decode_name(self._random.choice((0, 1, 2**64 - 1, self._random.getrandbits(64))))

    def _symbol(self) -> Symbol:
        return Symbol(self._random.randint(0, 18), self._random.choice(_CODES))

    def _number(self, bits: int, *, signed: bool) -> object:
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        near = (0, 1, 127, 128, 255, 256, 2**32 - 1, 2**32, -1, -(2**32) + 1, -(2**32), low, high)
        value = self._random.choice((*near, self._random.randint(low, high)))
        value = min(max(value, low), high)
        return str(value) if bits == 128 or abs(value) > 2**32 - 1 else value

    def _asset(self) -> str:
        most = 2**62 - 1
        amount = self._random.choice((0, 1, -1, 9, 10**18, most, -most, self._random.randint(-most, most)))
        return str(Asset(amount, self._symbol()))
