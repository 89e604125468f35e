"""Signatures as bytes and text: the forms that nodeos takes, and nothing else."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import base58
import ecdsa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signer.antelope.keys import Curve
from signer.antelope.signature import GROUP_ORDER, Signature, compact, is_canonical_k1, is_low_s, low_s, split
from signer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

ECDSA_CURVE = {Curve.K1: ecdsa.SECP256k1, Curve.R1: ecdsa.NIST256p}
TEXTS = [
    "SIG_K1_K911Zxe2bXuWEQ3kLGXo1LciXzE3sgm4SMSuLiYvknCSb8sN1xhRT8aibgwdE9PBGpDr1njp2MuoHtKhFSaETc6oTPfGhx",
    str(compact(Curve.R1, (1).to_bytes(32) + (2).to_bytes(32), 3)),
]
curves = st.sampled_from(Curve)
unhurried = settings(deadline=None)


def checked(prefix: str, payload: bytes, suffix: bytes) -> str:
    """A text with a right checksum over whatever it carries, without the code under test."""
    checksum = hashlib.new("ripemd160", payload + suffix).digest()[:4]
    return prefix + base58.b58encode(payload + checksum).decode()


@pytest.mark.parametrize("curve", Curve)
def test_group_orders_are_those_of_the_ecdsa_package(curve: Curve) -> None:
    """The constants were not mistyped."""
    assert GROUP_ORDER[curve] == ECDSA_CURVE[curve].order


@given(curve=curves, r=st.integers(1, 2**254), s=st.integers(1, 2**254), recovery_id=st.integers(0, 3))
def test_any_signature_survives_its_text(curve: Curve, r: int, s: int, recovery_id: int) -> None:
    """Text and back gives the same bytes, recovery id and numbers."""
    rs = r.to_bytes(32) + s.to_bytes(32)

    signature = compact(curve, rs, recovery_id)

    assert Signature.parse(str(signature)) == signature
    assert (signature.recovery_id, signature.rs, split(curve, rs)) == (recovery_id, rs, (r, s))
    assert signature.data[0] == 27 + 4 + recovery_id


@unhurried
@given(data=st.data(), text=st.sampled_from(TEXTS))
def test_damaged_text_is_refused(
    damaged: Callable[[str], st.SearchStrategy[str]], data: st.DataObject, text: str
) -> None:
    """One wrong character, a cut, an addition, white space or a look-alike is no signature."""
    wrong = data.draw(damaged(text))

    with pytest.raises(FormatError):
        Signature.parse(wrong)


@pytest.mark.parametrize("suffix", [b"", b"K1", b"R1", b"WA", b"k1"])
@pytest.mark.parametrize(
    "prefix", ["SIG_K1_", "SIG_R1_", "SIG_WA_", "SIG_BLS_", "PUB_K1_", "sig_k1_", "SIG_", "EOS"]
)
def test_prefix_and_checksum_agree(prefix: str, suffix: bytes) -> None:
    """Only SIG_K1_ with a K1 checksum and SIG_R1_ with an R1 checksum are signatures."""
    text = checked(prefix, b"\x1f" + (b"\0" * 31 + b"\1") * 2, suffix)

    if (prefix, suffix) in {("SIG_K1_", b"K1"), ("SIG_R1_", b"R1")}:
        assert str(Signature.parse(text)) == text
    else:
        with pytest.raises(FormatError):
            Signature.parse(text)


def test_a_webauthn_signature_is_refused_by_name() -> None:
    """Peers drop a connection that sends one in a block, so the message says what it is."""
    with pytest.raises(FormatError, match="WebAuthn"):
        Signature.parse("SIG_WA_" + TEXTS[0][len("SIG_K1_") :])


@pytest.mark.parametrize("value", [None, 1, b"SIG_K1_", ["SIG_K1_"], {"signature": "SIG_K1_"}])
def test_a_signature_is_a_string(value: object) -> None:
    """What JSON can hold besides a string is refused, not converted."""
    with pytest.raises(FormatError, match="string"):
        Signature.parse(value)


@pytest.mark.parametrize("curve", Curve)
@pytest.mark.parametrize("header", range(256))
def test_only_headers_that_nodeos_reads_are_taken(curve: Curve, header: int) -> None:
    """27 to 34, in which the recovery id stands with and without the mark of a compressed key."""
    data = bytes((header,)) + b"\1" * 64

    if 27 <= header <= 34:
        assert Signature(curve, data).recovery_id == (header - 27) % 4
    else:
        with pytest.raises(FormatError, match="header"):
            Signature(curve, data)


@pytest.mark.parametrize("curve", Curve)
def test_r_and_s_stand_between_1_and_n_minus_1(curve: Curve) -> None:
    """0 and n are out and 1 and n - 1 are in, for r and for s, in every way to make a signature."""
    n = GROUP_ORDER[curve]
    for r, s in [(1, 1), (n - 1, n - 1), (1, n - 1), (n - 1, 1)]:
        assert split(curve, compact(curve, r.to_bytes(32) + s.to_bytes(32), 0).rs) == (r, s)
    for r, s in [(0, 1), (1, 0), (0, 0), (n, 1), (1, n), (2**256 - 1, 1), (1, 2**256 - 1)]:
        rs = r.to_bytes(32) + s.to_bytes(32)
        with pytest.raises(FormatError, match="not within"):
            compact(curve, rs, 0)
        with pytest.raises(FormatError, match="not within"):
            low_s(curve, r, s)
        with pytest.raises(FormatError, match="not within"):
            Signature.parse(checked(f"SIG_{curve}_", b"\x1f" + rs, curve.encode()))


@pytest.mark.parametrize("curve", Curve)
def test_other_sizes_and_ids_are_refused(curve: Curve) -> None:
    """There are 64 bytes of r || s, and a recovery id is 0 to 3."""
    for size in (0, 63, 65, 128):
        with pytest.raises(FormatError, match="bytes"):
            compact(curve, b"\1" * size, 0)
    for recovery_id in (-1, 4, 31):
        with pytest.raises(FormatError, match="recovery id"):
            compact(curve, b"\1" * 64, recovery_id)


def test_the_null_signature_of_a_genesis_block_is_refused() -> None:
    """65 zero bytes are no signature of anyone."""
    with pytest.raises(FormatError):
        Signature.parse(checked("SIG_K1_", bytes(65), b"K1"))


@given(curve=curves, r=st.integers(1, 2**254), s=st.integers(1, 2**256))
def test_low_s_is_one_of_the_two_and_stays(curve: Curve, r: int, s: int) -> None:
    """The result is s or n - s, whichever is not above n/2; doing it twice changes nothing."""
    n = GROUP_ORDER[curve]
    s = s % (n - 1) + 1

    normal = low_s(curve, r, s)

    assert normal in {(r, s), (r, n - s)}
    assert 2 * normal[1] <= n
    assert low_s(curve, *normal) == normal


@pytest.mark.parametrize("curve", Curve)
def test_half_of_an_odd_order_is_low(curve: Curve) -> None:
    """The border: (n - 1)/2 is low and (n + 1)/2 is not, as nodeos compares with n shifted right."""
    half = GROUP_ORDER[curve] >> 1

    assert is_low_s(curve, half)
    assert not is_low_s(curve, half + 1)
    assert low_s(curve, 1, half + 1) == (1, half)


#: The numbers beside each border of the rule: the sign bit, and the ninth bit after a zero byte.
edges = st.sampled_from([1, 2**246, 2**247 - 1, 2**247, 2**248 - 1, 2**248, 2**255 - 1, 2**255, 2**256 - 1])


@given(r=edges | st.integers(1, 2**256 - 1), s=edges | st.integers(1, 2**256 - 1))
@example(r=2**247, s=2**247)
@example(r=2**255 - 1, s=2**255 - 1)
def test_canonical_means_32_bytes_of_der_each(r: int, s: int) -> None:
    """The ecdsa package's DER writes r and s in 32 bytes each if and only if the rule says canonical."""
    sizes = [len(ecdsa.der.remove_integer(ecdsa.der.encode_integer(value))[1]) for value in (r, s)]
    lengths = [len(ecdsa.der.encode_integer(value)) - 2 for value in (r, s)]

    assert sizes == [0, 0]
    assert is_canonical_k1(r.to_bytes(32) + s.to_bytes(32)) == (lengths == [32, 32])
