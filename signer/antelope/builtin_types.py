"""The types that every ABI has without saying so: from bytes to nodeos' JSON and back.

Guarantees that what `read` accepts, `write` gives back byte for byte, so a value that is shown is the value that is
signed. nodeos is laxer (a bool of 2, text that is not UTF-8, a time of a part of a millisecond): refused here.
Floating point numbers and WebAuthn keys are not among the types: no action that moves production or tokens has one.

Source: Leap libraries/chain/abi_serializer.cpp:88-137 (the list); libraries/libfc/src/variant.cpp and
libraries/libfc/src/io/json.cpp (JSON: 64 bit numbers above 32 bits, and all of 128 bits, are strings).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from signer.antelope import timestamp
from signer.antelope.asset import Asset, Symbol, parse_code
from signer.antelope.keys import PublicKey
from signer.antelope.name import encode_name
from signer.antelope.signature import Signature
from signer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.antelope.binary import Reader, Writer

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,38})", re.ASCII)
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})*", re.ASCII)
#: json.cpp: a larger magnitude is written as a string.
_LARGEST_NUMBER: Final = 0xFFFFFFFF
#: Of these sizes every integer is a string.
_ALWAYS_TEXT_BITS: Final = 128
_CODE_SIZE: Final = 7
_SYMBOL_CODE_SIZE: Final = 8


class BuiltinType(NamedTuple):
    """How one type is read and written. Both raise FormatError; what is read is JSON in nodeos' form."""

    read: Callable[[Reader], object]
    write: Callable[[Writer, object], None]


def parse_integer(value: object) -> int:
    """The integer that `value` is, or is the decimal text of.

    Raises:
        FormatError: anything else, true and false among them.
    """
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise FormatError(f"an integer is wanted, not {_kind(value)}")
    return value


def parse_hex(value: object) -> bytes:
    """The bytes of hexadecimal digits, upper or lower case.

    Raises:
        FormatError: anything else.
    """
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise FormatError("bytes are written as an even number of hexadecimal digits")
    return bytes.fromhex(value)


def _kind(value: object) -> str:
    names = {bool: "true or false", str: "this text", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), "this")


# -- numbers -------------------------------------------------------------------------------------------------


def _integer(bits: int, *, signed: bool = False) -> BuiltinType:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def read(reader: Reader) -> object:
        value = int.from_bytes(reader.raw(bits // 8), "little", signed=signed)
        return str(value) if bits == _ALWAYS_TEXT_BITS or abs(value) > _LARGEST_NUMBER else value

    def write(writer: Writer, value: object) -> None:
        number = _within(value, low, high)
        writer.raw(number.to_bytes(bits // 8, "little", signed=signed))

    return BuiltinType(read, write)


def _within(value: object, low: int, high: int) -> int:
    number = parse_integer(value)
    if not low <= number <= high:
        raise FormatError(f"the number is not within {low} and {high}")
    return number


def _read_bool(reader: Reader) -> object:
    value = reader.uint8()
    if value > 1:
        raise FormatError(f"a bool is 0 or 1, not {value}")
    return value


def _write_bool(writer: Writer, value: object) -> None:
    writer.uint8(int(value) if isinstance(value, bool) else _within(value, 0, 1))


def _read_varint(reader: Reader) -> object:
    value = reader.varuint32()
    return value >> 1 ^ -(value & 1)


def _write_varint(writer: Writer, value: object) -> None:
    number = _within(value, -(1 << 31), (1 << 31) - 1)
    writer.varuint32((number << 1 ^ number >> 31) & 0xFFFFFFFF)


# -- texts ---------------------------------------------------------------------------------------------------


def _write_name(writer: Writer, value: object) -> None:
    if not isinstance(value, str):
        raise FormatError(f"a name is wanted, not {_kind(value)}")
    writer.raw(encode_name(value).to_bytes(8, "little"))


def _write_string(writer: Writer, value: object) -> None:
    if not isinstance(value, str):
        raise FormatError(f"a text is wanted, not {_kind(value)}")
    try:
        writer.string(value)
    except UnicodeEncodeError:
        raise FormatError("the text cannot be written in UTF-8") from None


def _checksum(size: int) -> BuiltinType:
    def write(writer: Writer, value: object) -> None:
        octets = parse_hex(value)
        if len(octets) != size:
            raise FormatError(f"the checksum has {len(octets)} bytes, not {size}")
        writer.raw(octets)

    return BuiltinType(lambda reader: reader.raw(size).hex(), write)


# -- tokens --------------------------------------------------------------------------------------------------


def _read_code(reader: Reader, size: int) -> str:
    octets = reader.raw(size)
    # Zeros fill it up, so a code has one form; what else is wrong with it is said by parse_code.
    return octets.rstrip(b"\0").decode("latin-1")


def _read_symbol(reader: Reader) -> Symbol:
    return Symbol(reader.uint8(), _read_code(reader, _CODE_SIZE))


def _write_symbol(writer: Writer, symbol: Symbol) -> None:
    writer.uint8(symbol.precision)
    writer.raw(symbol.code.encode().ljust(_CODE_SIZE, b"\0"))


def _read_asset(reader: Reader) -> object:
    amount = int.from_bytes(reader.raw(8), "little", signed=True)
    return str(Asset(amount, _read_symbol(reader)))


def _write_asset(writer: Writer, value: object) -> None:
    asset = Asset.parse(value)
    writer.raw(asset.amount.to_bytes(8, "little", signed=True))
    _write_symbol(writer, asset.symbol)


def _write_extended_asset(writer: Writer, value: object) -> None:
    if not isinstance(value, dict) or value.keys() != {"quantity", "contract"}:
        raise FormatError("an extended asset is an object of quantity and contract")
    _write_asset(writer, value["quantity"])
    _write_name(writer, value["contract"])


# -- times ---------------------------------------------------------------------------------------------------


def _write_time_point(writer: Writer, value: object) -> None:
    writer.raw(timestamp.parse_microseconds(value).to_bytes(8, "little"))


def _read_time_point(reader: Reader) -> object:
    return timestamp.show_microseconds(int.from_bytes(reader.raw(8), "little", signed=True))


#: Every type, by the name that it has in an ABI.
TYPES: Final = {
    "bool": BuiltinType(_read_bool, _write_bool),
    **{f"uint{bits}": _integer(bits) for bits in (8, 16, 32, 64, 128)},
    **{f"int{bits}": _integer(bits, signed=True) for bits in (8, 16, 32, 64, 128)},
    "varuint32": BuiltinType(
        lambda reader: reader.varuint32(),
        lambda writer, value: writer.varuint32(_within(value, 0, (1 << 32) - 1)),
    ),
    "varint32": BuiltinType(_read_varint, _write_varint),
    "name": BuiltinType(lambda reader: reader.name(), _write_name),
    "string": BuiltinType(lambda reader: reader.string(), _write_string),
    "bytes": BuiltinType(
        lambda reader: reader.octets().hex(), lambda writer, value: writer.octets(parse_hex(value))
    ),
    "checksum160": _checksum(20),
    "checksum256": _checksum(32),
    "checksum512": _checksum(64),
    "public_key": BuiltinType(
        lambda reader: reader.public_key().fc,
        lambda writer, value: writer.public_key(PublicKey.parse(value)),
    ),
    "signature": BuiltinType(
        lambda reader: str(reader.signature()),
        lambda writer, value: writer.signature(Signature.parse(value)),
    ),
    "asset": BuiltinType(_read_asset, _write_asset),
    "extended_asset": BuiltinType(
        lambda reader: {"quantity": _read_asset(reader), "contract": reader.name()}, _write_extended_asset
    ),
    "symbol": BuiltinType(
        lambda reader: str(_read_symbol(reader)),
        lambda writer, value: _write_symbol(writer, Symbol.parse(value)),
    ),
    "symbol_code": BuiltinType(
        lambda reader: parse_code(_read_code(reader, _SYMBOL_CODE_SIZE)),
        lambda writer, value: writer.raw(parse_code(value).encode().ljust(_SYMBOL_CODE_SIZE, b"\0")),
    ),
    "time_point": BuiltinType(_read_time_point, _write_time_point),
    "time_point_sec": BuiltinType(
        lambda reader: timestamp.show_seconds(reader.uint32()),
        lambda writer, value: writer.raw(timestamp.parse_seconds(value).to_bytes(4, "little")),
    ),
    "block_timestamp_type": BuiltinType(
        lambda reader: timestamp.show_slot(reader.uint32()),
        lambda writer, value: writer.raw(timestamp.parse_slot(value).to_bytes(4, "little")),
    ),
}

#: Types that every ABI may name and that nothing here reads.
UNSUPPORTED: Final = frozenset({"float32", "float64", "float128", "bitset"})
