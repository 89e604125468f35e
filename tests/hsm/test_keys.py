"""Key objects on a real SoftHSM: made, found exactly once, signing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import ecdsa
import pytest
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import AttributeSensitive, PKCS11Error
from pkcs11.util.ec import encode_named_curve_parameters

from hsm.errors import DeviceError, KeyAbsentError, KeyAmbiguousError, KeyUnfitError, ProvisionError
from hsm.keys import find_private, find_private_object, generate_key, list_keys, public_point

if TYPE_CHECKING:
    from pkcs11.types import Session

    from hsm.module import Module
    from hsm.pin import Pin
    from hsm.point import Curve
    from hsm.uri import TokenUri

VERIFIERS = {"secp256k1": ecdsa.SECP256k1, "prime256v1": ecdsa.NIST256p}
CURVES: tuple[Curve, ...] = ("secp256k1", "prime256v1")


def make_raw(session: Session, label: str, curve: str = "secp256r1", **private: object) -> bytes:
    """Make a key pair as another tool might, without our templates. Returns its CKA_ID."""
    domain = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}, local=True
    )
    key_id = hashlib.sha256(f"{label}{len(list_keys(session))}".encode()).digest()[:8]
    domain.generate_keypair(
        id=key_id,
        label=label,
        store=True,
        mechanism=Mechanism.EC_KEY_PAIR_GEN,
        private_template={Attribute[name]: value for name, value in private.items()},
    )
    return key_id


@pytest.mark.parametrize("curve", CURVES)
def test_a_generated_key_signs_what_its_public_key_verifies(
    session: Session, label: str, curve: Curve
) -> None:
    """Another library verifies the signature, and refuses it for other data and another key."""
    record = generate_key(session, label, curve)
    other = generate_key(session, f"{label}-other", curve)
    digest = hashlib.sha256(b"block").digest()

    signature = find_private(session, label).sign(digest, mechanism=Mechanism.ECDSA)

    assert record.point is not None
    assert other.point is not None
    verifier = ecdsa.VerifyingKey.from_string(record.point.compressed, curve=VERIFIERS[curve])
    assert verifier.verify_digest(signature, digest)
    with pytest.raises(ecdsa.BadSignatureError):
        verifier.verify_digest(signature, hashlib.sha256(b"another block").digest())
    with pytest.raises(ecdsa.BadSignatureError):
        ecdsa.VerifyingKey.from_string(other.point.uncompressed, curve=VERIFIERS[curve]).verify_digest(
            signature, digest
        )


@pytest.mark.parametrize("curve", CURVES)
def test_a_generated_key_is_told_by_every_way_to_it(session: Session, label: str, curve: Curve) -> None:
    """By the record of its making, by label and id, and in the list."""
    record = generate_key(session, label, curve)

    assert record.label == label
    assert record.point is not None
    assert record.point.curve == curve
    assert public_point(session, find_private(session, label, record.id)) == record.point
    assert record in list_keys(session)


def test_a_private_key_cannot_be_read_or_changed(session: Session, label: str) -> None:
    """Not its value, and not the attributes that protect it."""
    generate_key(session, label, "prime256v1")
    key = find_private_object(session, label)

    with pytest.raises(AttributeSensitive):
        _ = key[Attribute.VALUE]
    for attribute, value in (
        (Attribute.SENSITIVE, False),
        (Attribute.EXTRACTABLE, True),
        (Attribute.DERIVE, True),
        (Attribute.LABEL, "x"),
    ):
        with pytest.raises(PKCS11Error):
            key[attribute] = value  # type: ignore[index]  # the protocol has no such way


def test_a_key_is_not_seen_without_a_login(module: Module, uri: TokenUri, pin: Pin, label: str) -> None:
    """A session without a PIN finds no private key."""
    with module.session(uri, pin, write=True) as session:
        generate_key(session, label, "prime256v1")
    session = module.open_session(module.find_token(uri), None)

    with pytest.raises(KeyAbsentError):
        find_private(session, label)

    module.close_session(session)


def test_a_label_is_used_once(session: Session, label: str) -> None:
    """A second key is refused, on either curve, and nothing is made."""
    first = generate_key(session, label, "prime256v1")

    for curve in CURVES:
        with pytest.raises(ProvisionError, match="already"):
            generate_key(session, label, curve)

    assert [record for record in list_keys(session) if record.label == label] == [first]


def test_a_label_of_a_lone_public_key_is_not_used_again(session: Session, label: str) -> None:
    """Its half would be confused with the new key's."""
    make_raw(session, label)
    find_private_object(session, label).destroy()  # type: ignore[attr-defined]  # not in the protocol

    with pytest.raises(ProvisionError, match="already"):
        generate_key(session, label, "prime256v1")


@pytest.mark.parametrize("text", ["", "a\nb", "a\0", "k" * 65, "ü" * 33])
def test_a_label_that_cannot_be_configured_is_refused(session: Session, text: str) -> None:
    """Labels are printable and short."""
    with pytest.raises(ProvisionError, match="label is 1 to 64 bytes"):
        generate_key(session, text, "prime256v1")


def test_a_read_only_session_cannot_make_keys(module: Module, uri: TokenUri, pin: Pin, label: str) -> None:
    """The answer of the module is named."""
    with module.session(uri, pin) as session, pytest.raises(DeviceError, match="CKR_SESSION_READ_ONLY"):
        generate_key(session, label, "prime256v1")


def test_a_missing_key_is_said_by_name(session: Session, label: str) -> None:
    """Also where only the id differs."""
    record = generate_key(session, label, "prime256v1")

    with pytest.raises(KeyAbsentError, match="key 'absent' is not on token primary"):
        find_private(session, "absent")
    with pytest.raises(KeyAbsentError, match=f"key '{label}' \\(id 00\\)"):
        find_private(session, label, b"\0")
    assert find_private(session, label, record.id)


def test_a_doubled_key_is_refused_until_the_id_is_given(session: Session, label: str) -> None:
    """Two keys of one label are never guessed between."""
    ids = [make_raw(session, label), make_raw(session, label)]

    with pytest.raises(KeyAmbiguousError, match="add the key's id"):
        find_private(session, label)

    for key_id in ids:
        assert find_private(session, label, key_id)[Attribute.ID] == key_id


def test_a_doubled_id_is_refused(session: Session, label: str) -> None:
    """With label and id equal, only removing one helps."""
    key_id = make_raw(session, label)
    find_private_object(session, label).copy({Attribute.LABEL: label})  # type: ignore[attr-defined]

    with pytest.raises(KeyAmbiguousError, match=r"remove all but one$"):
        find_private(session, label, key_id)


def test_a_key_that_may_not_sign_is_refused(session: Session, label: str) -> None:
    """It is found, and said to be unfit."""
    make_raw(session, label, SIGN=False)

    with pytest.raises(KeyUnfitError, match="CKA_SIGN is false") as caught:
        find_private(session, label)

    assert label not in caught.value.reason


def test_a_public_key_is_needed_once(session: Session, label: str) -> None:
    """None and two are refused."""
    key_id = make_raw(session, label)
    key = find_private_object(session, label)
    (public,) = session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: key_id})

    second = public.copy({Attribute.LABEL: f"{label}-2"})
    with pytest.raises(KeyUnfitError, match="more than one public key"):
        public_point(session, key)

    second.destroy()
    assert public_point(session, key)

    public.destroy()
    with pytest.raises(KeyUnfitError, match="no public key"):
        public_point(session, key)


def test_another_curve_is_refused(session: Session, label: str) -> None:
    """A P-384 key is listed with its problem and has no point."""
    make_raw(session, label, "secp384r1")

    with pytest.raises(KeyUnfitError, match="neither secp256k1 nor prime256v1"):
        public_point(session, find_private(session, label))
    (record,) = [record for record in list_keys(session) if record.label == label]
    assert record.point is None
    assert "neither" in record.problem
