"""Transactions as values and bytes: every one comes back, and everything else is refused."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from antelope.transactions import (
    ACTIONS,
    FINALIZER_KEYS,
    KEYS,
    TRANSACTIONS,
    URLS,
    actions,
    authorities,
    transactions,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signer.antelope.name import Name, encode_name
from signer.antelope.transaction import (
    ActFinKey,
    BlockSigningAuthority,
    KeyWeight,
    PermissionLevel,
    RegProducer,
    RegProducer2,
    Transaction,
    UnregProd,
    push_body,
    tapos,
)
from signer.errors import FormatError

CHAIN_ID = "aca376f206b8fc25a6ed44dbdc66547c36c6c33e3a119ffbeaef943642f0e906"
ALICE = Name("alice")
LEVEL = PermissionLevel(ALICE, Name("rotate"))
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SMALL = Transaction(NOON, 1, 2, ((UnregProd(ALICE), LEVEL),))
#: Bytes of `SMALL`: the header's fields, the numbers of actions, one action, no extensions.
SMALL_PARTS = {
    "expiration": "407c056b",  # 1795521600
    "ref_block_num": "0100",
    "ref_block_prefix": "02000000",
    "max_net_usage_words": "00",
    "max_cpu_usage_ms": "00",
    "delay_sec": "00",
    "context_free_actions": "00",
    "actions": "01",
    "account": "0000000000ea3055",
    "name": "000048f456a6eed4",
    "authorizations": "01",
    "actor": "0000000000855c34",
    "permission": "00000000a86c32bd",
    "size": "08",
    "data": "0000000000855c34",
    "extensions": "00",
}
unhurried = settings(deadline=None)
bounded = settings(deadline=None, max_examples=60)


def parts(**changes: str) -> bytes:
    """`SMALL`, some of its parts replaced."""
    assert changes.keys() <= SMALL_PARTS.keys()
    return bytes.fromhex("".join((SMALL_PARTS | changes).values()))


# -- round trips -------------------------------------------------------------------------------------------


def test_a_transaction_is_packed_field_by_field() -> None:
    """Every byte has its place. The parts are cut from what cleos packs, not from what we pack."""
    assert SMALL.pack() == parts()
    assert Transaction.unpack(parts()) == SMALL
    assert SMALL.id() == hashlib.sha256(parts()).hexdigest()


@unhurried
@given(transaction=transactions)
def test_every_transaction_comes_back(transaction: Transaction) -> None:
    """Bytes and back gives an equal value, with the same bytes, id and digest."""
    packed = transaction.pack()

    again = Transaction.unpack(packed)

    assert again == transaction
    assert (again.pack(), again.id()) == (packed, hashlib.sha256(packed).hexdigest())
    assert again.digest(CHAIN_ID) == hashlib.sha256(bytes.fromhex(CHAIN_ID) + packed + bytes(32)).digest()


@unhurried
@given(action=actions)
def test_every_action_comes_back(action: Any) -> None:  # noqa: ANN401 - hypothesis knows the type
    """Its data alone are enough, given which action they are for."""
    assert type(action).unpack(action.pack()) == action


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("transaction", [SMALL, TRANSACTIONS[3], TRANSACTIONS[40], TRANSACTIONS[-4]])
def test_a_transaction_cut_off_anywhere_is_refused(transaction: Transaction) -> None:
    """No beginning of a transaction is a transaction."""
    packed = transaction.pack()

    for size in range(len(packed)):
        with pytest.raises(FormatError):
            pytest.fail(f"the first {size} bytes gave {Transaction.unpack(packed[:size])}")


@bounded
@given(transaction=transactions, data=st.data())
def test_any_transaction_cut_off_is_refused(transaction: Transaction, data: st.DataObject) -> None:
    """As above, for any transaction."""
    packed = transaction.pack()
    size = data.draw(st.integers(0, len(packed) - 1))

    with pytest.raises(FormatError):
        Transaction.unpack(packed[:size])


@bounded
@given(transaction=transactions, more=st.binary(min_size=1, max_size=40))
@example(transaction=SMALL, more=b"\0")
@example(transaction=SMALL, more=SMALL.pack())
def test_a_transaction_with_more_behind_it_is_refused(transaction: Transaction, more: bytes) -> None:
    """A node would read it, and compute the id of the transaction without the rest."""
    with pytest.raises(FormatError, match="too many"):
        Transaction.unpack(transaction.pack() + more)


@pytest.mark.parametrize("byte", range(256))
def test_no_byte_may_follow(byte: int) -> None:
    """Whatever it is."""
    with pytest.raises(FormatError, match="1 bytes too many"):
        Transaction.unpack(parts() + bytes((byte,)))


@settings(deadline=None, max_examples=150)
@given(transaction=transactions, data=st.data())
def test_a_flipped_bit_is_refused_or_makes_another_transaction(
    transaction: Transaction, data: st.DataObject
) -> None:
    """What is accepted packs to exactly the bytes that were read: one value, one form."""
    packed = bytearray(transaction.pack())
    bit = data.draw(st.integers(0, len(packed) * 8 - 1))
    packed[bit // 8] ^= 1 << bit % 8
    try:
        other = Transaction.unpack(bytes(packed))
    except FormatError:
        return

    assert other != transaction
    assert other.pack() == packed


@bounded
@given(junk=st.binary(max_size=200))
def test_junk_is_refused_or_comes_back(junk: bytes) -> None:
    """No other exception leaves the parser."""
    try:
        transaction = Transaction.unpack(junk)
    except FormatError:
        return

    assert transaction.pack() == junk


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize(
    "field",
    ["max_net_usage_words", "max_cpu_usage_ms", "delay_sec", "context_free_actions", "actions", "extensions"],
)
def test_a_limit_a_delay_and_anything_context_free_are_refused(field: str, bit: int) -> None:
    """Each bit of each count and limit: ours have none, one action and no extension."""
    value = int(SMALL_PARTS[field], 16) ^ 1 << bit

    with pytest.raises(FormatError):
        Transaction.unpack(parts(**{field: f"{value:02x}"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_net_usage_words": "01"}, "max_net_usage_words is 1"),
        ({"max_net_usage_words": "8000"}, "longer than it needs"),
        ({"max_cpu_usage_ms": "01"}, "max_cpu_usage_ms is 1"),
        ({"delay_sec": "ac02"}, "delay_sec is 300"),
        ({"delay_sec": "8000"}, "longer than it needs"),
        ({"context_free_actions": "01"}, "the number of context free actions is 1"),
        ({"extensions": "01000000"}, "the number of transaction extensions is 1"),
        ({"actions": "00"}, "too many"),
        ({"actions": "8100"}, "longer than it needs"),
        ({"size": "8800"}, "longer than it needs"),
        ({"account": "0000000000855c34"}, "alice::unregprod is none"),
        ({"account": "00" * 8}, "::unregprod is none"),
        ({"name": "0000000057a6eed4"}, "is none of those that move production"),
        ({"name": "00" * 8}, "eosio:: is none"),
        ({"authorizations": "00", "actor": "", "permission": ""}, "0 authorisations"),
        (
            {"authorizations": "02", "permission": SMALL_PARTS["permission"] + SMALL_PARTS["actor"] * 2},
            "2 authorisations",
        ),
        ({"actor": "00" * 8}, "at least one character"),
        ({"permission": "00" * 8}, "at least one character"),
        ({"data": "00" * 8}, "at least one character"),
        ({"size": "09", "data": SMALL_PARTS["data"] + "00"}, "1 bytes too many"),
        ({"size": "07", "data": SMALL_PARTS["data"][:-2]}, "cut off"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_we_would_not_make_is_refused(change: dict[str, str], message: str) -> None:
    """Each rule by itself."""
    with pytest.raises(FormatError, match=message):
        Transaction.unpack(parts(**change))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "setabi",
            "setcode",
            "updateauth",
            "linkauth",
            "deleteauth",
            "newaccount",
            "transfer",
            "delegatebw",
        ),
        *("voteproducer", "claimrewards", "regfinkey", "delfinkey", "rmvproducer", "sellram", "regproxy"),
    ],
)
def test_other_actions_of_the_system_contract_are_refused(name: str) -> None:
    """Not even with data that one of ours would have."""
    number = encode_name(name).to_bytes(8, "little").hex()

    with pytest.raises(FormatError, match=f"eosio::{name} is none of those that move production"):
        Transaction.unpack(parts(name=number))


def test_a_transaction_without_actions_is_refused() -> None:
    """By value and in bytes."""
    with pytest.raises(FormatError, match="at least one action"):
        Transaction(NOON, 1, 2, ())
    with pytest.raises(FormatError, match="at least one action"):
        Transaction.unpack(bytes.fromhex("407c056b010002000000000000000000"))


@pytest.mark.parametrize(
    "change",
    [
        {"expiration": NOON.replace(microsecond=1)},
        {"expiration": NOON.replace(tzinfo=None)},
        {"expiration": NOON.astimezone(timezone(timedelta(hours=1)))},
        {"expiration": datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)},
        {"expiration": datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC)},
        *({"ref_block_num": value} for value in (-1, 2**16)),
        *({"ref_block_prefix": value} for value in (-1, 2**32)),
    ],
    ids=str,
)
def test_a_header_that_cannot_be_packed_is_refused(change: dict[str, Any]) -> None:
    """Local times, parts of a second, and numbers too large for their field."""
    with pytest.raises(FormatError, match=next(iter(change))):
        dataclasses.replace(SMALL, **change)


# -- fields of the actions ---------------------------------------------------------------------------------

REGPRODUCER = RegProducer(ALICE, KEYS[0], "", 0)
REGPRODUCER2 = RegProducer2(ALICE, BlockSigningAuthority(1, (KeyWeight(KEYS[0], 1),)), "", 0)


@pytest.mark.parametrize("action", [REGPRODUCER, REGPRODUCER2], ids=["regproducer", "regproducer2"])
@pytest.mark.parametrize("url", ["a" * 512, "é" * 256, "🦄" * 128, "\ud800", "a\udcff"], ids=ascii)
def test_a_url_has_at_most_511_bytes_of_utf8(action: RegProducer | RegProducer2, url: str) -> None:
    """Bytes are counted, not characters; half a surrogate pair has none."""
    with pytest.raises(FormatError, match="url"):
        dataclasses.replace(action, url=url)


@pytest.mark.parametrize("action", [REGPRODUCER, REGPRODUCER2], ids=["regproducer", "regproducer2"])
@pytest.mark.parametrize("location", [-1, 2**16])
def test_a_location_has_16_bits(action: RegProducer | RegProducer2, location: int) -> None:
    """Both neighbours of the range are refused."""
    with pytest.raises(FormatError, match="location"):
        dataclasses.replace(action, location=location)


@pytest.mark.parametrize("name", ["", "Alice", "abcdefghijklmn", "alice.", "alice6"])
def test_every_name_is_checked(name: str) -> None:
    """In each field that holds one."""
    wrong = Name(name)
    for make in (
        lambda: dataclasses.replace(REGPRODUCER, producer=wrong),
        lambda: dataclasses.replace(REGPRODUCER2, producer=wrong),
        lambda: UnregProd(wrong),
        lambda: ActFinKey(wrong, FINALIZER_KEYS[0]),
        lambda: PermissionLevel(wrong, ALICE),
        lambda: PermissionLevel(ALICE, wrong),
    ):
        with pytest.raises(FormatError, match="name"):
            make()


@pytest.mark.parametrize("key", ["", "PUB_BLS_", FINALIZER_KEYS[0][:-1], str(KEYS[0])])
def test_a_finalizer_key_is_whole(key: str) -> None:
    """A mistyped one does not get into a transaction."""
    with pytest.raises(FormatError, match="finalizer key"):
        ActFinKey(ALICE, key)


@pytest.mark.parametrize("weight", [-1, 2**16])
def test_a_weight_has_16_bits(weight: int) -> None:
    """Both neighbours of the range are refused."""
    with pytest.raises(FormatError, match="weight"):
        KeyWeight(KEYS[0], weight)


@pytest.mark.parametrize(
    ("threshold", "weights", "message"),
    [
        (0, [1], "threshold is 0"),
        (-1, [1], "threshold is -1"),
        (2**32, [1], "threshold is 4294967296"),
        (1, [], "all keys together weigh 0"),
        (1, [0], "all keys together weigh 0"),
        (2, [1], "all keys together weigh 1"),
        (4, [1, 2], "all keys together weigh 3"),
        (2**32 - 1, [65535] * 8, "all keys together weigh 524280"),
    ],
)
def test_an_authority_that_nobody_can_meet_is_refused(
    threshold: int, weights: list[int], message: str
) -> None:
    """The contract and nodeos refuse these too (privileged.cpp:46-89)."""
    entries = tuple(KeyWeight(key, weight) for key, weight in zip(KEYS, weights, strict=False))

    with pytest.raises(FormatError, match=message):
        BlockSigningAuthority(threshold, entries)


def test_a_key_twice_is_refused() -> None:
    """With the same weight and with another one."""
    for second in (1, 2):
        with pytest.raises(FormatError, match="twice"):
            BlockSigningAuthority(1, (KeyWeight(KEYS[0], 1), KeyWeight(KEYS[0], second)))


def test_an_authority_read_from_bytes_is_checked_too() -> None:
    """Threshold 0, one out of reach, and a kind of authority that does not exist."""
    good = REGPRODUCER2.pack()
    for at, value, message in ((9, 0, "threshold is 0"), (8, 1, "kind 1"), (9, 2, "weigh 1")):
        wrong = bytearray(good)
        wrong[at] = value
        with pytest.raises(FormatError, match=message):
            RegProducer2.unpack(bytes(wrong))


@given(authority=authorities())
@unhurried
def test_the_order_of_keys_is_kept(authority: BlockSigningAuthority) -> None:
    """No two authorities share their bytes, and nothing is sorted in silence."""
    action = RegProducer2(ALICE, authority, "", 0)

    assert [entry.key for entry in RegProducer2.unpack(action.pack()).producer_authority.keys] == [
        entry.key for entry in authority.keys
    ]


def test_nothing_can_be_changed() -> None:
    """What was checked stays what was checked."""
    for value, field in ((SMALL, "actions"), (REGPRODUCER, "url"), (LEVEL, "actor"), (UnregProd(ALICE), "x")):
        with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
            setattr(value, field, None)


# -- around a transaction ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "00", "0" * 63, "0" * 65, "g" * 64, "0x" + "0" * 62, " " + "0" * 63])
def test_an_id_is_64_hexadecimal_digits(text: str) -> None:
    """Of a chain and of a block; nothing is padded."""
    with pytest.raises(FormatError, match="a chain id is 64 hexadecimal digits"):
        SMALL.digest(text)
    with pytest.raises(FormatError, match="a block id is 64 hexadecimal digits"):
        tapos(text)


def test_tapos_is_cut_out_of_the_block_id() -> None:
    """The low half of the block's number, and four bytes after it, little-endian."""
    block_id = "12345678" + "aaaaaaaa" + "04030201" + "bb" * 20

    assert tapos(block_id) == (0x5678, 0x01020304)
    assert tapos(block_id.upper()) == (0x5678, 0x01020304)


def test_the_digest_is_another_one_on_another_chain() -> None:
    """A signature for one chain is none for another."""
    assert SMALL.digest(CHAIN_ID) != SMALL.digest("00" * 32)
    assert len(SMALL.digest(CHAIN_ID)) == 32


def test_the_body_of_a_push_has_the_bytes_as_they_are() -> None:
    """All four fields, as nodeos wants them."""
    assert push_body(b"\1\xab", ["SIG_K1_x"]) == {
        "signatures": ["SIG_K1_x"],
        "compression": "none",
        "packed_context_free_data": "",
        "packed_trx": "01ab",
    }


def test_the_fixed_transactions_cover_what_they_should() -> None:
    """Both curves, one to eight keys, every url, all four actions, numbers of two bytes."""
    sizes = {len(a.producer_authority.keys) for a in ACTIONS if isinstance(a, RegProducer2)}

    assert {type(action) for action in ACTIONS} == {RegProducer, RegProducer2, UnregProd, ActFinKey}
    assert sizes == set(range(1, 9))
    assert {a.url for a in ACTIONS if isinstance(a, RegProducer)} == set(URLS)
    assert {a.producer_key.curve for a in ACTIONS if isinstance(a, RegProducer)} == {"K1", "R1"}
    assert {a.location for a in ACTIONS if isinstance(a, RegProducer)} >= {0, 65535}
    assert max(len(t.actions) for t in TRANSACTIONS) >= 128
    assert len({t.pack() for t in TRANSACTIONS}) == len(TRANSACTIONS) >= 75
