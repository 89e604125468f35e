"""The self-check before a signature leaves: right ones pass with the right id, and no other passes."""

from __future__ import annotations

import gc
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ecdsa
import pytest
from ecdsa.ellipticcurve import INFINITY, PointJacobi
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.antelope import libcrypto
from signer.antelope.keys import Curve, Digest, PublicKey
from signer.antelope.libcrypto import PointSum
from signer.antelope.recovery import recover, verifier_for
from signer.antelope.signature import GROUP_ORDER, Signature, compact, is_canonical_k1, low_s, split
from signer.errors import SigningError

if TYPE_CHECKING:
    from collections.abc import Iterator

ECDSA_CURVE = {Curve.K1: ecdsa.SECP256k1, Curve.R1: ecdsa.NIST256p}
PRIVATE = {
    curve: ecdsa.SigningKey.from_secret_exponent(0xC0FFEE, known) for curve, known in ECDSA_CURVE.items()
}
KEYS = {curve: PublicKey(curve, key.verifying_key.to_string("compressed")) for curve, key in PRIVATE.items()}
VERIFIERS = {curve: verifier_for(key) for curve, key in KEYS.items()}
N = GROUP_ORDER[Curve.R1]
curves = st.sampled_from(Curve)
digests = st.binary(min_size=32, max_size=32).map(Digest)
unhurried = settings(deadline=None)


def sign(curve: Curve, digest: bytes) -> bytes:
    """A signature by the ecdsa package (r || s, low s, canonical on K1): a token and its retries."""
    for attempt in range(200):
        r, s = split(curve, PRIVATE[curve].sign_digest_deterministic(digest, extra_entropy=bytes((attempt,))))
        r, s = low_s(curve, r, s)
        rs = r.to_bytes(32) + s.to_bytes(32)
        if curve is Curve.R1 or is_canonical_k1(rs):
            return rs
    pytest.fail("no canonical signature in 200 tries")


def key_of(digest: bytes, point: Any, r: int, s: int) -> PublicKey:  # noqa: ANN401 (ecdsa ships no types)
    """The R1 key whose signature (r, s) over `digest` has R = `point`: Q = (s*R - e*G)/r."""
    w = pow(r, -1, N)
    q = point * (s * w % N) + ecdsa.NIST256p.generator * (-int.from_bytes(digest) * w % N)
    return PublicKey(Curve.R1, q.to_bytes("compressed"))


@unhurried
@given(curve=curves, digest=digests)
def test_what_the_key_signed_is_sealed_and_recovers(curve: Curve, digest: Digest) -> None:
    """Any digest: the seal keeps r and s, and its id recovers the key, by ours and by the ecdsa package."""
    rs = sign(curve, digest)

    signature = VERIFIERS[curve].seal(digest, rs)

    assert (signature.curve, signature.rs) == (curve, rs)
    assert 31 <= signature.data[0] <= 32
    assert recover(digest, signature) == KEYS[curve]
    candidates = ecdsa.VerifyingKey.from_public_key_recovery_with_digest(rs, digest, ECDSA_CURVE[curve])
    assert KEYS[curve].data in {candidate.to_string("compressed") for candidate in candidates}


@pytest.mark.parametrize("curve", Curve)
@pytest.mark.parametrize("value", [0, 1, N - 1, N, N + 1, GROUP_ORDER[Curve.K1], 2**256 - 1])
def test_digests_at_the_edges_are_sealed(curve: Curve, value: int) -> None:
    """A digest of zero, or one past the group's order, is a digest like any other."""
    digest = Digest(value.to_bytes(32))

    signature = VERIFIERS[curve].seal(digest, sign(curve, digest))

    assert recover(digest, signature) == KEYS[curve]


@unhurried
@given(curve=curves, digest=digests, bit=st.integers(0, 255))
def test_another_digest_is_not_sealed(curve: Curve, digest: Digest, bit: int) -> None:
    """One changed bit of the digest is enough."""
    rs = sign(curve, digest)
    other = Digest((int.from_bytes(digest) ^ 1 << bit).to_bytes(32))

    with pytest.raises(SigningError, match="does not verify"):
        VERIFIERS[curve].seal(other, rs)


@unhurried
@given(curve=curves, digest=digests, bit=st.integers(0, 511))
def test_a_changed_signature_is_not_sealed(curve: Curve, digest: Digest, bit: int) -> None:
    """One changed bit of r or s is enough."""
    changed = (int.from_bytes(sign(curve, digest)) ^ 1 << bit).to_bytes(64)

    with pytest.raises(SigningError):
        VERIFIERS[curve].seal(digest, changed)


@pytest.mark.parametrize("curve", Curve)
def test_another_key_does_not_seal(curve: Curve) -> None:
    """The token signed with the wrong object: the message names the key that was expected."""
    other = PublicKey(curve, ECDSA_CURVE[curve].generator.to_bytes("compressed"))
    negated = PublicKey(curve, bytes((KEYS[curve].data[0] ^ 1,)) + KEYS[curve].data[1:])
    digest = Digest(b"\x11" * 32)
    for key in (other, negated):
        with pytest.raises(SigningError, match=str(key)):
            verifier_for(key).seal(digest, sign(curve, digest))


@pytest.mark.parametrize("curve", Curve)
def test_high_s_is_not_sealed(curve: Curve) -> None:
    """A valid signature with n - s is refused: the lane must have normalised it."""
    digest = Digest(b"\x22" * 32)
    r, s = split(curve, sign(curve, digest))

    with pytest.raises(SigningError, match="high s"):
        VERIFIERS[curve].seal(digest, r.to_bytes(32) + (GROUP_ORDER[curve] - s).to_bytes(32))


def test_a_k1_signature_that_is_not_canonical_is_not_sealed() -> None:
    """It is valid and low-s, and nodeos would refuse it."""
    digest = Digest(b"\x33" * 32)
    for attempt in range(200):
        raw = PRIVATE[Curve.K1].sign_digest_deterministic(digest, extra_entropy=bytes((attempt,)))
        r, s = low_s(Curve.K1, *split(Curve.K1, raw))
        rs = r.to_bytes(32) + s.to_bytes(32)
        if not is_canonical_k1(rs):
            break

    with pytest.raises(SigningError, match="not canonical"):
        VERIFIERS[Curve.K1].seal(digest, rs)


@pytest.mark.parametrize("curve", Curve)
@pytest.mark.parametrize(
    "rs", [b"", bytes(64), b"\1" * 63, b"\1" * 65, b"\xff" * 64, b"\0" * 32 + b"\1" * 32]
)
def test_bytes_that_are_no_signature_are_not_sealed(curve: Curve, rs: bytes) -> None:
    """Whatever a broken token hands over ends in SigningError."""
    with pytest.raises(SigningError):
        VERIFIERS[curve].seal(Digest(b"\x44" * 32), rs)


@pytest.mark.parametrize("curve", Curve)
@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_digest_of_another_size_is_not_sealed(curve: Curve, size: int) -> None:
    """The types forbid it, and so does the last check before the wire."""
    with pytest.raises(SigningError, match="digest"):
        VERIFIERS[curve].seal(Digest(b"\1" * size), b"\1" * 64)


@pytest.mark.parametrize("parity", [0, 1])
def test_r1_with_the_x_of_r_past_the_order_gets_id_2_or_3(parity: int) -> None:
    """Where R's x is n or more, r is x - n. Chance gives this once in 2^127: R is chosen, Q computed."""
    curve = ecdsa.NIST256p.curve
    offset = next(
        offset for offset in range(1, 100)
        if pow((N + offset) ** 3 - 3 * (N + offset) + curve.b(), (curve.p() - 1) // 2, curve.p()) == 1
    )  # fmt: skip
    point = PointJacobi.from_bytes(curve, bytes((2 | parity,)) + (N + offset).to_bytes(32))
    digest, s = Digest(b"\x55" * 32), 0x123456789
    key = key_of(digest, point, offset, s)

    signature = verifier_for(key).seal(digest, offset.to_bytes(32) + s.to_bytes(32))

    assert signature.recovery_id == 2 | parity
    assert recover(digest, signature) == key


def test_a_sum_at_infinity_is_refused() -> None:
    """u1*G + u2*Q with no x: r matches nothing. Q = d*G and e = -r*d make it happen."""
    r, s = 0x1234, 0x5678
    digest = Digest((-r * 0xC0FFEE % N).to_bytes(32))

    with pytest.raises(SigningError, match="not a point"):
        VERIFIERS[Curve.R1].seal(digest, r.to_bytes(32) + s.to_bytes(32))


@pytest.mark.parametrize("curve", Curve)
@pytest.mark.parametrize("recovery_id", [2, 3])
def test_an_id_without_a_point_recovers_no_key(curve: Curve, recovery_id: int) -> None:
    """The sum r + n past the field's prime is the x of nothing."""
    digest = Digest(b"\x66" * 32)
    signature = compact(curve, sign(curve, digest), recovery_id)

    with pytest.raises(SigningError, match="no public key"):
        recover(digest, signature)


@pytest.mark.parametrize("curve", Curve)
def test_an_r_that_is_no_x_recovers_no_key(curve: Curve) -> None:
    """Half of all numbers are the x of no point."""
    known = ECDSA_CURVE[curve].curve
    r = next(
        r for r in range(1, 100)
        if pow(r**3 + known.a() * r + known.b(), (known.p() - 1) // 2, known.p()) != 1
    )  # fmt: skip
    signature = compact(curve, r.to_bytes(32) + (1).to_bytes(32), 0)

    with pytest.raises(SigningError, match="no public key"):
        recover(Digest(b"\x77" * 32), signature)


@pytest.mark.parametrize("curve", Curve)
def test_a_recovery_to_infinity_gives_no_key(curve: Curve) -> None:
    """R = G and e = s make Q the point at infinity, which is nobody's key."""
    generator = ECDSA_CURVE[curve].generator
    signature = compact(curve, generator.x().to_bytes(32) + (5).to_bytes(32), generator.y() & 1)

    with pytest.raises(SigningError, match="no public key"):
        recover(Digest((5).to_bytes(32)), signature)


@pytest.mark.parametrize("curve", Curve)
def test_recovery_reads_both_marks_of_the_header(curve: Curve) -> None:
    """A header without the 4 (27 to 30), which nodeos reads too, recovers the same key."""
    digest = Digest(b"\x88" * 32)
    sealed = VERIFIERS[curve].seal(digest, sign(curve, digest))

    unmarked = Signature(curve, bytes((sealed.data[0] - 4,)) + sealed.rs)

    assert recover(digest, unmarked) == KEYS[curve]


@unhurried
@given(u1=st.integers(0, N - 1), u2=st.integers(0, N - 1))
def test_sums_with_and_without_the_table_are_those_of_the_ecdsa_package(u1: int, u2: int) -> None:
    """Three ways to one point."""
    q = PRIVATE[Curve.R1].verifying_key.pubkey.point
    total = ecdsa.NIST256p.generator * u1 + q * u2
    for point_sum in (WITH_TABLE, WITHOUT_TABLE):
        if total == INFINITY:
            with pytest.raises(SigningError):
                point_sum.compressed(u1, u2)
        else:
            assert point_sum.compressed(u1, u2) == total.to_bytes("compressed")


WITH_TABLE = PointSum(KEYS[Curve.R1].data)
WITHOUT_TABLE = PointSum(KEYS[Curve.R1].data, want_table=False)


def test_this_openssl_makes_the_table() -> None:
    """The fast way is the one that runs here, and its absence is chosen only on request."""
    assert WITH_TABLE.has_table
    assert not WITHOUT_TABLE.has_table


def test_equal_parts_and_opposite_parts_add_up() -> None:
    """Q = G meets both special cases of an addition: doubling, and a sum at infinity."""
    generator = ecdsa.NIST256p.generator
    point_sum = PointSum(generator.to_bytes("compressed"))

    assert point_sum.compressed(5, 5) == (generator * 10).to_bytes("compressed")
    with pytest.raises(SigningError, match="not a point"):
        point_sum.compressed(5, N - 5)


def test_bytes_that_are_no_point_are_refused_and_leave_no_error_behind() -> None:
    """OpenSSL's error queue is Python's ssl module's queue too: it is empty afterwards."""
    with pytest.raises(SigningError, match="OpenSSL refused"):
        PointSum(b"\2" + b"\xff" * 32)

    assert libcrypto.library().ERR_peek_error() == 0


@pytest.fixture
def reloaded_library() -> Iterator[None]:
    """The library is loaded anew in the test, and once more after it."""
    libcrypto.library.cache_clear()
    yield
    libcrypto.library.cache_clear()


@pytest.mark.usefixtures("reloaded_library")
def test_an_openssl_without_the_deprecated_functions_seals_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the functions that make a table the answer is the same and takes longer."""
    monkeypatch.setattr("signer.antelope.libcrypto._TABLE_FUNCTIONS", {"EC_no_such_function": (None, ())})
    digest = Digest(b"\x99" * 32)
    rs = sign(Curve.R1, digest)

    verifier = verifier_for(KEYS[Curve.R1])

    assert not PointSum(KEYS[Curve.R1].data).has_table
    assert verifier.seal(digest, rs) == VERIFIERS[Curve.R1].seal(digest, rs)


@pytest.mark.usefixtures("reloaded_library")
def test_an_old_libcrypto_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library without a function that is always needed is refused at once."""
    monkeypatch.setattr("signer.antelope.libcrypto._FUNCTIONS", {"EC_no_such_function": (None, ())})

    with pytest.raises(SigningError, match="EC_no_such_function"):
        verifier_for(KEYS[Curve.R1])


@pytest.mark.usefixtures("reloaded_library")
def test_libcrypto_is_searched_for_where_its_usual_name_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version's name is found by the system's search."""
    monkeypatch.setattr("signer.antelope.libcrypto._SONAME", "libcrypto.so.absent")
    monkeypatch.setattr("ctypes.util.find_library", lambda name: f"lib{name}.so.3")

    assert PointSum(KEYS[Curve.R1].data, want_table=False).compressed(0, 1) == KEYS[Curve.R1].data


@pytest.mark.usefixtures("reloaded_library")
@pytest.mark.parametrize("found", [None, "libcrypto.so.also-absent"])
def test_a_missing_libcrypto_says_what_to_install(monkeypatch: pytest.MonkeyPatch, found: str | None) -> None:
    """R1 fails closed with a remedy; K1 does not need the library."""
    monkeypatch.setattr("signer.antelope.libcrypto._SONAME", "libcrypto.so.absent")
    monkeypatch.setattr("ctypes.util.find_library", lambda _: found)

    with pytest.raises(SigningError, match="libssl3"):
        verifier_for(KEYS[Curve.R1])
    verifier_for(KEYS[Curve.K1])


def test_native_memory_goes_with_its_owner() -> None:
    """40 tables of 150 kB, made and dropped one after the other, do not stay."""

    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    for _ in range(3):
        PointSum(KEYS[Curve.R1].data)
    gc.collect()
    before = resident_bytes()

    for _ in range(40):
        PointSum(KEYS[Curve.R1].data)

    assert resident_bytes() - before < 2_000_000
