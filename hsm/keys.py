"""Key objects on a token: made with explicit templates, found exactly once, read.

What it guarantees: a private key made here is sensitive, cannot be extracted, changed or used for anything
but signing; a key that is found is the only one of its label and id; a key that is destroyed is that one and no
other. What it leaves to others: whether a key that was made elsewhere is as safe (hsm.fitness), whether its public
key is the configured one, and whether anything still needs a key that is to be destroyed.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.attributes import ALL_CAPABILITIES
from pkcs11.constants import DEFAULT
from pkcs11.exceptions import AttributeTypeInvalid, FunctionFailed

from hsm.errors import KeyAbsentError, KeyAmbiguousError, KeyUnfitError, ProvisionError
from hsm.point import EC_PARAMS, parse_curve, parse_point
from hsm.translation import translate

if TYPE_CHECKING:
    from pkcs11.types import Session

    from hsm.point import Curve, PublicPoint

#: Length of the random CKA_ID of a new key, in bytes: two keys never share one by chance.
_ID_BYTES: Final = 16
#: CKA_LABEL has no limit in the standard; 64 bytes are enough and fit every token we know.
_MAX_LABEL_BYTES: Final = 64

#: PKCS#11 2.40 sections 4.8 and 4.9. Written out in full because modules differ in what they assume: NSS
#: makes extractable keys and SoftHSM makes keys that derive and recover where the template is silent.
_PRIVATE: Final[dict[Attribute, Any]] = {
    Attribute.TOKEN: True,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.MODIFIABLE: False,
    Attribute.SIGN: True,
    Attribute.SIGN_RECOVER: False,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
_PUBLIC: Final[dict[Attribute, Any]] = {
    Attribute.TOKEN: True,
    Attribute.PRIVATE: False,
    Attribute.MODIFIABLE: False,
    Attribute.VERIFY: True,
    Attribute.ENCRYPT: False,
    Attribute.WRAP: False,
}
#: What a module that refuses capability attributes (tpm2-pkcs11 1.9) is not asked for.
_CAPABILITIES: Final = frozenset({*ALL_CAPABILITIES, Attribute.SIGN_RECOVER})


class KeyObject(Protocol):
    """An object of the binding, read by attribute. The attributes of PKCS#11 have no common type."""

    def __getitem__(self, attribute: Attribute) -> Any: ...  # noqa: ANN401  # the border to an untyped module


class StoredObject(KeyObject, Protocol):
    """An object that can be removed."""

    def destroy(self) -> None:
        """Remove it from the token (C_DestroyObject)."""


class SigningKey(KeyObject, Protocol):
    """A private key that may sign. Bound to the session it was found in."""

    def sign(self, data: bytes, *, mechanism: Mechanism) -> bytes:
        """Return r || s (bytes, 64) over a digest (bytes, 32) with `Mechanism.ECDSA`; s may be high."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is told about a key: nothing of it is secret.

    Attributes:
        label: CKA_LABEL.
        id: CKA_ID.
        point: the public key; None where it cannot be read.
        problem: why `point` is None; empty otherwise.
    """

    label: str
    id: bytes
    point: PublicPoint | None
    problem: str = ""


def describe(label: str, key_id: bytes | None) -> str:
    """Return how messages name a key: key 'primary-r1-1' (id 0a1b)."""
    return f"key '{label}'" + (f" (id {key_id.hex()})" if key_id is not None else "")


def find_private(session: Session, label: str, key_id: bytes | None = None) -> SigningKey:
    """Return the one private key with `label` and, where given, `key_id` (CKA_ID).

    Raises:
        KeyAbsentError: there is none.
        KeyAmbiguousError: there is more than one.
        KeyUnfitError: the token does not let it sign.
        DeviceError: the module failed.
    """
    key = find_private_object(session, label, key_id)
    # The binding gives `sign` only to objects whose CKA_SIGN is true.
    if not hasattr(key, "sign"):
        raise KeyUnfitError(describe(label, key_id), "the token does not let it sign (CKA_SIGN is false)")
    return key  # type: ignore[return-value]  # SignMixin is added at run time


def find_private_object(session: Session, label: str, key_id: bytes | None = None) -> KeyObject:
    """Return the one private key object, whether or not it may sign. Raises as `find_private`."""
    wanted: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: label}
    if key_id is not None:
        wanted[Attribute.ID] = key_id
    name = describe(label, key_id)
    found = _first_two(session, wanted, f"find {name}")
    if not found:
        raise KeyAbsentError(
            f"{name} is not on token {session.token.label}: deleted, or the token is away; "
            "if it never was there, correct the label or the id. 'signer-hsm list' shows what is there"
        )
    if len(found) > 1:
        remedy = "remove all but one" if key_id is not None else "remove all but one, or add the key's id"
        raise KeyAmbiguousError(f"{name} is more than once on token {session.token.label}; {remedy}")
    return found[0]


def public_point(session: Session, private: KeyObject) -> PublicPoint:
    """Return the public key of `private`, from the one public key object with the same CKA_ID.

    Raises:
        KeyUnfitError: there is no such object or more than one, or it is no point of a curve that we use.
        DeviceError: the module failed.
    """
    label = str(read_attribute(private, Attribute.LABEL) or "")
    key_id = bytes(read_attribute(private, Attribute.ID) or b"")
    name = describe(label, key_id)
    if not key_id:
        raise KeyUnfitError(name, "it has no CKA_ID, so its public key cannot be found")
    wanted = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: key_id}
    found = _first_two(session, wanted, f"find the public key of {name}")
    if len(found) != 1:
        count = "more than one" if found else "no"
        raise KeyUnfitError(name, f"it has {count} public key object of its CKA_ID")
    parameters = read_attribute(found[0], Attribute.EC_PARAMS)
    point = read_attribute(found[0], Attribute.EC_POINT)
    if parameters is None or point is None:
        raise KeyUnfitError(name, "its public key is not on an elliptic curve")
    try:
        return parse_point(parse_curve(parameters), point)
    except ValueError as error:
        raise KeyUnfitError(name, f"its public key cannot be used: {error}") from None


def list_keys(session: Session) -> list[KeyRecord]:
    """Return a record of every private key that the session sees, in order of label and id.

    Raises:
        DeviceError: the module failed.
    """
    with translate("list the private keys"):
        keys: list[KeyObject] = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
    return sorted((_record(session, key) for key in keys), key=lambda record: (record.label, record.id))


def generate_key(session: Session, label: str, curve: Curve, *, bare: bool = False) -> KeyRecord:
    """Make a key pair on the token: `label` on both halves, and a random CKA_ID.

    Args:
        session: logged in, opened with `write=True`.
        label: CKA_LABEL, printable, at most 64 bytes of UTF-8.
        curve: "secp256k1" or "prime256v1".
        bare: leave out the attributes that say what the key may do, for modules that refuse them.

    Raises:
        ProvisionError: the label cannot be used, or an object has it already. Nothing was made.
        KeyUnfitError: the key was made, but its public key cannot be read.
        DeviceError: the module failed, or does not know the curve.
    """
    if not label or not label.isprintable() or len(label.encode()) > _MAX_LABEL_BYTES:
        raise ProvisionError(f"a key's label is 1 to {_MAX_LABEL_BYTES} bytes of printable text")
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
        if _first_two(session, {Attribute.CLASS: kind, Attribute.LABEL: label}, f"look for a key '{label}'"):
            raise ProvisionError(
                f"token {session.token.label} has a key '{label}' already; choose another label"
            )
    left_out = dict.fromkeys(_CAPABILITIES, DEFAULT) if bare else {}
    with translate(f"generate key '{label}' on curve {curve}"):
        domain = session.create_domain_parameters(
            KeyType.EC, {Attribute.EC_PARAMS: EC_PARAMS[curve]}, local=True
        )
        _, private = domain.generate_keypair(
            id=secrets.token_bytes(_ID_BYTES),
            label=label,
            store=True,
            capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
            mechanism=Mechanism.EC_KEY_PAIR_GEN,
            public_template=_PUBLIC | left_out,
            private_template=_PRIVATE | left_out,
        )
        key_id = bytes(private[Attribute.ID])
    return KeyRecord(label, key_id, public_point(session, private))


def destroy_key(
    session: Session, label: str, key_id: bytes | None = None, *, expected_point: bytes | None = None
) -> KeyRecord:
    """Destroy the one key pair with `label` and, where given, `key_id`. There is no way back.

    The private half goes first: a module that refuses leaves the key whole, and where only the public half went
    missing the key still can be destroyed. A public half that an interrupted run left alone is removed.

    Args:
        session: logged in, opened with `write=True`.
        label: CKA_LABEL of both halves.
        key_id: CKA_ID of both halves, None where the label is enough.
        expected_point: its public key, compressed (bytes, 33); None accepts any.

    Returns:
        what it was.

    Raises:
        KeyAbsentError: there is no such key.
        KeyAmbiguousError: more than one has the label, or its CKA_ID. Nothing was destroyed.
        KeyUnfitError: it is another key than expected, or it has no CKA_ID. Nothing was destroyed.
        DeviceError: the module failed or refused. The message says which half; run it again.
    """
    name = describe(label, key_id)
    by_label: dict[Attribute, Any] = {Attribute.LABEL: label} | ({Attribute.ID: key_id} if key_id else {})
    private = _only(session, ObjectClass.PRIVATE_KEY, by_label, name)
    found = private if private is not None else _only(session, ObjectClass.PUBLIC_KEY, by_label, name)
    if found is None:
        raise KeyAbsentError(f"{name} is not on token {session.token.label}; 'signer-hsm list' shows what is")
    by_id = {Attribute.ID: bytes(read_attribute(found, Attribute.ID) or b"")}
    if not by_id[Attribute.ID]:
        raise KeyUnfitError(name, "it has no CKA_ID, so its halves cannot be told from others")
    if _only(session, ObjectClass.PRIVATE_KEY, by_id, name) is not None and private is None:
        raise KeyUnfitError(name, "the private half of its CKA_ID has another label; name it by that")
    public = _only(session, ObjectClass.PUBLIC_KEY, by_id, name)
    record = _record(session, found)
    if expected_point is not None and (record.point is None or record.point.compressed != expected_point):
        raise KeyUnfitError(name, f"it is not the expected key; {record.problem or 'nothing was destroyed'}")
    for half, words in ((private, "private"), (public, "public")):
        if half is not None:
            with translate(f"destroy the {words} half of {name}"):
                half.destroy()
    return record


def read_attribute(key: KeyObject, attribute: Attribute) -> Any:  # noqa: ANN401  # as KeyObject
    """Return an attribute's value, or None where the module does not tell it.

    Raises:
        DeviceError: the module failed.
    """
    with translate(f"read {attribute.name}"):
        try:
            return key[attribute]
        except (AttributeTypeInvalid, FunctionFailed, ValueError):
            # FunctionFailed is the binding's word for "no such information, yet CKR_OK"; ValueError its word
            # for a label that is not UTF-8 or an enumeration's unknown member.
            return None


def _record(session: Session, key: KeyObject) -> KeyRecord:
    label = str(read_attribute(key, Attribute.LABEL) or "")
    key_id = bytes(read_attribute(key, Attribute.ID) or b"")
    try:
        return KeyRecord(label, key_id, public_point(session, key))
    except KeyUnfitError as error:
        return KeyRecord(label, key_id, None, error.reason)


def _only(
    session: Session, kind: ObjectClass, wanted: dict[Attribute, Any], name: str
) -> StoredObject | None:
    found = _first_two(session, {Attribute.CLASS: kind} | wanted, f"find {name}")
    if len(found) > 1:
        raise KeyAmbiguousError(
            f"{name} is more than once on token {session.token.label}, by label or id; nothing was destroyed"
        )
    return found[0] if found else None  # type: ignore[return-value]  # every object of the binding has destroy


def _first_two(session: Session, wanted: dict[Attribute, Any], operation: str) -> list[KeyObject]:
    # Two are asked for, so that one can be told from many.
    with translate(operation):
        return list(islice(session.get_objects(wanted), 2))
