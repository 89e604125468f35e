"""Public keys as PKCS#11 tells them."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from hsm.point import EC_PARAMS, Curve, parse_curve, parse_point

CURVES: dict[Curve, ec.EllipticCurve] = {"secp256k1": ec.SECP256K1(), "prime256v1": ec.SECP256R1()}


@pytest.mark.parametrize("curve", CURVES)
@given(secret=st.integers(1, 2**255))
def test_a_point_is_the_same_in_all_four_forms(curve: Curve, secret: int) -> None:
    """Bare or in an OCTET STRING, compressed or not; checked against another library."""
    public = ec.derive_private_key(secret, CURVES[curve]).public_key()
    short = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    long = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    for form in (short, long, bytes((4, 33)) + short, bytes((4, 65)) + long):
        point = parse_point(curve, form)
        assert (point.curve, point.compressed, point.uncompressed) == (curve, short, long)


def _generator(curve: Curve) -> bytes:
    public = ec.derive_private_key(1, CURVES[curve]).public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@pytest.mark.parametrize("curve", CURVES)
def test_a_point_off_its_curve_is_refused(curve: Curve) -> None:
    """Also one that is on the other curve, and one whose coordinates are not reduced."""
    good = _generator(curve)
    other = _generator("prime256v1" if curve == "secp256k1" else "secp256k1")
    for bad in (good[:-1] + bytes((good[-1] ^ 1,)), other, b"\x04" + b"\xff" * 64, b"\x04" + bytes(64)):
        with pytest.raises(ValueError, match="not on"):
            parse_point(curve, bad)


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"\x00",
        b"\x04" * 64,
        b"\x05" + bytes(64),
        b"\x04" + bytes(32),
        b"\x06" + _generator("secp256k1")[1:],
        bytes((5, 65)) + _generator("secp256k1"),
        bytes((4, 64)) + _generator("secp256k1"),
        bytes((4, 129, 65)) + _generator("secp256k1"),
    ],
)
def test_any_other_form_is_refused(form: bytes) -> None:
    """Hybrid points, wrong tags and wrong lengths are no points."""
    with pytest.raises(ValueError, match="not a point"):
        parse_point("secp256k1", form)


def test_only_our_two_curves_are_named() -> None:
    """P-384 and nothing are refused."""
    for curve, der in EC_PARAMS.items():
        assert parse_curve(der) == curve
    for other in (b"", bytes.fromhex("06052b81040022")):
        with pytest.raises(ValueError, match="neither"):
            parse_curve(other)
