"""The audit of a key: our keys have no findings, and every weakness made on purpose is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ecdsa
import pytest
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass

from hsm.fitness import audit_key
from hsm.keys import find_private_object, generate_key
from hsm.point import EC_PARAMS, Curve

if TYPE_CHECKING:
    from pkcs11.types import Session

CURVES: tuple[Curve, ...] = ("secp256k1", "prime256v1")
#: A key that only one attribute of a test makes unfit.
SAFE = {
    Attribute.EXTRACTABLE: False,
    Attribute.MODIFIABLE: False,
    Attribute.SIGN_RECOVER: False,
}


def make(session: Session, label: str, change: dict[Attribute, bool], *, store: bool = True) -> None:
    """Make a key pair that is safe but for `change`, by the bare binding."""
    domain = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: EC_PARAMS["prime256v1"]}, local=True
    )
    domain.generate_keypair(
        id=label.encode(),
        label=label,
        store=store,
        capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
        private_template=SAFE | change,
    )


@pytest.mark.parametrize("curve", CURVES)
def test_our_own_key_has_no_findings(session: Session, label: str, curve: Curve) -> None:
    """With everything about it expected, in both forms of its public key."""
    record = generate_key(session, label, curve)

    assert record.point is not None
    for point in (record.point.compressed, record.point.uncompressed, None):
        assert not audit_key(session, label, record.id, expected_curve=curve, expected_point=point)
    assert audit_key(session, label) == []


def test_the_safe_key_of_these_tests_has_no_findings(session: Session, label: str) -> None:
    """So that what follows finds what it changed and nothing else."""
    make(session, label, {})

    assert audit_key(session, label) == []


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        (Attribute.EXTRACTABLE, True, ["EXTRACTABLE", "NEVER_EXTRACTABLE"]),
        (Attribute.SENSITIVE, False, ["SENSITIVE", "ALWAYS_SENSITIVE"]),
        (Attribute.PRIVATE, False, ["PRIVATE"]),
        (Attribute.MODIFIABLE, True, ["MODIFIABLE"]),
        (Attribute.SIGN, False, ["SIGN"]),
        (Attribute.SIGN_RECOVER, True, ["SIGN_RECOVER"]),
        (Attribute.DERIVE, True, ["DERIVE"]),
        (Attribute.DECRYPT, True, ["DECRYPT"]),
        (Attribute.UNWRAP, True, ["UNWRAP"]),
    ],
)
def test_each_weakness_is_found(
    session: Session, label: str, attribute: Attribute, *, value: bool, words: list[str]
) -> None:
    """One finding for each attribute that differs, and no other."""
    make(session, label, {attribute: value})

    findings = audit_key(session, label)

    assert sorted(finding.split("CKA_")[1].split(" ")[0] for finding in findings) == sorted(words)


def test_a_key_that_was_protected_later_is_found(session: Session, label: str) -> None:
    """Sensitive now is not always sensitive: the value may have been read before."""
    make(
        session, label, {Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True, Attribute.MODIFIABLE: True}
    )
    key = find_private_object(session, label)
    key[Attribute.SENSITIVE] = True  # type: ignore[index]  # the protocol has no such way
    key[Attribute.EXTRACTABLE] = False  # type: ignore[index]

    findings = " ".join(audit_key(session, label))

    assert "CKA_ALWAYS_SENSITIVE is False" in findings
    assert "CKA_NEVER_EXTRACTABLE is False" in findings
    assert "CKA_SENSITIVE" not in findings
    assert "CKA_EXTRACTABLE" not in findings


def test_an_imported_key_is_found(session: Session, label: str) -> None:
    """It was somewhere else before."""
    secret = ecdsa.SigningKey.from_secret_exponent(7, curve=ecdsa.NIST256p)
    common = {
        Attribute.KEY_TYPE: KeyType.EC,
        Attribute.TOKEN: True,
        Attribute.LABEL: label,
        Attribute.ID: label.encode(),
        Attribute.EC_PARAMS: EC_PARAMS["prime256v1"],
    }
    point = secret.verifying_key.to_string("uncompressed")
    session.create_object(
        common | {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.EC_POINT: bytes((4, 65)) + point}
    )
    session.create_object(
        common
        | SAFE
        | {
            Attribute.CLASS: ObjectClass.PRIVATE_KEY,
            Attribute.VALUE: secret.to_string(),
            Attribute.PRIVATE: True,
            Attribute.SENSITIVE: True,
            Attribute.SIGN: True,
            Attribute.DERIVE: False,
            Attribute.DECRYPT: False,
            Attribute.UNWRAP: False,
        }
    )

    findings = audit_key(session, label, expected_point=point)

    assert any("CKA_LOCAL is False" in finding for finding in findings)


def test_a_session_object_is_found(session: Session, label: str) -> None:
    """It would be gone after a restart."""
    make(session, label, {}, store=False)

    assert any("CKA_TOKEN is False" in finding for finding in audit_key(session, label))


def test_the_wrong_curve_and_the_wrong_key_are_found(session: Session, label: str) -> None:
    """Both are said, with what is and what should be."""
    record = generate_key(session, label, "prime256v1")
    other = generate_key(session, f"{label}-other", "prime256v1")

    assert record.point is not None
    assert other.point is not None
    assert audit_key(session, label, expected_curve="secp256k1") == ["its curve is prime256v1, not secp256k1"]
    for expected in (other.point.compressed, other.point.uncompressed):
        (finding,) = audit_key(session, label, expected_point=expected)
        assert finding == f"its public key is {record.point.compressed.hex()}, not {expected.hex()}"


def test_a_missing_key_and_a_doubled_key_are_findings(session: Session, label: str) -> None:
    """An audit of many keys goes on after them."""
    make(session, label, {})
    make(session, label, {})

    (missing,) = audit_key(session, "absent")
    (doubled,) = audit_key(session, label)

    assert "is not on token" in missing
    assert "more than once" in doubled


def test_a_missing_public_key_is_found(session: Session, label: str) -> None:
    """The signer could not tell which key it is."""
    make(session, label, {})
    for public in session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.LABEL: label}):
        public.destroy()

    assert audit_key(session, label) == ["it has no public key object of its CKA_ID"]


def test_a_key_of_another_kind_is_found(session: Session, label: str) -> None:
    """An RSA key is no signing key of a block producer."""
    session.generate_keypair(
        KeyType.RSA, 1024, id=label.encode(), label=label, store=True, private_template=dict(SAFE)
    )

    assert "it is not an elliptic curve key" in audit_key(session, label)
