"""A contract's ABI: what the bytes of its actions mean.

Guarantees that data which `decode` accepts are exactly what `encode` makes of the result: every byte is read once,
every number is in its shortest form, nothing follows. So what is shown and decided about is what is signed. The time
for one action grows with its size and no faster, whatever the ABI says.

Leaves to others whether the contract on chain has this ABI: a contract reads the bytes as it likes.

Source: Leap libraries/chain/abi_serializer.cpp:165-330 (what an ABI may say), :332-470 (bytes to JSON), :495-590
(JSON to bytes). Stricter: a name is defined once, a struct has no field twice, what a reader may leave out stands last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from signer.antelope import strict_json
from signer.antelope.binary import Reader, Writer
from signer.antelope.builtin_types import TYPES, UNSUPPORTED
from signer.antelope.name import parse_name
from signer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from signer.antelope.name import Name

#: abi_serializer.hpp:117, max_recursion_depth.
MAX_DEPTH: Final = 32
#: The data of one action: more than any action has every day.
MAX_DATA_BYTES: Final = 8192
#: The values in them, structures and lists among them: these take 1 to 2 ms, and block signatures wait for more. A vote
#: has at most 30 producers (eosio.system voting.cpp, update_votes), an authority of 60 accounts about 300 values.
MAX_VALUES: Final = 512
#: What takes the time of so many others to check.
_VALUES: Final = {"public_key": 24, "signature": 10}

_VERSION: Final = "eosio::abi/1."
_ARRAY: Final = "[]"
_OPTIONAL: Final = "?"
_EXTENSION: Final = "$"
#: What a type's name cannot have, because it means something after one.
_SUFFIXES: Final = frozenset("[]?$")
#: What stands in the list of a variant's value: the name of its type, and the value.
_VARIANT_ITEMS: Final = 2


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct.

    Attributes:
        name: as the ABI has it.
        kind: its type, without the `$`.
        extension: whether it may be missing at the very end of the data (`$`).
    """

    name: str
    kind: str
    extension: bool


class _Data(Reader):
    """The data of one action, which have a largest number of values."""

    _values = 0

    def count(self, kind: str) -> None:
        """Count a value before it is read.

        Raises:
            FormatError: it is one too many.
        """
        self._values += _VALUES.get(kind, 1)
        if self._values > MAX_VALUES:
            keys = _VALUES["public_key"]
            raise FormatError(f"the data have more than {MAX_VALUES} values, of which a public key is {keys}")


class Abi:
    """The types and actions of one contract. Made by `parse` and `of`.

    Attributes:
        actions: the type of each action's data.
    """

    def __init__(
        self,
        actions: Mapping[Name, str],
        typedefs: Mapping[str, str],
        structs: Mapping[str, tuple[Field, ...]],
        variants: Mapping[str, tuple[str, ...]],
    ) -> None:
        self.actions = actions
        self._typedefs = typedefs
        self._structs = structs
        self._variants = variants

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """The ABI in a JSON file, as a compiler of contracts writes it.

        Raises:
            FormatError: it is none.
        """
        return cls.of(strict_json.loads(text))

    @classmethod
    def of(cls, definition: object) -> Self:
        """The ABI in nodeos' JSON form. Tables, ricardian texts and error messages are passed over.

        Raises:
            FormatError: it is none, names a type that it does not define, or one twice, or runs in a circle.
        """
        if not _text(definition, "version").startswith(_VERSION):
            raise FormatError(f"the ABI is not of a version {_VERSION}x")
        typedefs = dict(_typedefs(definition))
        bases = dict(_structs(definition))
        variants = dict(_variants(definition))
        names = [*TYPES, *UNSUPPORTED]
        for part, items in (("types", typedefs), ("structs", bases), ("variants", variants)):
            if len(items) != len(_list(definition, part)):
                raise FormatError(f"{part}: a name is defined twice")
            names += items
        if len(set(names)) != len(names):
            raise FormatError("a type is defined twice, or has the name of a built-in one")
        actions = {}
        for each in _list(definition, "actions"):
            actions[parse_name(_text(each, "name"))] = _text(each, "type")
        if len(actions) != len(_list(definition, "actions")):
            raise FormatError("actions: a name is defined twice")
        structs = {name: _flat(name, bases) for name in bases}
        abi = cls(actions, typedefs, structs, variants)
        abi._check()
        return abi

    def fields(self, kind: str) -> tuple[Field, ...] | None:
        """The fields of a struct, those of its bases first; None where `kind` is no struct."""
        return self._structs.get(self._resolve(kind))

    def reaches(self, kind: str) -> frozenset[str]:
        """Every plain type that data of `kind` may have, `kind` itself among them."""
        found: set[str] = set()
        waiting = [kind]
        while waiting:
            plain = self._resolve(_plain(self._resolve(waiting.pop())))
            if _plain(plain) != plain:
                waiting.append(plain)
            elif plain not in found:
                found.add(plain)
                waiting += (field.kind for field in self._structs.get(plain, ()))
                waiting += self._variants.get(plain, ())
        return frozenset(found)

    # -- bytes to JSON ---------------------------------------------------------------------------------------

    def decode(self, kind: str, data: bytes) -> object:
        """The value in `data`, of the type `kind`, as nodeos shows it.

        Raises:
            FormatError: `data` is anything else than what `encode` makes of a value. The message says where.
        """
        if len(data) > MAX_DATA_BYTES:
            raise FormatError(f"the data have {len(data)} bytes, more than {MAX_DATA_BYTES}")
        reader = _Data(data)
        value = self._read(kind, reader, 0)
        reader.end()
        if self.pack(kind, value) != data:
            raise FormatError("the data have another form than the one that is made of their values")
        return value

    def _read(self, kind: str, reader: _Data, depth: int) -> object:
        _check_depth(depth)
        kind = self._resolve(kind)
        reader.count(kind)
        if kind in TYPES:
            return TYPES[kind].read(reader)
        if kind.endswith(_ARRAY):
            return self._read_array(kind.removesuffix(_ARRAY), reader, depth)
        if kind.endswith(_OPTIONAL):
            return self._read_optional(kind.removesuffix(_OPTIONAL), reader, depth)
        if kind in self._variants:
            return self._read_variant(kind, reader, depth)
        if kind in self._structs:
            return self._read_struct(kind, reader, depth)
        raise FormatError(f"the type {kind} is not supported")

    def _read_array(self, kind: str, reader: _Data, depth: int) -> list[object]:
        count = reader.varuint32()
        # Each element takes a byte at least, or a few bytes could ask for 4294967296 of them.
        if count > reader.left:
            raise FormatError(f"{count} elements of {kind} are announced and {reader.left} bytes are left")
        values = []
        for index in range(count):
            try:
                _check_left(reader)
                values.append(self._read(kind, reader, depth + 1))
            except FormatError as error:
                raise FormatError(f"[{index}]: {error}") from None
        return values

    def _read_optional(self, kind: str, reader: _Data, depth: int) -> object:
        flag = reader.uint8()
        if flag > 1:
            raise FormatError(f"an optional value starts with 0 or 1, not {flag}")
        return self._read(kind, reader, depth + 1) if flag else None

    def _read_variant(self, kind: str, reader: _Data, depth: int) -> list[object]:
        kinds = self._variants[kind]
        index = reader.varuint32()
        if index >= len(kinds):
            raise FormatError(f"{kind} has {len(kinds)} types, and no number {index}")
        return [kinds[index], self._read(kinds[index], reader, depth + 1)]

    def _read_struct(self, kind: str, reader: _Data, depth: int) -> dict[str, object]:
        fields = self._structs[kind]
        if depth and not fields:
            raise FormatError(f"{kind} has no fields, which is supported in an action alone")
        value: dict[str, object] = {}
        for field in fields:
            if field.extension and not reader.left:
                break
            try:
                _check_left(reader)
                value[field.name] = self._read(field.kind, reader, depth + 1)
            except FormatError as error:
                raise FormatError(f"{field.name}: {error}") from None
        return value

    # -- JSON to bytes ---------------------------------------------------------------------------------------

    def encode(self, kind: str, value: object) -> bytes:
        """The data of a value of the type `kind`, given as nodeos shows it.

        Raises:
            FormatError: it is no such value. The message says where.
        """
        data = self.pack(kind, value)
        # What may be left out at the end was perhaps left out before it: then the bytes mean something else.
        self.decode(kind, data)
        return data

    def pack(self, kind: str, value: object) -> bytes:
        """As `encode`, of a value that `decode` gave, or a part of one: it is not read again to see what it means.

        Raises:
            FormatError: it is no such value.
        """
        writer = Writer()
        self._write(kind, writer, value, 0)
        return writer.done()

    def _write(self, kind: str, writer: Writer, value: object, depth: int) -> None:
        _check_depth(depth)
        kind = self._resolve(kind)
        if kind in TYPES:
            TYPES[kind].write(writer, value)
        elif kind.endswith(_ARRAY):
            self._write_array(kind.removesuffix(_ARRAY), writer, value, depth)
        elif kind.endswith(_OPTIONAL):
            writer.uint8(value is not None)
            if value is not None:
                self._write(kind.removesuffix(_OPTIONAL), writer, value, depth + 1)
        elif kind in self._variants:
            self._write_variant(kind, writer, value, depth)
        elif kind in self._structs:
            self._write_struct(kind, writer, value, depth)
        else:
            raise FormatError(f"the type {kind} is not supported")

    def _write_array(self, kind: str, writer: Writer, value: object, depth: int) -> None:
        if not isinstance(value, list):
            raise FormatError(f"a list of {kind} is wanted")
        writer.varuint32(len(value))
        for index, each in enumerate(value):
            try:
                self._write(kind, writer, each, depth + 1)
            except FormatError as error:
                raise FormatError(f"[{index}]: {error}") from None

    def _write_variant(self, kind: str, writer: Writer, value: object, depth: int) -> None:
        kinds = self._variants[kind]
        if not isinstance(value, list) or len(value) != _VARIANT_ITEMS or value[0] not in kinds:
            raise FormatError(f"a list is wanted, of one of {', '.join(kinds)}, and its value")
        writer.varuint32(kinds.index(value[0]))
        self._write(value[0], writer, value[1], depth + 1)

    def _write_struct(self, kind: str, writer: Writer, value: object, depth: int) -> None:
        fields = self._structs[kind]
        if not isinstance(value, dict):
            raise FormatError(f"an object with the fields of {kind} is wanted")
        unknown = value.keys() - {field.name for field in fields}
        if unknown:
            raise FormatError(f"{kind} has no field {min(unknown)}")
        over = ""
        for field in fields:
            if field.name not in value and field.extension:
                over = over or field.name
                continue
            if over:
                raise FormatError(f"{over}: is missing before {field.name}")
            if field.name not in value:
                raise FormatError(f"{field.name}: is missing")
            try:
                self._write(field.kind, writer, value[field.name], depth + 1)
            except FormatError as error:
                raise FormatError(f"{field.name}: {error}") from None

    # -- what an ABI may say ---------------------------------------------------------------------------------

    def _resolve(self, kind: str) -> str:
        while kind in self._typedefs:
            kind = self._typedefs[kind]
        return kind

    def _check(self) -> None:
        """Raise where a type is named that is not defined, or a typedef runs in a circle."""
        for start in self._typedefs:
            kind, seen = start, {start}
            while kind in self._typedefs:
                # A typedef of a list of itself would be no end of lists.
                kind = _plain(self._typedefs[kind])
                if kind in seen:
                    raise FormatError(f"types: {start} is defined by itself")
                seen.add(kind)
        for kind in self._named():
            plain = _plain(kind)
            if not any(plain in known for known in (TYPES, UNSUPPORTED, *self._own())):
                raise FormatError(f"the type {kind} is not defined")

    def _own(self) -> tuple[Mapping[str, object], ...]:
        return self._typedefs, self._structs, self._variants

    def _named(self) -> Iterator[str]:
        yield from self.actions.values()
        yield from self._typedefs.values()
        for fields in self._structs.values():
            yield from (field.kind for field in fields)
        for kinds in self._variants.values():
            yield from kinds


def _check_left(reader: Reader) -> None:
    """Raise at the end of the data: what takes no bytes could be there without end (as abi_serializer.cpp:355)."""
    if not reader.left:
        raise FormatError("cut off: the data end here")


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise FormatError(f"types are nested deeper than {MAX_DEPTH}")


def _plain(kind: str) -> str:
    """`kind` without the list or the option around it: one, as nodeos has it; a list of lists needs a typedef."""
    return kind.removesuffix(_OPTIONAL) if kind.endswith(_OPTIONAL) else kind.removesuffix(_ARRAY)


# -- the JSON of an ABI ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Struct:
    base: str
    fields: tuple[Field, ...]


def _list(item: object, part: str) -> list[object]:
    items = item.get(part, []) if isinstance(item, dict) else None
    if not isinstance(items, list):
        raise FormatError(f"an ABI has a list {part!r} here")
    return items


def _text(item: object, name: str) -> str:
    value = item.get(name) if isinstance(item, dict) else None
    if not isinstance(value, str):
        raise FormatError(f"an ABI has a text {name!r} here")
    return value


def _new_name(item: object, name: str) -> str:
    text = _text(item, name)
    if not text or _SUFFIXES & set(text):
        raise FormatError(f"{text!r} is no name for a type")
    return text


def _typedefs(definition: object) -> Iterator[tuple[str, str]]:
    for item in _list(definition, "types"):
        yield _new_name(item, "new_type_name"), _text(item, "type")


def _structs(definition: object) -> Iterator[tuple[str, _Struct]]:
    for item in _list(definition, "structs"):
        fields = []
        for each in _list(item, "fields"):
            kind = _text(each, "type")
            plain = kind.removesuffix(_EXTENSION)
            fields.append(Field(_text(each, "name"), plain, plain != kind))
        yield _new_name(item, "name"), _Struct(_text(item, "base"), tuple(fields))


def _variants(definition: object) -> Iterator[tuple[str, tuple[str, ...]]]:
    for item in _list(definition, "variants"):
        name = _new_name(item, "name")
        kinds = tuple(kind for kind in _list(item, "types") if isinstance(kind, str))
        if len(set(kinds)) != len(_list(item, "types")):
            raise FormatError(f"variants: {name} has a type twice, or one that is no text")
        yield name, kinds


def _flat(name: str, structs: Mapping[str, _Struct]) -> tuple[Field, ...]:
    """The fields of a struct, after those of its bases."""
    fields: tuple[Field, ...] = ()
    seen = set()
    at = name
    while at:
        if at in seen or at not in structs:
            raise FormatError(f"structs: the base {at} of {name} is not defined, or is {name} again")
        seen.add(at)
        fields = structs[at].fields + fields
        at = structs[at].base
    if len({field.name for field in fields}) != len(fields):
        raise FormatError(f"structs: {name} has a field twice")
    extensions = [field.extension for field in fields]
    if extensions != sorted(extensions):
        raise FormatError(f"structs: {name} has a field after one that may be missing ($)")
    return fields
