"""Public keys and digests from text and bytes: one form each, and nothing else gets in."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, NoReturn

import base58
import ecdsa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.antelope.keys import Curve, PublicKey, parse_digest
from signer.errors import FormatError, SigningError

if TYPE_CHECKING:
    from collections.abc import Callable

ECDSA_CURVE = {Curve.K1: ecdsa.SECP256k1, Curve.R1: ecdsa.NIST256p}
#: The generator of each curve, a point that the ecdsa package knows by itself.
KEYS = {
    curve: PublicKey(curve, known.generator.to_bytes("compressed")) for curve, known in ECDSA_CURVE.items()
}
TEXTS = [KEYS[Curve.K1].fc, str(KEYS[Curve.K1]), str(KEYS[Curve.R1])]
SUFFIX = {"EOS": b"", "PUB_K1_": b"K1", "PUB_R1_": b"R1"}
NOT_POINTS = {
    "x without a y": {Curve.K1: b"\2" + (5).to_bytes(32), Curve.R1: b"\2" + (7).to_bytes(32)},
    "x past the prime": dict.fromkeys(Curve, b"\2" + b"\xff" * 32),
    "prefix 00": {curve: b"\0" + key.data[1:] for curve, key in KEYS.items()},
    "prefix 04": {curve: b"\4" + key.data[1:] for curve, key in KEYS.items()},
    "null key": {curve: bytes(33) for curve in Curve},
    "cut": {curve: key.data[:32] for curve, key in KEYS.items()},
    "longer": {curve: key.data + b"\0" for curve, key in KEYS.items()},
    "empty": dict.fromkeys(Curve, b""),
}
unhurried = settings(deadline=None)


def checked(prefix: str, payload: bytes, suffix: bytes) -> str:
    """A text with a right checksum over whatever it carries, without the code under test."""
    checksum = hashlib.new("ripemd160", payload + suffix).digest()[:4]
    return prefix + base58.b58encode(payload + checksum).decode()


@unhurried
@given(curve=st.sampled_from(Curve), scalar=st.integers(1, 2**255))
def test_any_key_survives_each_of_its_forms(curve: Curve, scalar: int) -> None:
    """Text and bytes, in all forms, name the key they were made of; equal keys are one key in a set."""
    made = ecdsa.SigningKey.from_secret_exponent(scalar, ECDSA_CURVE[curve]).verifying_key
    key = PublicKey(curve, made.to_string("compressed"))
    texts = {str(key), key.fc, key.legacy or key.fc}
    points = [made.to_string("compressed"), made.to_string("uncompressed")]

    again = {PublicKey.parse(text) for text in texts}
    again |= {PublicKey.from_ec_point(curve, point) for point in points}
    again |= {PublicKey.from_ec_point(curve, bytes((4, len(point))) + point) for point in points}

    assert again == {key}


@unhurried
@given(data=st.data(), text=st.sampled_from(TEXTS))
def test_damaged_text_is_refused(
    damaged: Callable[[str], st.SearchStrategy[str]], data: st.DataObject, text: str
) -> None:
    """One wrong character, a cut, an addition, white space or a look-alike: refused, and not repeated."""
    wrong = data.draw(damaged(text))

    with pytest.raises(FormatError) as caught:
        PublicKey.parse(wrong)

    assert wrong == "" or len(wrong) < 8 or wrong not in str(caught.value)


@pytest.mark.parametrize(
    "prefix", [*SUFFIX, "PUB_WA_", "PUB_BLS_", "SIG_K1_", "pub_k1_", "FIO", "EOS_", "PUB_", ""]
)
@pytest.mark.parametrize("text", TEXTS)
def test_another_prefix_is_refused(prefix: str, text: str) -> None:
    """The prefix is covered: the same characters behind another one are no key."""
    own = next(known for known in SUFFIX if text.startswith(known))
    if prefix == own:
        return

    with pytest.raises(FormatError):
        PublicKey.parse(prefix + text.removeprefix(own))


@pytest.mark.parametrize("suffix", [b"", b"K1", b"R1", b"k1", b"WA", b"K1\0"])
@pytest.mark.parametrize("prefix", SUFFIX)
def test_checksum_covers_the_curve(prefix: str, suffix: bytes) -> None:
    """A checksum made with the suffix of another form is refused, here for an x that both curves have."""
    data = KEYS[Curve.R1].data
    text = checked(prefix, data, suffix)

    if suffix == SUFFIX[prefix]:
        assert PublicKey.parse(text) == PublicKey(Curve.R1 if suffix == b"R1" else Curve.K1, data)
    else:
        with pytest.raises(FormatError):
            PublicKey.parse(text)


@pytest.mark.parametrize("fault", NOT_POINTS)
@pytest.mark.parametrize("prefix", SUFFIX)
def test_a_right_checksum_over_no_point_is_refused(prefix: str, fault: str) -> None:
    """The checksum does not stand in for the curve: bytes that are no point are no key."""
    curve = Curve.R1 if prefix == "PUB_R1_" else Curve.K1
    wrong = NOT_POINTS[fault][curve]

    with pytest.raises(FormatError):
        PublicKey.parse(checked(prefix, wrong, SUFFIX[prefix]))
    with pytest.raises(FormatError):
        PublicKey(curve, wrong)
    with pytest.raises(FormatError):
        PublicKey.from_ec_point(curve, wrong)


@pytest.mark.parametrize("value", [None, 1, b"EOS", ["EOS"], {"key": "EOS"}, True])
def test_a_key_is_a_string(value: object) -> None:
    """What JSON can hold besides a string is refused, not converted."""
    with pytest.raises(FormatError, match="string"):
        PublicKey.parse(value)


@pytest.mark.parametrize(
    "private",
    [
        "5KfV9TqhuExdGzpcEZf8CzwKwCHTLAM2YGYmx2ABW7KVuxyZCSF",
        "PVT_R1_2uNHQTuue3VXvXhqYmtpxwKaw2f7jKWRLXuVoCSnj46kbEoReW",
    ],
)
def test_a_private_key_is_never_repeated(private: str) -> None:
    """Whoever pastes a private key does not find it in the log."""
    with pytest.raises(FormatError) as caught:
        PublicKey.parse(private)

    assert private[8:20] not in str(caught.value)


def test_a_long_text_is_refused_before_it_is_decoded() -> None:
    """Base58 is quadratic: a megabyte would take minutes, so its length alone is enough."""
    with pytest.raises(FormatError, match="1000000 characters"):
        PublicKey.parse("EOS" + "2" * 1_000_000)


@pytest.mark.parametrize("curve", Curve)
def test_ec_point_in_another_form_is_refused(curve: Curve) -> None:
    """Hybrid, off the curve, past the prime, cut, or wrapped in another tag or length."""
    known = ECDSA_CURVE[curve]
    point = known.generator.to_bytes("uncompressed")
    wrong = {
        "hybrid": bytes((6 | point[-1] & 1,)) + point[1:],
        "y changed": point[:-1] + bytes((point[-1] ^ 1,)),
        "x past the prime": b"\4" + b"\xff" * 32 + point[33:],
        "cut": point[:-1],
        "longer": point + b"\0",
        "DER BIT STRING": b"\3\x41" + point,
        "DER length": b"\4\x40" + point,
        "DER long form": b"\4\x81\x41" + point,
        "X and Y alone": point[1:],
        "the other curve": ECDSA_CURVE[Curve.R1 if curve is Curve.K1 else Curve.K1].generator.to_bytes(
            "uncompressed"
        ),
        "null": b"\0",
        "empty": b"",
    }
    for name, value in wrong.items():
        with pytest.raises(FormatError):
            pytest.fail(f"{name} gave {PublicKey.from_ec_point(curve, value)}")


def test_an_ec_point_has_one_y() -> None:
    """(x, y + p) satisfies the equation too where it fits in 32 bytes, and is refused all the same."""
    p = ECDSA_CURVE[Curve.K1].curve.p()
    # Small y, so that y + p fits. A cube root modulo a prime that is 7 modulo 9 is a power with (p + 2)/9.
    x, y = next((x, y) for y in range(1, 100) if pow(x := pow(y * y - 7, (p + 2) // 9, p), 3, p) == y * y - 7)

    PublicKey.from_ec_point(Curve.K1, b"\4" + x.to_bytes(32) + y.to_bytes(32))
    with pytest.raises(FormatError, match="not on K1"):
        PublicKey.from_ec_point(Curve.K1, b"\4" + x.to_bytes(32) + (y + p).to_bytes(32))


def test_a_key_cannot_be_changed() -> None:
    """A key that was checked stays the key that was checked."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        KEYS[Curve.K1].data = b""  # type: ignore[misc]


@given(digest=st.binary(min_size=32, max_size=32))
def test_a_digest_is_read_in_either_case(digest: bytes) -> None:
    """64 hexadecimal digits, upper or lower case, are the 32 bytes."""
    assert parse_digest(digest.hex()) == parse_digest(digest.hex().upper()) == digest


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "00",
            "0" * 63,
            "0" * 65,
            "0" * 128,
            "g" + "0" * 63,
            "-" + "0" * 63,
            "0x" + "0" * 62,
            "0_" * 32,
        ),
        *(" " + "0" * 63, "0" * 63 + " ", "0" * 64 + "\n", "\n" + "0" * 64, "0" * 32 + " " + "0" * 32),
        *("00 " * 21 + "0", "\u0660" * 64, "\uff10" * 64, "\uff41" * 64),
        *(None, 0, 64, True, b"0" * 64, ["0" * 64], {"digest": "0" * 64}),
    ],
)
def test_anything_else_is_no_digest(value: object) -> None:
    """Short, long, spaced, prefixed, other alphabets' digits and other types: refused, never padded."""
    with pytest.raises(FormatError, match="64 hexadecimal digits"):
        parse_digest(value)


def test_an_openssl_without_ripemd_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the checksum cannot be computed the message names the remedy."""

    def refuse(name: str, *args: object, **options: object) -> NoReturn:
        raise ValueError("unsupported hash type")

    monkeypatch.setattr("hashlib.new", refuse)

    with pytest.raises(SigningError, match=r"OpenSSL 3\.0\.7"):
        str(KEYS[Curve.K1])
