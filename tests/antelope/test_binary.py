"""The binary form: every value has one form, and everything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.antelope.binary import Reader, Writer, check_uint
from signer.errors import FormatError

#: Leap libraries/libfc/include/fc/io/raw.hpp:214-222, done by hand.
VARUINTS = {
    0: "00",
    1: "01",
    127: "7f",
    128: "8001",
    300: "ac02",
    16383: "ff7f",
    16384: "808001",
    2**21 - 1: "ffff7f",
    2**21: "80808001",
    2**28 - 1: "ffffff7f",
    2**28: "8080808001",
    2**32 - 1: "ffffffff0f",
}
NOT_VARUINTS = {
    "needless byte": "8000",
    "needless byte after one": "8100",
    "needless bytes": "80808000",
    "33 bits": "ffffffff1f",
    "32 bits and a sixth byte": "ffffffff8f00",
    "six bytes": "808080808001",
    "zeros only": "80" * 40 + "00",
    "no end": "80",
    "no end at all": "ff" * 40,
    "nothing": "",
}


@pytest.mark.parametrize(("value", "form"), VARUINTS.items())
def test_a_variable_integer_has_its_shortest_form(value: int, form: str) -> None:
    """Written and read at each length's edges."""
    writer = Writer()
    writer.varuint32(value)
    reader = Reader(bytes.fromhex(form))

    assert writer.done().hex() == form
    assert reader.varuint32() == value
    reader.end()


@pytest.mark.parametrize("form", NOT_VARUINTS.values(), ids=list(NOT_VARUINTS))
def test_a_variable_integer_in_another_form_is_refused(form: str) -> None:
    """Some of these nodeos takes, and hashes the shortest form: the id would be another one than ours."""
    with pytest.raises(FormatError):
        Reader(bytes.fromhex(form)).varuint32()


@given(data=st.binary(max_size=8))
def test_a_variable_integer_is_refused_or_comes_back(data: bytes) -> None:
    """No two forms give one number."""
    reader = Reader(data)
    try:
        value = reader.varuint32()
        reader.end()
    except FormatError:
        return
    writer = Writer()
    writer.varuint32(value)

    assert writer.done() == data


@given(
    small=st.integers(0, 2**8 - 1),
    middle=st.integers(0, 2**16 - 1),
    large=st.integers(0, 2**32 - 1),
    octets=st.binary(max_size=300),
    text=st.text(max_size=200),
)
def test_what_was_written_is_read(small: int, middle: int, large: int, octets: bytes, text: str) -> None:
    """One after the other, with nothing between them and nothing left."""
    writer = Writer()
    writer.uint8(small)
    writer.octets(octets)
    writer.uint16(middle)
    writer.string(text)
    writer.uint32(large)
    reader = Reader(writer.done())

    got = (reader.uint8(), reader.octets(), reader.uint16(), reader.string(), reader.uint32())
    reader.end()

    assert got == (small, octets, middle, text, large)


def test_integers_are_little_endian() -> None:
    """The lowest byte first."""
    writer = Writer()
    writer.uint8(0x01)
    writer.uint16(0x0203)
    writer.uint32(0x04050607)

    assert writer.done().hex() == "01030207060504"


@pytest.mark.parametrize("form", ["02c328", "01ff", "03eda080", "02c080", "04f4908080"])
def test_a_text_that_is_not_utf8_is_refused(form: str) -> None:
    """Broken sequences, a surrogate, an overlong zero, a character past the last."""
    with pytest.raises(FormatError, match="UTF-8"):
        Reader(bytes.fromhex(form)).string()


def test_what_is_cut_off_is_refused() -> None:
    """A length that promises more than there is is no length."""
    with pytest.raises(FormatError, match="cut off: 5 bytes expected after byte 1, 4 are there"):
        Reader(b"\5abcd").octets()


def test_what_is_left_is_refused() -> None:
    """The end is said, not assumed."""
    reader = Reader(b"\1\2\3")
    reader.uint8()

    with pytest.raises(FormatError, match="2 bytes too many after byte 1"):
        reader.end()


@pytest.mark.parametrize("kind", ["02", "7f", "8000"])
def test_a_key_of_another_kind_is_refused(kind: str) -> None:
    """WebAuthn keys (2) sign no blocks, and there are no others."""
    with pytest.raises(FormatError):
        Reader(bytes.fromhex(kind) + b"\2" + bytes(32)).public_key()


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_range_includes_its_ends(bits: int) -> None:
    """0 and the largest number pass, their neighbours do not."""
    check_uint("it", 0, bits)
    check_uint("it", 2**bits - 1, bits)
    for value in (-1, 2**bits):
        with pytest.raises(FormatError, match=f"it is {value}, not 0 to {2**bits - 1}"):
            check_uint("it", value, bits)
