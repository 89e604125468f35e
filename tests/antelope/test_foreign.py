"""Transactions of others: bytes and JSON of the same values, and nothing else taken for one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from antelope.abi_values import SIGNATURES
from antelope.transactions import EXPIRATIONS, TRANSACTIONS, names
from hypothesis import given
from hypothesis import strategies as st

from signer.antelope import strict_json
from signer.antelope.foreign import ForeignAction, ForeignTransaction, parse_chain_id
from signer.antelope.name import Name
from signer.antelope.signature import Signature
from signer.antelope.transaction import PermissionLevel
from signer.errors import FieldError, FormatError

actions = st.builds(
    ForeignAction,
    names,
    names,
    st.lists(st.builds(PermissionLevel, names, names), max_size=3).map(tuple),
    st.binary(max_size=300),
)
some_actions = st.lists(actions, max_size=3).map(tuple)
transactions = st.builds(
    ForeignTransaction,
    st.sampled_from(EXPIRATIONS),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**8 - 1),
    st.integers(0, 2**32 - 1),
    some_actions,
    some_actions,
    st.lists(st.tuples(st.integers(0, 2**16 - 1), st.binary(max_size=200)), max_size=3).map(tuple),
    st.lists(st.binary(max_size=200), max_size=3).map(tuple),
)
EVERYDAY = ForeignTransaction(EXPIRATIONS[1], 1, 2, 0, 0, 0, (), (), ())


@given(transaction=transactions)
def test_bytes_and_json_are_of_the_same_values(transaction: ForeignTransaction) -> None:
    packed = transaction.pack()
    signatures = tuple(map(Signature.parse, SIGNATURES[:2]))
    shown = json.loads(json.dumps(transaction.to_json(signatures)))

    assert ForeignTransaction.unpack(packed, transaction.context_free_data) == transaction
    assert ForeignTransaction.from_json(shown) == (transaction, signatures)
    assert transaction.id() == hashlib.sha256(packed).hexdigest()


@given(transaction=transactions, more=st.binary(min_size=1, max_size=3))
def test_no_byte_is_passed_over_or_made_up(transaction: ForeignTransaction, more: bytes) -> None:
    packed = transaction.pack()

    for other in (packed[:-1], packed + more):
        try:
            read = ForeignTransaction.unpack(other)
        except FormatError:
            continue
        assert read.pack() == other


def test_it_is_the_same_as_our_own_transaction() -> None:
    """Of the actions that move production, both read the same bytes, and have the same id and digest."""
    for own in TRANSACTIONS:
        read = ForeignTransaction.unpack(own.pack())

        assert (read.id(), read.digest(bytes(32))) == (own.id(), own.digest("00" * 32))
        assert read.expiration == own.expiration
        assert [action.data for action in read.actions] == [action.pack() for action, _ in own.actions]


def test_the_digest_depends_on_chain_and_context_free_data() -> None:
    digests = {
        EVERYDAY.digest(bytes(32)),
        EVERYDAY.digest(b"\1" * 32),
        replace(EVERYDAY, context_free_data=(b"",)).digest(bytes(32)),
        replace(EVERYDAY, context_free_data=(b"", b"")).digest(bytes(32)),
    }

    assert len(digests) == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"expiration": datetime(1969, 12, 31, tzinfo=UTC)},
        {"expiration": EXPIRATIONS[3] + timedelta(seconds=1)},
        {"expiration": EXPIRATIONS[1] + timedelta(microseconds=1)},
        {"ref_block_num": 2**16},
        {"ref_block_prefix": -1},
        {"max_net_usage_words": 2**32},
        {"max_cpu_usage_ms": 256},
        {"delay_sec": 2**32},
        {"extensions": ((2**16, b""),)},
    ],
    ids=str,
)
def test_what_has_no_room_in_the_bytes_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        replace(EVERYDAY, **fields)


@pytest.mark.parametrize(("account", "name"), [("", "a"), ("a", ""), ("A", "a"), ("a", "a.")])
def test_an_action_has_names(account: str, name: str) -> None:
    with pytest.raises(FormatError):
        ForeignAction(Name(account), Name(name), (), b"")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("11" * 31, "length"),
        ("1" * 63, "length"),
        ("11" * 33, "length"),
        ("zz" * 32, "hex"),
        (5, "type"),
        ("", "length"),
    ],
)
def test_a_chain_id_has_64_digits(value: object, kind: str) -> None:
    with pytest.raises(FieldError) as error:
        parse_chain_id(value)

    assert error.value.kind == kind
    assert parse_chain_id("Ab" * 32) == b"\xab" * 32


def test_what_it_is_made_of_is_packed_once() -> None:
    one = replace(EVERYDAY)

    assert one.pack() is one.pack()
    assert one == EVERYDAY
    assert replace(one, ref_block_num=7).pack() != one.pack()


# -- JSON ------------------------------------------------------------------------------------------------------


LEVEL = {"actor": "a", "permission": "b"}
ACTION = {"account": "a", "name": "b", "authorization": [LEVEL], "data": ""}


@pytest.mark.parametrize(
    ("lists", "count"),
    [
        ({"actions": [ACTION] * 100}, 200),
        ({"actions": [ACTION | {"authorization": [LEVEL] * 98}] * 2}, 198),
        ({"context_free_actions": [ACTION] * 50, "actions": [ACTION] * 50}, 200),
        ({"context_free_data": ["aa"] * 100, "transaction_extensions": [[0, ""]] * 100}, 200),
    ],
)
def test_all_lists_together_have_a_largest_length(lists: dict[str, Any], count: int) -> None:
    shown = EVERYDAY.to_json([])
    assert ForeignTransaction.from_json(shown | lists)

    longer = {"signatures": SIGNATURES[:1] * (201 - count)}
    with pytest.raises(FieldError, match="have 201 elements, more than 200 together"):
        ForeignTransaction.from_json(shown | lists | longer)


@pytest.mark.parametrize(
    "text",
    [
        *(
            '{"a":1,"a":2}',
            '[{"b":{"a":1,"a":1}}]',
            "1.5",
            "[1e3]",
            "NaN",
            "[Infinity]",
            "-Infinity",
            "1 2",
            "[1,]",
        ),
        *(
            "",
            "[",
            "nul",
            "'a'",
            "{a:1}",
            "[" * 100_000,
            "9" * 21,
            "18446744073709551616",
            "-9223372036854775809",
        ),
        *("9" * 10_000, "\ufeff1", "// a\n1", '"\t"'),
    ],
)
def test_json_means_one_thing_or_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        strict_json.loads(text.encode())


def test_json_is_utf8() -> None:
    with pytest.raises(FormatError, match="UTF-8"):
        strict_json.loads(b'"\xff"')


def test_all_other_json_is_read() -> None:
    text = '{"a": [1, -2, 18446744073709551615, null, true, false, "é\\u00e9"], "b": {}}'

    assert strict_json.loads(text.encode()) == json.loads(text)
