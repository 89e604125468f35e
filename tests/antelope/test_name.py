"""Names and their numbers, held against what real cleos packs."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rig.tools import Tools

from signer.antelope.name import decode_name, encode_name, parse_name
from signer.errors import FormatError

ALPHABET = ".12345abcdefghijklmnopqrstuvwxyz"

#: Every character in every place that it may have, and the names that we use.
GOOD = [
    *("eosio", "eosio.token", "regproducer", "regproducer2", "unregprod", "actfinkey", "rotate", "active"),
    *("a", "z", "1", "5", "zzzzzzzzzzzz", "zzzzzzzzzzzzj", "555555555555", "111111111111"),
    *(".a", "..a", "a.b", "a..b", ".1", "............1", "............j", "...........z"),
    *(f"{'.' * place}{character}" for place in range(12) for character in ALPHABET[1:]),
    *(f"abcdefghijkl{character}" for character in "12345abcdefghij"),
]
BAD = [
    *("a.", ".", "..", "abcdefghijkl.", "abcdefghijklk", "abcdefghijklz", "zzzzzzzzzzzzk"),
    *("abcdefghijklmn", "a" * 14, "............." + "a", "a" * 51),
    *(
        "A",
        "Alice",
        "alicE",
        "0",
        "6",
        "9",
        "a0",
        "a6b",
        "a_b",
        "a-b",
        "a b",
        " a",
        "a ",
        "a\n",
        "\ta",
        "a/b",
    ),
    *("é", "ä", "a\u0301", "\uff41", "\u0430", "\u0661", "a\u200b", "\u2024"),
]


def cleos(transaction: object) -> Any:  # noqa: ANN401 - JSON
    """What cleos packs; it needs no node for data in hex. None where it refuses."""
    tools = Tools.find()
    text = json.dumps(transaction, ensure_ascii=False)
    command = [str(tools.program), "cleos", "convert", "pack_transaction", text]
    # cleos may crash after it has printed, so its output counts, not its exit code.
    done = subprocess.run(command, env=tools.environment, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.stdout else (None, done.stderr)


def packed_by_cleos(names: list[str]) -> bytes:
    """Names as cleos packs them: two to a permission level."""
    levels = [{"actor": name, "permission": name} for name in names]
    action = {"account": "a", "name": "b", "authorization": levels, "data": ""}
    packed = cleos({"actions": [action], "context_free_actions": [], "expiration": "1970-01-01T00:00:00"})
    return bytes.fromhex(packed["packed_trx"])


def test_every_name_has_the_number_that_cleos_packs() -> None:
    """Each character in each place, the short 13th among them."""
    expected = b"".join(encode_name(name).to_bytes(8, "little") * 2 for name in GOOD)

    packed = packed_by_cleos(GOOD)

    assert len(GOOD) > 400
    assert expected in packed
    assert len(packed) < len(expected) + 50


@pytest.mark.parametrize("name", BAD)
def test_what_cleos_refuses_is_no_name(name: str) -> None:
    """The same texts are refused here and there."""
    action = {"account": name, "name": "b", "authorization": [], "data": ""}
    _, complaint = cleos({"actions": [action]})
    assert "Invalid name" in complaint

    with pytest.raises(FormatError):
        encode_name(name)
    with pytest.raises(FormatError):
        parse_name(name)


@given(value=st.integers(0, 2**64 - 1))
@example(value=0)
@example(value=1)
@example(value=2**64 - 1)
def test_every_number_has_one_name(value: int) -> None:
    """Number to name and back is the same number."""
    assert encode_name(decode_name(value)) == value


@given(name=st.text(ALPHABET, max_size=12).map(lambda text: text.rstrip(".")))
def test_every_name_has_one_number(name: str) -> None:
    """Name to number and back is the same name."""
    assert decode_name(encode_name(name)) == name


@given(text=st.text(max_size=14))
def test_a_text_is_refused_or_comes_back(text: str) -> None:
    """No text shares its number with another one."""
    try:
        value = encode_name(text)
    except FormatError:
        return

    assert decode_name(value) == text


@pytest.mark.parametrize("value", [None, 1, b"alice", ["alice"], True, ""])
def test_what_comes_from_outside_is_a_name_or_refused(value: object) -> None:
    """Nothing is converted, and the empty name names nobody."""
    with pytest.raises(FormatError):
        parse_name(value)


def test_a_parsed_name_is_the_text() -> None:
    """Nothing around it is dropped, nothing is changed."""
    assert parse_name("eosio.token") == "eosio.token"


def test_the_empty_name_is_zero() -> None:
    """As nodeos has it: a field that may name nobody holds 0."""
    assert (encode_name(""), decode_name(0)) == (0, "")


def test_the_numbers_of_nodeos_own_names() -> None:
    """Two constants from nodeos' and the contract's sources, read by nobody's code (config.hpp: eosio)."""
    assert encode_name("eosio") == 6138663577826885632
    assert encode_name("eosio.token") == 6138663591592764928


def test_a_long_text_is_refused_and_not_repeated() -> None:
    """Whoever pastes a private key where a name belongs does not find it in the log."""
    private = "5KfV9TqhuExdGzpcEZf8CzwKwCHTLAM2YGYmx2ABW7KVuxyZCSF"

    with pytest.raises(FormatError) as caught:
        parse_name(private)

    assert private[8:20] not in str(caught.value)
