"""The ABI: what a definition may say, and that every value has exactly one form in bytes."""

from __future__ import annotations

import copy
import json
import time
from random import Random
from typing import Any

import pytest
from antelope.abi_values import SIGNATURES, TYPE_ABI, Values
from antelope.transactions import KEYS
from hypothesis import given
from hypothesis import strategies as st

from signer.antelope.abi import MAX_DATA_BYTES, MAX_DEPTH, Abi
from signer.antelope.binary import Writer
from signer.antelope.signature import Signature
from signer.antelope.system_abis import ABIS
from signer.errors import FormatError

TYPES = Abi.of(TYPE_ABI)
ALL = [(abi, kind) for abi in (TYPES, *ABIS.values()) for kind in abi.actions.values()]


def abi(fields: dict[str, str], **more: Any) -> Abi:  # noqa: ANN401 - parts of an ABI
    """An ABI whose action `act` has these fields."""
    return Abi.of(definition(fields, **more))


def definition(fields: dict[str, str], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """As `abi`, in JSON."""
    structs = [struct("act", fields), *more.pop("structs", [])]
    actions = [{"name": "act", "type": "act"}]
    return {"version": "eosio::abi/1.1", "structs": structs, "actions": actions, **more}


def struct(name: str, fields: dict[str, str], base: str = "") -> dict[str, Any]:
    """A struct in JSON."""
    listed = [{"name": field, "type": kind} for field, kind in fields.items()]
    return {"name": name, "base": base, "fields": listed}


# -- values ----------------------------------------------------------------------------------------------------


@given(case=st.sampled_from(ALL), seed=st.integers(0, 2**32))
def test_what_is_written_is_read_back(case: tuple[Abi, str], seed: int) -> None:
    own, kind = case
    value = Values(own, Random(seed)).of(kind)  # noqa: S311 - values for tests

    data = own.encode(kind, value)

    assert own.decode(kind, data) == value
    assert own.encode(kind, json.loads(json.dumps(value))) == data


@given(case=st.sampled_from(ALL), seed=st.integers(0, 2**32), more=st.binary(min_size=1, max_size=3))
def test_no_byte_is_passed_over_or_made_up(case: tuple[Abi, str], seed: int, more: bytes) -> None:
    """A byte less or more is refused, or says something else: a field that may be missing, and then in full."""
    own, kind = case
    value = Values(own, Random(seed)).of(kind)  # noqa: S311 - values for tests
    data = own.encode(kind, value)

    for other in (data[:-1], data + more):
        try:
            read = own.decode(kind, other)
        except FormatError:
            continue
        assert read != value
        assert own.encode(kind, read) == other


#: Bytes that nodeos takes, or another reader might, and that are not the form of any value here: type, bytes, why.
NO_FORM = {
    "bool of 2": ("bool", "02", "0 or 1"),
    "needless byte of a number": ("varuint32", "8000", "longer than it needs"),
    "text that is not UTF-8": ("string", "01ff", "not UTF-8"),
    "part of a millisecond": ("time_point", "0100000000000000", "milliseconds"),
    "time before 1970": ("time_point", "ff" * 8, "milliseconds"),
    "time after 9999": ("time_point", "00" * 4 + "00ff" + "ff7f", "milliseconds|10000"),
    "symbol with a hole": ("symbol", "0445004f00000000", "A to Z"),
    "symbol without letters": ("symbol", "04" + "00" * 7, "A to Z"),
    "symbol of 19 digits": ("symbol", "13454f5300000000", "0 to 18"),
    "code in small letters": ("symbol_code", "656f730000000000", "A to Z"),
    "code of eight letters": ("symbol_code", "41" * 8, "A to Z"),
    "asset of 2^62": ("asset", "00" * 7 + "40" + "04454f5300000000", "2\\^62"),
    "key of no curve": ("public_key", "00" + "00" * 33, "does not start"),
    "key of another kind": ("public_key", "02" + "00" * 33, "of kind 2"),
    "signature of nothing": ("signature", "00" * 66, "header"),
    "option of 2": ("string?", "0200", "0 or 1"),
    "endless list": ("uint8[]", "ffffffff0f", "are announced"),
    "list of more than is there": ("name[]", "09" + "00" * 8, "are announced"),
    "variant of a type that it has not": ("either", "04", "no number 4"),
    "cut in a list": ("name[]", "02" + "00" * 12, r"\[1\]: cut off"),
    "cut in a structure": ("level", "00" * 12, "permission: cut off"),
}


@pytest.mark.parametrize("case", NO_FORM)
def test_what_has_another_form_is_refused(case: str) -> None:
    kind, data, why = NO_FORM[case]

    with pytest.raises(FormatError, match=why):
        TYPES.decode(kind, bytes.fromhex(data))


#: JSON that is no value of its type.
NO_VALUE: dict[str, list[Any]] = {
    "bool": [2, -1, "yes", None, []],
    "uint8": [256, -1, "256", "01", "+1", " 1", "0x1", 1.5, True, None, "", "1_0", "\u0661"],
    "int64": [2**63, "-9223372036854775809", "--1"],
    "uint128": [str(2**128), "-1"],
    "varint32": [2**31, -(2**31) - 1],
    "name": ["A", "a.", "toolongname.xx", 5, None, " a"],
    "string": [5, None, ["a"], "\ud800"],
    "bytes": ["0", "0g", "0x00", 5, None, "aa bb"],
    "checksum256": ["", "00" * 31, "00" * 33, "zz" * 32],
    "public_key": ["", "EOS", 5, "PUB_WA_x", "EOS1111111111111111111111111111111114T1Anm"],
    "signature": ["", "SIG_WA_x", 5],
    "asset": [
        "1.0000",
        "1. EOS",
        ".1 EOS",
        "01 EOS",
        "+1 EOS",
        "-0 EOS",
        "1.0 eos",
        "1  EOS",
        "1 EOS ",
        5,
        "4611686018427387904 EOS",
    ],
    "symbol": ["EOS", "4,eos", "19,EOS", "04,EOS", "4, EOS", "4,", 4],
    "symbol_code": ["", "eos", "ABCDEFGH", 5],
    "extended_asset": [
        "1 EOS@a",
        {},
        {"quantity": "1 EOS"},
        {"quantity": "1 EOS", "contract": "a", "more": 1},
    ],
    "time_point": [
        "2026-11-24T13:31:51",
        "2026-11-24",
        5,
        "1969-12-31T23:59:59.000",
        "2026-11-24T13:31:51.1234",
    ],
    "time_point_sec": ["2026-11-24T13:31:51.000", "2106-02-07T06:28:16", "2026-02-30T00:00:00", 5],
    "block_timestamp_type": ["2026-11-24T13:31:51.250", "1999-12-31T23:59:59.500", "2068-01-19T03:14:08.000"],
    "uint8[]": ["0102", {}, None, [256]],
    "level": [[], {"actor": "a"}, {"actor": "a", "permission": "b", "more": 1}, "a@b"],
    "either": ["uint8", ["uint8"], ["uint16", 1], ["uint8", 1, 2], {"uint8": 1}],
    "extended": [{"a": 1, "c": {"actor": "a", "permission": "b"}}, {}],
}


@pytest.mark.parametrize("kind", NO_VALUE)
def test_json_that_is_no_value_is_refused(kind: str) -> None:
    for value in NO_VALUE[kind]:
        with pytest.raises(FormatError):
            TYPES.encode(kind, value)


def test_a_refusal_says_where() -> None:
    authority = {
        "threshold": 1,
        "keys": [],
        "accounts": [{"permission": {"actor": "A"}, "weight": 1}],
        "waits": [],
    }
    value = {"account": "a", "permission": "b", "parent": "c", "auth": authority}

    with pytest.raises(FormatError, match=r"^auth: accounts: \[0\]: permission: actor: 'A' is no name"):
        ABIS[next(iter(ABIS))].encode("updateauth", value)


# -- what may be missing at the end ------------------------------------------------------------------------------


def test_what_may_be_missing_is_missing_at_the_very_end_alone() -> None:
    own = abi({"a": "uint8", "b": "uint8$", "c": "uint8$"})

    assert own.decode("act", b"\1") == {"a": 1}
    assert own.decode("act", b"\1\2") == {"a": 1, "b": 2}
    assert own.encode("act", {"a": 1, "b": 2, "c": 3}) == b"\1\2\3"
    with pytest.raises(FormatError, match="b: is missing before c"):
        own.encode("act", {"a": 1, "c": 3})


def test_what_follows_is_not_taken_for_what_was_left_out() -> None:
    """A structure in the middle without its last field: the bytes would say something else."""
    inner = struct("inner", {"a": "uint8", "b": "uint8$"})
    own = abi({"first": "inner", "second": "uint8"}, structs=[inner])

    assert own.decode("act", b"\1\2\3") == {"first": {"a": 1, "b": 2}, "second": 3}
    with pytest.raises(FormatError):
        own.encode("act", {"first": {"a": 1}, "second": 3})


# -- bounds --------------------------------------------------------------------------------------------------------


def test_data_have_a_largest_size() -> None:
    own = abi({"text": "string"})

    assert own.decode("act", own.encode("act", {"text": "a" * (MAX_DATA_BYTES - 2)}))
    with pytest.raises(FormatError, match="more than"):
        own.decode("act", b"\0" * (MAX_DATA_BYTES + 1))


@pytest.mark.parametrize(
    ("kind", "element", "most"),
    [
        ("uint8", "01", 510),
        ("pair", "0102", 170),
        ("either", "0001", 255),
        ("uint8?", "00", 510),
        ("public_key", "00" + KEYS[0].data.hex(), 21),
        ("signature", "00" + Signature.parse(SIGNATURES[0]).data.hex(), 51),
    ],
)
def test_data_have_a_most_of_values(kind: str, element: str, most: int) -> None:
    """Of one action, whatever they are; what takes long to check counts for more."""
    types = {} if kind != "uint8?" else {"types": [{"new_type_name": "maybe", "type": kind}]}
    own = abi(
        {"list": f"{'maybe' if types else kind}[]"},
        structs=[struct("pair", {"a": "uint8", "b": "uint8"})],
        variants=[{"name": "either", "types": ["uint8"]}],
        **types,
    )

    for count in (most, most + 1):
        data = Writer()
        data.varuint32(count)
        data.raw(bytes.fromhex(element) * count)
        if count == most:
            assert len(own.decode("act", data.done())["list"]) == most  # type: ignore[index]
            continue
        with pytest.raises(FormatError, match=r"list: \[\d+\]: .*more than 512 values"):
            own.decode("act", data.done())


def test_types_have_a_largest_depth() -> None:
    node = struct("node", {"below": "node?"})
    own = abi({"top": "node"}, structs=[node])

    assert own.decode("act", b"\1" * ((MAX_DEPTH - 4) // 2) + b"\0")
    with pytest.raises(FormatError, match="nested deeper"):
        own.decode("act", b"\1" * MAX_DEPTH + b"\0")


#: Definitions with which a few bytes could ask for work without end.
BOMBS = {
    "nothing, often": abi({"list": "none[]"}, structs=[struct("none", {})]),
    "nothing, deep": abi(
        {"top": "level0"},
        structs=[
            *(
                struct(f"level{deep}", {f"f{at}": f"level{deep + 1}" for at in range(20)})
                for deep in range(25)
            ),
            struct("level25", {}),
        ],
    ),
    "what may be missing, deep": abi(
        {"top": "level0"},
        structs=[
            *(
                struct(f"level{deep}", {f"f{at}": f"level{deep + 1}" for at in range(20)})
                for deep in range(25)
            ),
            struct("level25", {"a": "uint8$"}),
        ],
    ),
    "lists of lists": abi({"list": "lists[]"}, types=[{"new_type_name": "lists", "type": "uint8[]"}]),
    "itself, often": abi(
        {"top": "many"}, structs=[struct("many", {"a": "many[]", "b": "many[]", "c": "many[]"})]
    ),
}


@pytest.mark.parametrize("case", BOMBS)
@pytest.mark.parametrize("byte", [b"\0", b"\1", b"\2", b"\x7f"])
def test_no_definition_makes_few_bytes_much_work(case: str, byte: bytes) -> None:
    """In seconds of processor time: they are linear in the size, so a second is far above what it takes."""
    began = time.process_time()

    for size in (0, 1, 100, MAX_DATA_BYTES):
        try:
            BOMBS[case].decode("act", byte * size)
        except FormatError:
            continue

    assert time.process_time() - began < 1


# -- definitions -----------------------------------------------------------------------------------------------------


#: Definitions that are refused.
NO_ABI: dict[str, tuple[object, str]] = {
    "no object": ([], "'version'"),
    "no version": ({}, "'version'"),
    "another version": ({"version": "eosio::abi/2.0"}, "eosio::abi/1"),
    "structs are no list": ({"version": "eosio::abi/1.0", "structs": {}}, "'structs'"),
    "undefined type": (definition({"a": "nosuch"}), "nosuch is not defined"),
    "list of lists without a name": (definition({"a": "uint8[][]"}), "not defined"),
    "extension of an extension": (definition({"a": "uint8$$"}), "not defined"),
    "extension in a list": (definition({"a": "uint8$[]"}), "not defined"),
    "list of a fixed size": (definition({"a": "uint8[3]"}), "not defined"),
    "undefined action": (definition({}, actions=[{"name": "a", "type": "b"}]), "b is not defined"),
    "action without a name": (
        definition({}, actions=[{"name": "", "type": "act"}]),
        "at least one character",
    ),
    "action twice": (
        definition({}, actions=[{"name": "act", "type": "act"}] * 2),
        "actions: a name is defined twice",
    ),
    "struct twice": (definition({}, structs=[struct("act", {})]), "structs: a name is defined twice"),
    "struct of a built-in name": (definition({}, structs=[struct("asset", {})]), "built-in"),
    "struct and typedef": (definition({}, types=[{"new_type_name": "act", "type": "name"}]), "twice"),
    "typedef of itself": (definition({}, types=[{"new_type_name": "a", "type": "a[]"}]), "by itself"),
    "typedefs in a circle": (
        definition({}, types=[{"new_type_name": "a", "type": "b"}, {"new_type_name": "b", "type": "a?"}]),
        "by itself",
    ),
    "base of itself": (definition({}, structs=[struct("a", {}, base="a")]), "the base a"),
    "undefined base": (definition({}, structs=[struct("a", {}, base="b")]), "the base b"),
    "field twice": (
        definition({}, structs=[struct("a", {"x": "name"}), struct("b", {"x": "name"}, base="a")]),
        "a field twice",
    ),
    "field after one that may be missing": (definition({"a": "name$", "b": "name"}), "may be missing"),
    "name with a suffix": (definition({}, structs=[struct("a[]", {})]), "no name for a type"),
    "variant with a type twice": (
        definition({}, variants=[{"name": "v", "types": ["name", "name"]}]),
        "twice",
    ),
    "variant of numbers": (definition({}, variants=[{"name": "v", "types": [1]}]), "no text"),
    "field without a type": (
        definition({}, structs=[{"name": "a", "base": "", "fields": [{"name": "x"}]}]),
        "'type'",
    ),
}


@pytest.mark.parametrize("case", NO_ABI)
def test_a_definition_that_says_two_things_or_none_is_refused(case: str) -> None:
    given_definition, why = NO_ABI[case]

    with pytest.raises(FormatError, match=why):
        Abi.of(copy.deepcopy(given_definition))


def test_a_file_with_a_name_twice_is_refused() -> None:
    with pytest.raises(FormatError, match="a name twice"):
        Abi.parse(b'{"version":"eosio::abi/1.1","actions":[],"actions":[]}')


def test_it_tells_every_type_that_data_may_have() -> None:
    own = abi(
        {"a": "names?", "b": "v"},
        types=[{"new_type_name": "names", "type": "name[]"}],
        variants=[{"name": "v", "types": ["act", "rate"]}],
        structs=[struct("rate", {"x": "float64$"}, base="more"), struct("more", {"y": "asset"})],
    )

    assert own.reaches("act") == {"act", "name", "v", "rate", "float64", "asset"}


def test_a_floating_point_number_is_refused_where_it_is() -> None:
    own = abi({"a": "uint8", "b": "float64?"})

    assert own.decode("act", b"\1\0") == {"a": 1, "b": None}
    with pytest.raises(FormatError, match="b: the type float64 is not supported"):
        own.decode("act", b"\1\1" + b"\0" * 8)
